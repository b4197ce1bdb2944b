#!/usr/bin/env python3
"""Makes a symbol file (NAME.sym) of an ELF file, for the crash lines of the supervisor.

Lines "hexaddress name", sorted by address, functions only: what supervisor/symbols.c reads from the boot image.
usage: symbols.py ELF OUTPUT [NM]
"""
import subprocess
import sys


def functions(elf, nm):
    """(address, name) of each function of the text; of several at one address the first global one."""
    listing = subprocess.run([nm, "--defined-only", elf], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) != 3 or fields[1] not in "tTwW" or fields[2].startswith((".", "$")):
            continue
        address = int(fields[0], 16)
        if address not in found or (found[address][0].islower() and fields[1].isupper()):
            found[address] = (fields[1], fields[2])
    return sorted((address, name) for address, (_, name) in found.items())


def main(arguments):
    if len(arguments) not in (2, 3):
        sys.exit(__doc__)
    nm = arguments[2] if len(arguments) == 3 else "riscv64-unknown-elf-nm"
    lines = "".join(f"{address:x} {name}\n" for address, name in functions(arguments[0], nm))
    with open(arguments[1], "w", encoding="ascii") as output:
        output.write(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
