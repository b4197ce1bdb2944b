#!/usr/bin/env python3
"""What recoverability costs: the file workload on this build and on one without log, marks and digests, in turns.

usage: price.py [--rounds 7] [--seconds 4] [--cores 4] [--type ext4] [--counts 5]
`make price` makes both builds (build/ and build/plain, compiled with RECOVERABLE=0) and calls it. Each round boots both on
a fresh copy of one image. Commits by time, the journal and the supervisor are in both; what the plain one lacks is told in
docs/bench.md. The ratio compares medians; the range of the rounds says how far to trust it.

Two builds in turns differ by more than the price on a busy host. So instructions are counted too: of all that runs (client, server,
driver, kernel) on one core with -icount, and the mean over all batches, for a commit that a full ring asks for is part of the price and does not
come in each batch. Who waits for the disk looks around meanwhile: the image is a file in memory that is never flushed, and the least of
some boots is taken.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measured import ICOUNT, boot_text, in_turns, memory_folder, read_figures  # noqa: E402
from qemu import MachineError, Options, qemu_version  # noqa: E402

BUILDS = {"recoverable": Path("build"), "plain": Path("build/plain")}
IMAGE = Path("build/tmp/price.img")
LOG = "build/log/price.log"
RATES = {
    "storm without faults, operations/s": r"operations \d+ \((\d+)/s\)",
    "write of one file, KiB/s": r"file\.write\s+(\d+) KiB/s",
    "read of one file, KiB/s": r"file\.read\s+(\d+) KiB/s",
}
TIMES = {
    "create, median ns": r"file\.create\s+\d+\s+\d+\s+(\d+)",
    "unlink, median ns": r"file\.unlink\s+\d+\s+\d+\s+(\d+)",
}
COUNTS = {
    "create, instructions": r"file\.create\.mean\s+(\d+)",
    "unlink, instructions": r"file\.unlink\.mean\s+(\d+)",
    "write of 4 MiB, instructions": r"file\.write\.all\s+(\d+)",
    "read of 4 MiB, instructions": r"file\.read\.all\s+(\d+)",
}
PARTS = {"create, instructions": 1000, "unlink, instructions": 1000, "write of 4 MiB, instructions": 1, "read of 4 MiB, instructions": 1}
WORKLOAD = "all of these, as bench files has them"


def run(build, command, patterns, image, **machine):
    """The figures that the commands print in one boot on a copy of the image."""
    options = Options(disk=str(image), boot=str(build / "boot-default.img"), kernel=str(build / "kernel.elf"), **machine)
    return read_figures(boot_text(options, IMAGE, command, LOG), patterns, build, LOG)


def measure(build, options):
    return run(build, f"storm {options.seconds} --rate 0 --seed 1 --quiet; bench files", RATES | TIMES, f"{IMAGE}.run",
               cores=options.cores)


def count(build, folder):
    figures = run(build, "bench files --icount", COUNTS, Path(folder) / "price.img", cores=1, flags=[*ICOUNT], drive="cache=unsafe")
    figures[WORKLOAD] = sum(times * figures[part] for part, times in PARTS.items())
    return figures


def print_table(figures, names, of):
    print(f"\n{'':36} {'recoverable':>12} {'plain':>12} {'price':>8}   range of the rounds")
    for name in names:
        with_it, without = ([figure[name] for figure in figures[build]] for build in BUILDS)
        ratio = of(with_it) / of(without)
        price = 1 / ratio - 1 if name in RATES else ratio - 1
        print(f"{name:36} {of(with_it):12.0f} {of(without):12.0f} {100 * price:+7.1f}%"
              f"   {min(with_it)}..{max(with_it)} / {min(without)}..{max(without)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--type", default="ext4")
    parser.add_argument("--counts", type=int, default=5)
    options = parser.parse_args()
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([sys.executable, "tools/disk.py", IMAGE, "--type", options.type, "--block", "4096"], check=True)
        print(f"both builds on {qemu_version()}, {options.cores} cores, {options.type}")
        if options.rounds:
            print_table(in_turns(options.rounds, "round", BUILDS, lambda build: measure(BUILDS[build], options)), RATES | TIMES, statistics.median)
        if options.counts:
            with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
                print_table(in_turns(options.counts, "count", BUILDS, lambda build: count(BUILDS[build], folder)), [*COUNTS, WORKLOAD], min)
    except (MachineError, subprocess.CalledProcessError) as error:
        print(f"price: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
