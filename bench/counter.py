"""Counts of all harts by our plugin of QEMU (bench/count/count.c): what a machine is started with, and what it has written.

For what -icount cannot count: Linux on two harts, and whatever waits for a disk. Harts run on threads of their own then, so one that
looks around, or holds a lock, while the host lets the other wait counts what it looks: hence the least batch of a series.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from qemu import escape, qemu_program  # noqa: E402

COUNTER = Path(__file__).resolve().parent.parent / "build/bench/count.so"
LINE = re.compile(r"(\S+) (\d+) (\d+) (\d+)")


def flags(out):
    return ["-plugin", f"{escape(COUNTER)},out={escape(out)}"]


def refusal():
    """None, or in a sentence why this QEMU does not count."""
    if not COUNTER.exists():
        return f"{COUNTER} is not built"
    command = [qemu_program(), "-machine", "none", "-display", "none", "-serial", "none", "-monitor", "stdio", *flags("/dev/null")]
    try:
        done = subprocess.run(command, input="quit\n", capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{qemu_program()} cannot be asked whether it takes plugins: {error}"
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"{qemu_program()} does not take our plugin: {said}" if done.returncode else None


def read_batches(text, own=False):
    """Series -> instructions of one operation, for each batch; own: of the hart alone that ran the series. Lines that say nothing
    sensible are left out."""
    series = defaultdict(list)
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match and int(match[2]):
            series[match[1]].append(int(match[4 if own else 3]) / int(match[2]))
    return series


def read_counts(text):
    """Figures "SERIES.counted": the least batch of a series."""
    return {f"{name}.counted": round(min(values)) for name, values in read_batches(text).items()}
