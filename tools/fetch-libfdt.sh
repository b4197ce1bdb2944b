#!/bin/bash
# Brings libfdt's sources, out of Debian's source package device-tree-compiler, into a folder.
# usage: fetch-libfdt.sh FOLDER       (LIBFDT_TARBALL=file uses that file; its checksum is checked all the same)
#
# Package sources are derived from the machine's own apt sources into a configuration of our own: neither root nor a
# deb-src line is needed, and the machine's apt state is not touched. The release of this machine is tried first, then
# the others of the table; every archive is pinned by version and SHA-256.
set -euo pipefail
target=$1
package=device-tree-compiler
# suite, version, file, SHA-256
table="bookworm 1.6.1-4 ${package}_1.6.1.orig.tar.xz 65cec529893659a49a89740bb362f507a3b94fc8cd791e76a8d6a2b6f3203473
trixie 1.7.2-2 ${package}_1.7.2.orig.tar.xz 92d8ca769805ae1f176204230438fe52808f4e1c7944053c9eec0e649b237539"

mkdir -p "$target"
target=$(realpath "$target")
work=$(mktemp -d "$target/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
log=$target/fetch.log
: >"$log"

own_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true; }

# The machine's Debian sources as deb-src of one suite. Deb822 stanzas and one-line entries.
derive_sources() { # suite
	local suite=$1 file
	mkdir -p "$work/parts"
	rm -f "$work"/parts/*
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		awk -v suite="$suite" 'BEGIN { RS = ""; ORS = "\n\n" }
			/Suites:[^\n]*(bookworm|trixie|stable)/ && !/security/ && /Components:[^\n]*main/ {
				sub(/Types:[^\n]*/, "Types: deb-src"); sub(/Suites:[^\n]*/, "Suites: " suite)
				sub(/Components:[^\n]*/, "Components: main"); print }' "$file" \
			>"$work/parts/$(basename "$file")"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed -nE '/security/d; s/^deb(-src)?[ \t]+(\[[^]]*\][ \t]+)?([^ \t]+)[ \t]+(bookworm|trixie|stable)[ \t].*\bmain\b.*/deb-src \2\3 '"$suite"' main/p' \
			"$file" | sort -u >"$work/parts/$(basename "$file" .list).list"
	done
}

apt_get() {
	apt-get -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State="$work/state" \
		-o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache" -o Acquire::Retries=2 \
		-o APT::Sandbox::User= -o Acquire::Languages=none "$@" >>"$log" 2>&1
}

from_apt() { # suite version file
	derive_sources "$1"
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
	apt_get update || true
	(cd "$work" && apt_get source --tar-only --download-only "$package=$2") || true
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
