#!/usr/bin/env python3
"""From the crash of fs with a full ring of unsynced operations to its first answer, by phases: in times and in instructions.

usage: recovery.py [--rounds 5] [--cores 4] [--type ext4] [--counts 3]
`make recovery` calls it. Each round boots a fresh copy of one image and runs `bench ring` there: 30 crashes. A time is the median
over the rounds of their medians. Instructions are of all that runs on one core with -icount, where a nanosecond is one; each phase's
least of some boots, for waiting counts too. The disk is a file in memory then.
"""
import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measured import ICOUNT, boot_text, memory_folder, need_all  # noqa: E402
from qemu import MachineError, Options, qemu_version  # noqa: E402

IMAGE = Path("build/tmp/recovery.img")
LOG = "build/log/recovery.log"
PHASES = {
    "detection": "the trap, until the supervisor knows of it",
    "fence": "off its hart, its clients' memory unmapped",
    "restore": "memory as it was at first, and begun",
    "replay": "channels adopted, volume mounted, ring performed again: ready",
    "answer": "the first answer that was waited for",
    "served": "all of it",
}
ROW = re.compile(r"crash\.fs\.full\.(\w+)\s+\d+\s+(\d+)\s+(\d+)\s+(\d+)")


def run(image, command, **machine):
    """Phase -> (least, median, ninetieth percentile), in nanoseconds."""
    text = boot_text(Options(disk=str(image), **machine), IMAGE, command, LOG)
    found = {name: tuple(map(int, figures)) for name, *figures in ROW.findall(text)}
    need_all(PHASES, found, "bench ring", LOG)
    return found


def print_table(times, counts):
    print(f"\n{'':10} {'instructions':>12}   {'ms: least':>9} {'median':>7}   {'medians of the rounds':23}")
    for name, text in PHASES.items():
        count = min((c[name][0] for c in counts), default=0)
        print(f"{name:10} {count:12}", end="")
        if times:
            medians = [t[name][1] / 1e6 for t in times]
            print(f"   {min(t[name][0] for t in times) / 1e6:9.2f} {statistics.median(medians):7.2f}"
                  f"   {min(medians):.2f} to {max(medians):.2f}", end="")
        print(f"   {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--type", default="ext4")
    parser.add_argument("--counts", type=int, default=3)
    options = parser.parse_args()
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([sys.executable, "tools/disk.py", IMAGE, "--type", options.type, "--block", "4096"], check=True)
        print(f"{qemu_version()}, {options.cores} cores, {options.type}: 30 crashes in each of {options.rounds} rounds")
        times = [run(f"{IMAGE}.run", "bench ring", cores=options.cores) for _ in range(options.rounds)]
        with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
            counts = [run(Path(folder) / "recovery.img", "bench ring --icount", cores=1, flags=[*ICOUNT],
                          drive="cache=unsafe") for _ in range(options.counts)]
        print_table(times, counts)
    except (MachineError, subprocess.CalledProcessError) as error:
        print(f"recovery: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
