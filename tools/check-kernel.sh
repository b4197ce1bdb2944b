#!/bin/sh
# Checks a linked kernel: no atomic instruction in it (INV-2), and kernel/ with core-local/ below their line limit.
# usage: check-kernel.sh kernel.elf [objdump]
set -eu
elf=$1
objdump=${2:-riscv64-unknown-elf-objdump}
limit=6000

atomics=$("$objdump" -d --no-show-raw-insn "$elf" |
	awk '/^[0-9a-f]+ <.*>:$/ { name = $2 } $2 ~ /^(amo[a-z]+|lr|sc)\.[wd]/ { print "  " name " " $2 }' | sort -u)
if [ -n "$atomics" ]; then
	echo "$elf holds atomic instructions, and a kernel must have none:" >&2
	echo "$atomics" >&2
	exit 1
fi
lines=$(find kernel core-local -name '*.[chS]' -exec cat {} + | wc -l)
if [ "$lines" -gt "$limit" ]; then
	echo "kernel/ and core-local/ have $lines lines; their limit is $limit" >&2
	exit 1
fi
