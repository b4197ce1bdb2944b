#!/bin/bash
# Brings Debian's riscv64 Linux kernel, and the modules that the Linux side of `make bench` loads, into a folder: vmlinux,
# *.ko, and version with the package's name and version. Nothing is installed.
# usage: fetch-linux.sh FOLDER
#
# The package is of Debian 13, the first release with riscv64, whatever release this machine has; apt checks it by the
# keyring of the machine's own Debian sources. The newest kernel of that release is taken: its version is in every report.
set -euo pipefail
target=$1
suite=trixie
architecture=riscv64
package=linux-image-riscv64
modules="virtio_blk ext4 jbd2 mbcache crc16 crc32c_generic libcrc32c"

. "$(dirname "$0")/own-apt.sh"
status=$work/status # nothing is installed there: what a package needs besides does not matter
: >"$status"

fail() { # sentence
	echo "$1 (see $log); make bench LINUX=no goes without Linux" >&2
	exit 1
}

foreign() { own_apt "$@" -o APT::Architecture=$architecture -o APT::Architectures=$architecture; }

# The metapackage depends on the kernel.
kernel_name() { foreign apt-cache depends $package 2>>"$log" | sed -nE 's/^ *Depends: (linux-image-[0-9][^ ]*)$/\1/p' | head -1; }

derive_sources deb $suite $architecture
foreign apt-get update >>"$log" 2>&1 || fail "apt cannot read the package lists of $suite for $architecture"
kernel=$(kernel_name)
[ -n "$kernel" ] || fail "$suite has no kernel by the name of $package"
(cd "$work" && foreign apt-get download "$kernel") >>"$log" 2>&1 || fail "apt cannot bring $kernel"
archive=$(echo "$work"/*.deb)
mkdir "$work/tree"
patterns=$(for module in $modules; do echo "*/$module.ko.xz"; done)
# A module that this kernel has built in is not there, and tar says so.
dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$work/tree" --wildcards './boot/vmlinu*' $patterns 2>>"$log" || true
rm -f "$target"/*.ko
find "$work/tree" -name '*.ko.xz' -exec cp {} "$target/" \;
[ -e "$target/ext4.ko.xz" ] && unxz -f "$target"/*.ko.xz || fail "$kernel has no module ext4"
cp "$work"/tree/boot/vmlinu*-* "$target/vmlinux" || fail "$kernel holds no kernel"
dpkg-deb -f "$archive" Package Version | sed 's/^[^:]*: //' | paste -sd' ' >"$target/version"
touch "$target/.ready"
