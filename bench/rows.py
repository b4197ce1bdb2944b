"""What is compared with what: the rows of each table, and the arithmetic of a row. No row that does not mean the same on both sides.

Figures are a dict "name.part" -> number, from lines `BENCH name.part number unit` of either system; parts are min, median
(ns), instructions (by -icount) and counted (by our plugin, bench/counter.py). A row is its words and the names of the two series;
None: that side has no equal, which `why` says. Rows whose operations wait for the disk have no instructions by -icount: on a machine
whose time jumps while all wait, what is counted is whatever was due meanwhile.
"""
import re
import statistics
from dataclasses import dataclass

BENCH_LINE = re.compile(r"^BENCH (\S+) (\d+) (\S+)$", re.M)
PARTS = ("min", "median", "instructions")


@dataclass(frozen=True)
class Row:
    words: str
    ours: str | None
    linux: str | None
    why: str = ""
    waits: bool = False


def against(words, ours, *linux):
    """One of ours beside several of theirs: (what it is there, series)."""
    return [Row(f"{words} / {there}", ours, series) for there, series in linux]


TABLES = {
    "Calls, and two that take turns on one core": [
        Row("null system call / getppid", "null.call", "null"),
        Row("call of a program that its library OS takes / getppid", "program.call", "null"),
        *against("call and answer by endpoint", "endpoint.0", ("futex", "futex.near"), ("eventfd", "eventfd.near"),
                 ("pipe, 64 bytes", "pipe.near"), ("AF_UNIX, 64 bytes", "unix.near")),
        *against("channel, 64 bytes there and back", "near.64", ("pipe", "pipe.near"), ("AF_UNIX", "unix.near")),
    ],
    "Round trips between two cores": [
        *against("doorbell and word, receiver asleep", "doorbell.sleep", ("futex", "futex.far"), ("eventfd", "eventfd.far")),
        *against("channel, 64 bytes there and back, both awake", "call.64", ("pipe", "pipe.far"), ("AF_UNIX", "unix.far")),
    ],
    "Messages of 64 bytes one way, for each (ours with an answer to each)": [
        Row("channel, two cores / pipe", "pipelined.64", "message.far"),
        Row("channel, one core / pipe", "near.pipelined.64", "message.near"),
    ],
    "Files on ext4, for each piece or operation": [
        Row("write by 4 KiB, 4 MiB and fsync", "write.4k", "write.4k", waits=True),
        Row("write by 64 KiB, 4 MiB and fsync", "write.64k", "write.64k", waits=True),
        Row("write by 1 MiB, 4 MiB and fsync", "write.1m", "write.1m", waits=True),
        Row("read 4 KiB from the cache", "read.4k", "read.4k"),
        Row("read 64 KiB from the cache", "read.64k", "read.64k"),
        Row("read 1 MiB from the cache", "read.1m", "read.1m"),
        Row("read 64 KiB from the disk (ours after a restart of fs)", "read.cold", "read.cold", waits=True),
        Row("write 4 KiB and fsync", "sync.4k", "sync.4k", waits=True),
        Row("create an empty file", "file.create", "file.create"),
        Row("unlink", "file.unlink", "file.unlink"),
        Row("create, write 4 KiB, fsync, unlink", "file.cycle", "file.cycle", waits=True),
        Row("stat", "stat", "stat"),
        Row("open and close", "open.close", "open.close"),
    ],
    "Programs and memory": [
        Row("program loaded, run, ended, known / vfork, exec, wait", "program.start", "vfork.exec"),
        Row("the same / fork, exec, wait", "program.start", "fork.exec"),
        Row("copy of a process (fork, exit, wait)", None, "fork", "a domain is never copied"),
        Row("thread (create, join)", None, "thread", "a domain has fibers, which no kernel knows"),
        Row("one page: taken, used, given back", "page.one", "page.one"),
        Row("256 pages at once, for each", "page.many", "page.many"),
        Row("page fault of a program, first use of memory: a clear page", "fault.first", "fault.first"),
        Row("page fault, first write after a fork", None, "fault.copy", "programs of a library OS do not fork yet"),
    ],
    "Boot and recovery": [
        Row("power-on to prompt, disk mounted", "boot", "boot"),
        Row("disk driver: crash to first answer, in use / unbind, bind, first read, unused", "crash.blk.served", "rebind", waits=True),
    ],
}


def parse(text):
    """Figures of one console; the last line of a name counts."""
    return {name: int(value) for name, value, _ in BENCH_LINE.findall(text)}


def merge(runs):
    """Of several runs: the least of the minima and of the instructions, the median of all else."""
    names = {name for run in runs for name in run}
    merged = {}
    for name in names:
        values = [run[name] for run in runs if name in run]
        least = name.endswith((".min", ".instructions", ".counted"))
        merged[name] = min(values) if least else round(statistics.median(values))
    return merged


def times(ours, linux):
    """How many times what we take Linux takes; None when one side is not known."""
    return linux / ours if ours and linux else None


def compared(row, ours, linux):
    """part -> (ours, Linux's, times), None where there is no figure."""
    found = {}
    for part in PARTS:
        a = ours.get(f"{row.ours}.{part}") if row.ours else None
        b = linux.get(f"{row.linux}.{part}") if row.linux else None
        if part == "instructions" and by_plugin(row, ours, linux):
            a, b = (figures.get(f"{name}.counted") for figures, name in ((ours, row.ours), (linux, row.linux)))
        found[part] = (a, b, times(a, b))
    return found


def by_plugin(row, ours, linux):
    """Both counts of a row come by the same way: by the plugin where -icount has not both of them."""
    return row.waits or any(f"{name}.instructions" not in figures and f"{name}.counted" in figures
                            for figures, name in ((ours, row.ours), (linux, row.linux)))


def missing(ours, linux):
    """Series of the rows that one side did not print, as sentences."""
    wanted = {("Planaria", r.ours) for rows in TABLES.values() for r in rows if r.ours}
    wanted |= {("Linux", r.linux) for rows in TABLES.values() for r in rows if r.linux}
    there = {"Planaria": ours, "Linux": linux}
    return [f"{side} printed no {name}.median" for side, name in sorted(wanted) if f"{name}.median" not in there[side]]
