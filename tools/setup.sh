#!/bin/sh
# Names the Debian packages that are missing, or installs them: as root, or by sudo where that asks nothing.
# Quick when all is there: a stamp remembers the list that was found complete.
set -eu
packages="make python3 gcc gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf binutils-riscv64-unknown-elf
qemu-system-misc opensbi e2fsprogs libcmocka-dev clang spin gcovr xz-utils gdb-multiarch libc6-dev"
stamp=build/.setup-$(echo "$packages" | cksum | cut -d' ' -f1)
[ ! -e "$stamp" ] || exit 0
if ! command -v dpkg-query >/dev/null; then
	echo "this is not Debian: please see that these are installed:" $packages >&2
	exit 0
fi
missing=
for package in $packages; do
	dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	else
		echo "missing packages; please run: sudo apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	echo "installing$missing"
	$as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends$missing" || {
		echo "could not install$missing" >&2
		exit 1
	}
fi
mkdir -p build
touch "$stamp"
