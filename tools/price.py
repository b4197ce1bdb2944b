#!/usr/bin/env python3
"""What recoverability costs: the file workload on this build and on one without log, marks and digests, in turns.

usage: price.py [--rounds 7] [--seconds 4] [--cores 4] [--type ext4]
`make price` makes both builds (build/ and build/plain, compiled with RECOVERABLE=0) and calls it. Each round boots both on
a fresh copy of one image. Commits by time, the journal and the supervisor are in both; what the plain one lacks is told in
docs/bench.md. The ratio compares medians; the range of the rounds says how far to trust it.
"""
import argparse
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from qemu import Machine, MachineError, Options, qemu_version  # noqa: E402

BUILDS = {"recoverable": Path("build"), "plain": Path("build/plain")}
IMAGE = Path("build/tmp/price.img")
RATES = {
    "storm without faults, operations/s": r"operations \d+ \((\d+)/s\)",
    "write of one file, KiB/s": r"file\.write\s+(\d+) KiB/s",
    "read of one file, KiB/s": r"file\.read\s+(\d+) KiB/s",
}
TIMES = {
    "create, median ns": r"file\.create\s+\d+\s+\d+\s+(\d+)",
    "unlink, median ns": r"file\.unlink\s+\d+\s+\d+\s+(\d+)",
}


def measure(build, options):
    shutil.copy(IMAGE, f"{IMAGE}.run")
    machine = Options(cores=options.cores, disk=f"{IMAGE}.run", boot=str(build / "boot-default.img"),
                      kernel=str(build / "kernel.elf"))
    with Machine(machine, Path("build/log/price.log")) as m:
        m.prompt()
        m.enter(f"color off; storm {options.seconds} --rate 0 --seed 1 --quiet; bench files; poweroff")
        m.wait_end(600)
        found = {name: re.search(pattern, m.text) for name, pattern in (RATES | TIMES).items()}
    missing = [name for name, match in found.items() if not match]
    if missing:
        raise MachineError(f"{build}: no figure for {', '.join(missing)}; the console's log is build/log/price.log")
    return {name: int(match[1]) for name, match in found.items()}


def print_table(figures):
    print(f"\n{'':36} {'recoverable':>12} {'plain':>12} {'price':>8}   range of the rounds")
    for name in RATES | TIMES:
        with_it, without = ([figure[name] for figure in figures[build]] for build in BUILDS)
        ratio = statistics.median(with_it) / statistics.median(without)
        price = 1 / ratio - 1 if name in RATES else ratio - 1
        print(f"{name:36} {statistics.median(with_it):12.0f} {statistics.median(without):12.0f} {100 * price:+7.1f}%"
              f"   {min(with_it)}..{max(with_it)} / {min(without)}..{max(without)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--type", default="ext4")
    options = parser.parse_args()
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figures = {build: [] for build in BUILDS}
    try:
        subprocess.run([sys.executable, "tools/disk.py", IMAGE, "--type", options.type, "--block", "4096"], check=True)
        print(f"{options.rounds} rounds of both builds on {qemu_version()}, {options.cores} cores, {options.type}")
        for number in range(options.rounds):
            for build, folder in BUILDS.items():
                figures[build].append(measure(folder, options))
            print(f"round {number + 1} of {options.rounds}", flush=True)
    except (MachineError, subprocess.CalledProcessError) as error:
        print(f"price: {error}", file=sys.stderr)
        return 1
    print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
