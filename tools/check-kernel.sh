#!/bin/sh
# Checks a linked kernel: no atomic instruction in it (INV-2), and kernel/ with core-local/ below their line
# limit, and boot/, which runs before there is a kernel, below its own.
# usage: check-kernel.sh kernel.elf [objdump]
set -eu
elf=$1
objdump=${2:-riscv64-unknown-elf-objdump}

atomics=$("$objdump" -d --no-show-raw-insn "$elf" |
	awk '/^[0-9a-f]+ <.*>:$/ { name = $2 }
	     $2 ~ /^(amo[a-z]+|lr|sc)\.[wd]/ { print "  " name " " $2 }
	     # Written as a number it is shown as one: opcode 0x2f in bits 0 to 6, width w or d in bits 12 to 14.
	     $2 ~ /^\.(word|4byte|insn)/ && $NF ~ /[23ab][0-9a-f][2a]f$/ { print "  " name " " $2 " " $NF }' | sort -u)
if [ -n "$atomics" ]; then
	echo "$elf holds atomic instructions, and a kernel must have none:" >&2
	echo "$atomics" >&2
	exit 1
fi
within() {
	limit=$1
	shift
	lines=$(find "$@" -name '*.[chS]' -exec cat {} + | wc -l)
	if [ "$lines" -gt "$limit" ]; then
		echo "$* have $lines lines; their limit is $limit" >&2
		exit 1
	fi
}
within 7839 kernel core-local
within 650 boot
