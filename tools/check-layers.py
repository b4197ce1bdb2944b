#!/usr/bin/env python3
"""Checks that includes run one way through the layers (STYLE: layout) and prints each line that does not.

    include/abi < kernel/riscv < core-local < boot < kernel
    include/abi < include/proto < recovery < runtime < servers/*, libos, supervisor < apps

Kernel and user code share include/abi alone; one server never includes another's files.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Folder of a file -> prefixes that it may include. First match counts; {own} is servers/NAME.
USER = ("abi/", "proto/", "recovery/", "runtime/")
LAYERS = (
    ("include/abi/", ("abi/",)),
    ("kernel/riscv/", ("abi/", "kernel/riscv/")),
    ("core-local/", ("abi/", "kernel/riscv/", "core-local/")),
    ("boot/", ("abi/", "kernel/riscv/", "core-local/", "boot/")),
    ("kernel/", ("abi/", "kernel/", "core-local/", "boot/")),
    ("include/proto/", ("abi/", "proto/")),
    ("recovery/", ("abi/", "proto/", "recovery/")),
    ("runtime/", USER),
    ("servers/", USER + ("{own}",)),
    ("libos/", USER + ("libos/",)),
    ("supervisor/", USER + ("supervisor/",)),
    ("apps/", USER + ("apps/",)),
)
# Of the C library the kernel uses string functions, assert and formatting into a buffer; libfdt where it reads
# the device tree.
KERNEL_SYSTEM = {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h", "stdalign.h", "limits.h", "string.h", "assert.h",
                 "stdio.h", "libfdt.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def tracked():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.c", "*.h", "*.S"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [f for f in listed if (ROOT / f).exists()]


def own_folder(name):
    parts = name.split("/")
    return "/".join(parts[:2]) + "/" if len(parts) > 2 else parts[0] + "/" + Path(name).stem


def target_of(name, included):
    """The included file as seen from the root: beside the including file, or by -Iinclude -I. ."""
    beside = str(Path(name).parent / included)
    if "/" not in included and (ROOT / beside).exists():
        return beside.removeprefix("include/")
    return included


def problems_of(name):
    layer = next((allowed for folder, allowed in LAYERS if name.startswith(folder)), None)
    if layer is None:
        return
    allowed = tuple(own_folder(name) if a == "{own}" else a for a in layer)
    for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        if match[1] == "<":
            if name.startswith(("kernel/", "core-local/", "boot/")) and match[2] not in KERNEL_SYSTEM:
                yield f"{name}:{number}: a kernel must not include <{match[2]}>"
        elif not target_of(name, match[2]).startswith(allowed):
            yield f"{name}:{number}: \"{match[2]}\" is above or beside this layer, which may include {', '.join(allowed)}"


def main():
    problems = [p for name in tracked() for p in problems_of(name)]
    print("\n".join(problems), end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
