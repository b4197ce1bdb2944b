#!/usr/bin/env python3
"""What tracing costs: instructions of all that runs (client, server, driver, kernels), by our plugin of QEMU, without and with the boot
argument `trace`, in turns.

usage: trace_price.py [--cores 1 2] [--boots 3]
`make trace-price` calls it. Harts take turns under -icount, so that nobody's waiting depends on the host; the disk is a file in memory that is
never flushed. Of a series of a boot the median of its batches is taken, and of the boots the median. The collector is not there: it reads from outside and executes nothing in the machine.
"""
import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import counter  # noqa: E402
from disk import make_disk  # noqa: E402
from measured import ICOUNT, boot_text, memory_folder, need_all, read_figures  # noqa: E402
from qemu import MachineError, Options, qemu_version  # noqa: E402

COMMAND = "storm 1 --rate 0 --seed 1 --quiet; bench files sizes --icount"
LOG = "build/log/trace-price.log"
SECONDS = 1800  # failsafe: a minute on a quiet host
ROWS = {"storm": "storm, an operation", "file.create": "create and close", "file.unlink": "unlink", "write.4k": "write 4 KiB",
        "write.64k": "write 64 KiB", "read.4k": "read 4 KiB", "read.64k": "read 64 KiB", "read.1m": "read 1 MiB", "stat": "stat",
        "open.close": "open and close"}


def boot(image, cores, traced, folder):
    """Row -> instructions of one operation."""
    out = folder / "counts"
    options = Options(cores=cores, disk=str(folder / "disk"), drive="cache=unsafe", append="trace" if traced else "",
                      flags=[*ICOUNT, *counter.flags(out)])
    done = read_figures(boot_text(options, image, COMMAND, LOG, SECONDS), {"operations of the storm": r"operations (\d+) "}, "storm", LOG)
    batches = counter.read_batches(out.read_text())
    need_all(ROWS, batches, "bench", LOG)
    figures = {name: statistics.median(batches[name]) for name in ROWS}
    return figures | {"storm": figures["storm"] / done["operations of the storm"]}


def price(off, on):
    return f"{off:,.0f} | {on:,.0f} | {100 * (on / off - 1):+.1f} %"


def measure(arguments, folder):
    image = folder / "image"
    make_disk(image, "64M", 4096, "ext4")
    found = {}
    for cores in arguments.cores:
        for number in range(arguments.boots):
            for traced in (False, True):
                found.setdefault((cores, traced), []).append(boot(image, cores, traced, folder))
            print(f"boot {number + 1} of {arguments.boots} with and without, CORES={cores}", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--boots", type=int, default=3)
    arguments = parser.parse_args()
    refusal = counter.refusal()
    if refusal:
        print(f"trace_price: {refusal}", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
            found = measure(arguments, Path(folder))
    except (MachineError, OSError) as error:
        print(f"trace_price: {error}", file=sys.stderr)
        return 1
    print(f"\n{qemu_version()}\n\n| instructions | " + " | ".join(f"CORES={c}: off | on | price" for c in arguments.cores) + " |")
    print("|---" * (1 + 3 * len(arguments.cores)) + "|")
    for name, words in ROWS.items():
        cells = (price(*(statistics.median(b[name] for b in found[c, traced]) for traced in (False, True))) for c in arguments.cores)
        print(f"| {words} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
