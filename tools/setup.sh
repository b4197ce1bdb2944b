#!/bin/sh
# Names the Debian packages that are missing, or installs them: as root, or by sudo where that asks nothing.
# Quick when all is there: a stamp remembers the list that was found complete.
# usage: setup.sh run|test|bench  what `make run` needs, or what `make test` or the Linux side of `make bench` needs besides
set -eu
packages="make python3 gcc-riscv64-unknown-elf binutils-riscv64-unknown-elf picolibc-riscv64-unknown-elf e2fsprogs
	opensbi xz-utils"
case ${1:-run} in
test) packages="$packages gcc libc6-dev libcmocka-dev gcovr clang libclang-rt-dev spin git" ;;
bench) packages="$packages gcc-riscv64-linux-gnu libc6-dev-riscv64-cross" ;;
esac
# The emulator's package has another name since Debian 13; an emulator given by QEMU=path needs none.
if ! command -v "${QEMU:-qemu-system-riscv64}" >/dev/null; then
	if apt-cache show qemu-system-riscv 2>/dev/null | grep -q ^Package; then
		packages="$packages qemu-system-riscv"
	else
		packages="$packages qemu-system-misc"
	fi
fi

mkdir -p build
stamp=build/.setup-$(echo "$packages" | cksum | cut -d' ' -f1)
[ ! -e "$stamp" ] || exit 0
if ! command -v dpkg-query >/dev/null; then
	echo "this is not Debian; please see that these packages' programs are there:" $packages >&2
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
		echo "packages are missing; please run: sudo apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	echo "installing$missing"
	if ! $as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends$missing" >build/setup.log 2>&1; then
		tail -5 build/setup.log >&2
		echo "could not install$missing (build/setup.log)" >&2
		exit 1
	fi
fi
touch "$stamp"
