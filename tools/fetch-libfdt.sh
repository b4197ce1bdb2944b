#!/bin/bash
# Brings libfdt's sources, out of Debian's source package device-tree-compiler, into a folder.
# usage: fetch-libfdt.sh FOLDER       (LIBFDT_TARBALL=file uses that file; its checksum is checked all the same)
#
# Neither root nor a deb-src line is needed (own-apt.sh). The release of this machine is tried first, then
# the others of the table; every archive is pinned by version and SHA-256.
set -euo pipefail
target=$1
package=device-tree-compiler
# suite, version, file, SHA-256
table="bookworm 1.6.1-4 ${package}_1.6.1.orig.tar.xz 65cec529893659a49a89740bb362f507a3b94fc8cd791e76a8d6a2b6f3203473
trixie 1.7.2-2 ${package}_1.7.2.orig.tar.xz 92d8ca769805ae1f176204230438fe52808f4e1c7944053c9eec0e649b237539"

. "$(dirname "$0")/own-apt.sh"

own_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true; }

from_apt() { # suite version file
	derive_sources deb-src "$1"
	apt_get update >>"$log" 2>&1 || true
	(cd "$work" && apt_get source --tar-only --download-only "$package=$2" >>"$log" 2>&1) || true
	[ -f "$work/$3" ]
}

unpack() { # archive
	mkdir "$work/tree"
	tar -xf "$1" -C "$work/tree" --strip-components=1
	cp "$work"/tree/libfdt/*.[ch] "$target/"
	touch "$target/.ready"
}

if [ -n "${LIBFDT_TARBALL:-}" ]; then
	sum=$(sha256sum "$LIBFDT_TARBALL" | cut -d' ' -f1)
	grep -q "$sum\$" <<<"$table" || { echo "$LIBFDT_TARBALL has an unknown SHA-256: $sum" >&2; exit 1; }
	unpack "$LIBFDT_TARBALL"
	exit
fi
own=$(own_suite)
ordered=$(grep "^$own " <<<"$table" || true; grep -v "^$own " <<<"$table")
while read -r suite version file sum; do
	from_apt "$suite" "$version" "$file" || continue
	if ! echo "$sum  $work/$file" | sha256sum --status -c; then
		echo "$file of $package $version has the wrong SHA-256; expected $sum" >&2
		exit 1
	fi
	unpack "$work/$file"
	exit
done <<<"$ordered"
echo "no source package of $package could be fetched (see $log); or give its archive by LIBFDT_TARBALL=file" >&2
exit 1
