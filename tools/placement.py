#!/usr/bin/env python3
"""What it costs where fs and its driver are placed: on two cores, on one core, in one domain (docs/placement.md).

usage: placement.py [--rounds 3] [--counts 3] [--cores 4] [--type ext4]
`make placement` calls it. Each round boots all three placements in turn on a fresh copy of one image; times are the best of the rounds (a busy
host only makes them worse), instructions (of all that runs, with -icount) the least of the counts. Memory is what the cores have handed out after the
file workload, the other services included.
"""
import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from boot_image import make_boot_image  # noqa: E402
from manifest import read_system  # noqa: E402
from measured import ICOUNT, boot_text, in_turns, memory_folder, read_figures  # noqa: E402
from qemu import MachineError, Options, qemu_version  # noqa: E402

SYSTEM = Path("systems/one-domain.toml")
LOG = "build/log/placement.log"
DRIVER = 'place = { same_domain = "fs" }\nmemory = "1M"\n'
ALONE = '''priority = 1
memory = "8M"
restart = { burst = 1000, window_ms = 1000, delay_ms = 0, delay_max_ms = 0 }
watch = { hang_ms = 10, request_ms = 5000 }
'''
ECHO = 'place = { same_domain = "bench" }\nmemory = "1M"\n'
PLACEMENTS = {  # of the driver, and of echo, which bench calls
    "two cores": ("core = 1\n" + ALONE, 'core = 0\nmemory = "4M"\n'),
    "one core": ('place = { same_core = "fs" }\n' + ALONE, 'core = 7\nmemory = "4M"\n'),
    "one domain": (DRIVER, ECHO),
}
PARTITION = re.compile(r"partition \S+, ([\d.]+) MiB, ([\d.]+) MiB free")
FIGURES = {  # name: pattern, in all boots; rates are better when they are higher
    "call without payload, median ns": r"echo\.0\s+\d+\s+\d+\s+(\d+)",
    "call with 4 KiB both ways, median ns": r"echo\.4k\s+\d+\s+\d+\s+(\d+)",
    "create a file, median ns": r"file\.create\s+\d+\s+\d+\s+(\d+)",
    "unlink a file, median ns": r"file\.unlink\s+\d+\s+\d+\s+(\d+)",
    "write of 4 MiB, KiB/s": r"file\.write\s+(\d+) KiB/s",
    "read of 4 MiB, cached, KiB/s": r"file\.read\s+(\d+) KiB/s",
    "read of 4 MiB, from the disk, KiB/s": r"file\.read\.cold\s+(\d+) KiB/s",
    "write and sync of 4 KiB, median ns": r"sync\.4k\s+\d+\s+\d+\s+(\d+)",
    "crash to first answer, median ns": r"crash\.fs\.served\s+\d+\s+\d+\s+(\d+)",
    "the same, log full, median ns": r"crash\.fs\.full\.served\s+\d+\s+\d+\s+(\d+)",
}
COUNTS = {
    "call without payload": r"echo\.0\.mean\s+(\d+)",
    "call with 64 bytes both ways": r"echo\.64\.mean\s+(\d+)",
    "call with 4 KiB both ways": r"echo\.4k\.mean\s+(\d+)",
    "create a file": r"file\.create\.mean\s+(\d+)",
    "unlink a file": r"file\.unlink\.mean\s+(\d+)",
    "write of 4 MiB": r"file\.write\.all\s+(\d+)",
    "read of 4 MiB, cached": r"file\.read\.all\s+(\d+)",
    "read of 4 MiB, from the disk": r"file\.read\.cold\.all\s+(\d+)",
}


def make_boots(folder):
    """A boot image for each placement."""
    built = {path.stem: path.read_bytes() for path in Path("build/stripped").glob("*.elf")}
    text = SYSTEM.read_text()
    if DRIVER not in text or ECHO not in text:
        raise MachineError(f"{SYSTEM} does not place blk and echo as expected")
    for name, (driver, echo) in PLACEMENTS.items():
        path = folder / f"{name.replace(' ', '-')}.toml"
        path.write_text(text.replace(DRIVER, driver).replace(ECHO, echo))
        image = make_boot_image(read_system(path, set(built)), built, Path("systems/fallback"))
        path.with_suffix(".img").write_bytes(image)


def run(folder, name, command, patterns, **machine):
    """The figures that the commands print in one boot on a copy of the image."""
    options = Options(disk=str(folder / "run.img"), boot=str(folder / f"{name.replace(' ', '-')}.img"), kernel="build/kernel.elf",
                      drive="cache=unsafe", **machine)
    text = boot_text(options, folder / "disk.img", command, LOG)
    used = [float(whole) - float(free) for whole, free in PARTITION.findall(text)]
    return read_figures(text, patterns, name, LOG) | ({"memory in use, KiB": round(sum(used) * 1024)} if used else {})


def best(name, values):
    return max(values) if name.endswith("KiB/s") else min(values)


def print_table(figures):
    print("\n| | " + " | ".join(PLACEMENTS) + " |\n|---|" + "---|" * len(PLACEMENTS))
    for figure in figures["two cores"][0]:
        value = {name: best(figure, [one[figure] for one in figures[name]]) for name in PLACEMENTS}
        base = value["two cores"]
        print(f"| {figure} | " + " | ".join(f"{v:,.0f} ({v / base:.2f})" for v in value.values()) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, default=3)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--type", default="ext4")
    options = parser.parse_args()
    infos = "; ".join(f"info {core}" for core in range(options.cores))
    try:
        with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
            folder = Path(folder)
            make_boots(folder)
            subprocess.run([sys.executable, "tools/disk.py", folder / "disk.img", "--type", options.type, "--block", "4096"],
                           check=True)
            print(f"{qemu_version()}, {options.cores} cores, {options.type}")
            if options.counts:
                print_table(in_turns(options.counts, "count", PLACEMENTS, lambda name: run(
                    folder, name, "bench echo files --icount", COUNTS, cores=options.cores,
                    flags=[*ICOUNT])))
            if options.rounds:
                print_table(in_turns(options.rounds, "round", PLACEMENTS, lambda name: run(
                    folder, name, f"bench echo files sizes; {infos}; bench crash", FIGURES, cores=options.cores)))
    except (MachineError, subprocess.CalledProcessError) as error:
        print(f"placement: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
