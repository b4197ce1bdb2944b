#!/usr/bin/env python3
"""Runs the same measurements on Planaria and on Debian's Linux, in turns on the same QEMU, cores, memory and disk image, and
prints them side by side. `make bench` calls it; QEMU=path chooses the emulator.

usage: side_by_side.py [--cores 4] [--runs 3] [--memory 512M] [--no-icount]
Times are of RUNS boots of each system (0: none); instructions of one boot of each under -icount, where they are exact, and of one of each
that our plugin counts (bench/counter.py), where -icount cannot. Each
result is kept in build/bench/, one for each emulator, and the page there (index.html) has them all. A part that was not measured
this time stands as the last result of that emulator has it.
"""
import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import counter  # noqa: E402
from linux_side import linux_version, run_linux, script  # noqa: E402
from report import html_page, text_tables  # noqa: E402
from rows import merge, missing, parse  # noqa: E402
from disk import make_disk  # noqa: E402
from qemu import Machine, MachineError, Options, qemu_version  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build/bench"
IMAGE = ROOT / "build/tmp/side-by-side.img"
TOPICS = "endpoint fault doorbell channel files sizes memory start"
ICOUNT_FLAGS = ("-icount", "shift=0,sleep=off")
LINUX_ICOUNT_FLAGS = ("-icount", "shift=0,sleep=on")
ICOUNT_CORES = 2        # they take turns: one that has nothing to do costs nothing
LINUX_ICOUNT_CORES = 1  # two never come out of Linux's boot: one spins for the other through a turn that does not end
COUNTED_CORES = 2       # by the plugin
ICOUNT_WORDS = "--icount --count 2000"  # counts need no many rounds
OURS_SECONDS = 1800  # failsafe: all topics; 60 s on a quiet host


def fresh_disk():
    """The same image for every boot, and never the one that a boot has written to."""
    if not IMAGE.exists():
        IMAGE.parent.mkdir(parents=True, exist_ok=True)
        make_disk(IMAGE, "64M", 4096, "ext4")
    return shutil.copy(IMAGE, f"{IMAGE}.run")


def boot_figures(seconds):
    return {"boot.min": round(seconds * 1e9), "boot.median": round(seconds * 1e9)}


def run_planaria(options, icount, cores=None, flags=()):
    """Figures of one boot."""
    machine = Options(cores=cores or (ICOUNT_CORES if icount else options.cores), memory=options.memory, disk=fresh_disk(),
                      boot=str(ROOT / "build/boot-default.img"), kernel=str(ROOT / "build/kernel.elf"),
                      flags=[*(ICOUNT_FLAGS if icount else ()), *flags])
    start = time.monotonic()
    with Machine(machine, ROOT / "build/log/side-by-side-planaria.log") as m:
        m.prompt(OURS_SECONDS)
        seconds = time.monotonic() - start
        m.enter(f"color off; bench {TOPICS} {ICOUNT_WORDS if icount else 'crash'} --lines; poweroff")
        m.wait_end(OURS_SECONDS)
        return parse(m.text) | boot_figures(seconds)


def run_beside(options, icount, cores=None, flags=()):
    cores = cores or (LINUX_ICOUNT_CORES if icount else options.cores)
    text, seconds = run_linux(fresh_disk(), ROOT / "build/log/side-by-side-linux.log", cores, options.memory,
                              script(cores, icount), [*(LINUX_ICOUNT_FLAGS if icount else ()), *flags])
    for line in re.findall(r"^.*ended with status.*$", text, re.M):
        print(f"Linux: {line}", file=sys.stderr)
    return parse(text) | boot_figures(seconds)


def only_instructions(figures):
    return {name: value for name, value in figures.items() if name.endswith(".instructions")}


def count_by_plugin(run, options):
    """What the plugin counts in a boot that measures as ever; its times are not taken."""
    out = ROOT / "build/tmp/counts"
    run(options, False, COUNTED_CORES, counter.flags(out))
    return counter.read_counts(out.read_text())


def measure(options):
    loads = [os.getloadavg()[0]]
    figures = {"planaria": [], "linux_figures": []}
    sides = (("planaria", run_planaria), ("linux_figures", run_beside))
    for number in range(options.runs):
        for side, run in sides:
            figures[side].append(run(options, False))
        loads.append(os.getloadavg()[0])
        print(f"run {number + 1} of {options.runs} of both systems", flush=True)
    for side, run in sides if options.icount else ():
        figures[side].append(only_instructions(run(options, True)))
        print("instructions of one system", flush=True)
    refusal = counter.refusal() if options.icount else None
    if refusal:
        print(f"no counts of two cores of Linux, and of what waits for the disk: {refusal}", file=sys.stderr)
    for side, run in sides if options.icount and not refusal else ():
        figures[side].append(count_by_plugin(run, options))
        print("instructions of two cores of one system", flush=True)
    result = {side: merge(runs) for side, runs in figures.items()}
    return result | {"emulator": qemu_version(), "linux": linux_version(), "cores": options.cores, "runs": options.runs,
                     "icount_cores": f"{ICOUNT_CORES} and {LINUX_ICOUNT_CORES}", "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
                     "load": f"{min(loads):.1f} to {max(loads):.1f}"}


def with_former(result, former):
    """The result, and from the former one of the same emulator the times or the counts that were not measured anew."""
    for side in ("planaria", "linux_figures"):
        counted = {way: any(name.endswith(way) for name in result[side]) for way in (".instructions", ".counted")}
        kept = {name: value for name, value in former[side].items()
                if not next((there for way, there in counted.items() if name.endswith(way)), result["runs"])}
        result[side] = kept | result[side]
    if not result["runs"]:
        result |= {key: former[key] for key in ("runs", "load", "cores", "date")}
    return result


def keep(result, folder=KEPT):
    """Writes the result and the page of all that are there; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    version = re.search(r"\d[\d.]*", result["emulator"])
    path = folder / f"figures-{version[0] if version else 'unknown'}.json"
    if path.exists():
        with_former(result, json.loads(path.read_text()))
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("figures-*.json"))]
    (folder / "index.html").write_text(html_page(results))
    return folder / "index.html"


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--no-icount", dest="icount", action="store_false")
    return parser.parse_args()


def main():
    options = read_arguments()
    if options.cores < 2 or options.runs < 0 or not (options.runs or options.icount):
        print("side_by_side: it needs CORES=2 at least, and RUNS=0 (instructions alone) or more", file=sys.stderr)
        return 1
    try:
        result = measure(options)
    except (MachineError, RuntimeError, OSError) as error:
        print(f"side_by_side: {error}; the consoles' logs are build/log/side-by-side-*.log", file=sys.stderr)
        return 1
    page = keep(result)
    print(text_tables(result))
    print(f"\nwith plots: {os.path.relpath(page)}")
    gaps = missing(result["planaria"], result["linux_figures"]) if result["runs"] else []
    print("".join(f"{gap}\n" for gap in gaps), end="", file=sys.stderr)
    return bool(gaps)


if __name__ == "__main__":
    sys.exit(main())
