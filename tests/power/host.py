#!/usr/bin/env python3
"""Power cuts on the host: workloads through the file server's own sources, every cut judged.

usage: host.py [--family ext2] [--set short1|short2|random|long|kill] [--seed 1] [--share 1/1] [--id ID]
Each failure prints its id, FAMILY:SEED:WORKLOAD[@KILLS]:CUT:SUBSET (or file=PATH, a recording that
test_qemu.py kept, for the workload); --id performs that one alone and leaves the image in
build/power/. Prints all denominators; the exit status is 0 only when nothing failed.
"""
import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from judge import FAMILIES, Host, HostDied, Judge, has_journal, make_base  # noqa: E402
from oracle import Promise  # noqa: E402
from recording import cuts, images, read_recording  # noqa: E402
from workloads import by_name, enumerated  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/power/fs_host"
FAST = Path("/dev/shm")
SHOWN = 10
TURN = 16   # entries before and after a turn of the journal
TURN_TORN = 40  # torn images there
HOLES = 3  # images that nobody promised to be sound, of each workload


class Bench:
    """One process's place to work: folder, fs_host, judge."""

    def __init__(self, family):
        self.folder = Path(tempfile.mkdtemp(prefix="planaria-power-", dir=FAST if FAST.is_dir() else None))
        self.base = self.folder / "base.img"
        make_base(family, self.base)
        self.host = Host(PROGRAM, self.folder)
        self.host.set_base(self.base)
        self.judge = Judge(self.host, self.folder, self.base)
        self.journal = has_journal(self.judge.base)
        self.family = family

    def close(self):
        self.host.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def split_kills(name):
    workload, _, kills = name.partition("@")
    return workload, [int(k) for k in kills.split(",") if k]


def perform(bench, name, seed):
    """(entries, promise, complaints) of a workload by its name."""
    if name.startswith("file="):
        return recorded(bench, ROOT / name[5:])
    plain, kills = split_kills(name)
    workload = by_name(plain)
    entries, _, complaints = bench.host.run(workload.lines, kills, seed)
    return entries, Promise(workload.lines, entries, bench.journal), complaints, first_cut(workload, entries)


def recorded(bench, path):
    """A recording that was kept, whose marks hold the operations."""
    entries = read_recording(path)
    lines = [e.text.split(" ", 2)[2] for e in entries if e.kind == "mark" and e.text.startswith("begin ")]
    return entries, Promise(lines, entries, bench.journal), [], 0


def first_cut(workload, entries):
    """Cuts while the needed objects are made belong to the workloads that make them."""
    for number, entry in enumerate(entries):
        if entry.kind == "mark" and entry.text == f"done {workload.setup - 1}":
            return number + 1
    return 0


def is_judged(bench, promise, entries, cut, subset):
    """Without a journal only the states between commits are promised: right after a flush, and when a sync has ended."""
    if bench.journal:
        return True
    last = entries[cut - 1] if cut else None
    if last and last.kind == "mark":
        return last.text.startswith("done ") and promise.operations[int(last.text.split()[1])] == "sync"
    return subset == "all" and (not last or last.kind == "flush")


def turns(bench, entries):
    """Where the journal gives up its oldest part: its superblock is written, and what follows may take that part's place. Rare,
    so they are tried beside what chance takes: [(number of that entry, number of the next flush)]. The first such writes are
    the mount's."""
    begun = next((i for i, e in enumerate(entries) if e.kind == "mark"), 0)
    first = bench.judge.journal[0] * 1024 if bench.judge.journal else None
    places = [i for i, e in enumerate(entries) if i > begun and e.kind == "write" and e.offset == first]
    return [(i, next((n for n in range(i, len(entries)) if entries[n].kind == "flush"), len(entries))) for i in places]


def near_turns(places, every):
    near = [image for image in every if any(start - TURN <= image[0] <= end + TURN for start, end in places)]
    return near, [(end, f"t{i}") for _, end in places for i in range(TURN_TORN)]


def judge_image(bench, promise, cut, subset, seed):
    return bench.judge.image(cut.state(subset, seed, bench.judge.together), lambda tree: promise.complaint(cut.number, tree))


def try_workload(bench, name, seed, most_images):
    """All images of one workload. Yields (id, complaint, judged) for each that is not as it should be."""
    count = bench.judge.count
    count["workloads"] += 1
    try:
        entries, promise, complaints, first = perform(bench, name, seed)
    except HostDied as death:
        yield f"{bench.family}:{seed}:{name}:0:all", str(death), True
        return
    for complaint in complaints:
        yield f"{bench.family}:{seed}:{name}:0:all", complaint, True
    every = [image for image in images(entries, 4) if image[0] >= first]
    count["cuts"] += len({number for number, _ in every})
    count["enumerated"] += len(every)
    promised = [image for image in every if is_judged(bench, promise, entries, *image)]
    holes = [image for image in every if image not in promised]
    dice = random.Random(f"{seed}:{name}")
    if most_images:
        near, torn = near_turns(turns(bench, entries), promised)
        near = dice.sample(near, min(len(near), most_images)) + dice.sample(torn, min(len(torn), most_images))
        promised = dice.sample(promised, min(len(promised), most_images)) + near
        holes = dice.sample(holes, min(len(holes), HOLES))
    every = sorted(set(promised + holes))
    subsets = {}
    for number, subset in every:
        subsets.setdefault(number, []).append(subset)
    for cut in cuts(entries, set(subsets)):
        for subset in subsets[cut.number]:
            judged = is_judged(bench, promise, entries, cut.number, subset)
            count["judged" if judged else "unpromised"] += 1
            try:
                complaint = judge_image(bench, promise, cut, subset, seed)
            except HostDied as death:
                complaint = str(death)
            if complaint:
                yield f"{bench.family}:{seed}:{name}:{cut.number}:{subset}", complaint, judged


def kill_names(bench, seed, number, dice):
    """Kill of the server at a random step, once more in its recovery (and once more), while the power will be cut anywhere."""
    name = f"random,{seed * 1000 + number},{dice.randrange(5, 25)}"
    _, steps, _ = bench.host.run(by_name(name).lines)
    kills = [dice.randrange(1, steps + 1)] + [dice.randrange(1, 60) for _ in range(dice.randrange(3))]
    return f"{name}@{','.join(map(str, kills))}"


def names_of(kind, seed, share):
    """The names of a set; `share` (k, n): about k of n of them, chosen by the seed."""
    dice = random.Random(f"{kind} {seed}")
    if kind in ("short1", "short2"):
        every = [w.name for w in enumerated(int(kind[5:]))]
        return dice.sample(every, max(1, len(every) * share[0] // share[1])), len(every)
    count = max(1, 1000 * share[0] // share[1])
    if kind == "long":
        return [f"long,{seed * 1000 + i},{dice.randrange(400, 900)}" for i in range(count)], 1000
    if kind == "random":
        return [f"random,{seed * 1000 + i},{dice.randrange(40, 300)}" for i in range(count)], 1000
    return [f"kill {i}" for i in range(count)], 1000


def work(job):
    family, names, seed, most_images, limit = job
    bench = Bench(family)
    problems, end = [], time.monotonic() + limit if limit else None
    try:
        for name in names:
            if end and time.monotonic() > end:
                break
            if name.startswith("kill "):
                number = int(name.split()[1])
                name = kill_names(bench, seed, number, random.Random(f"kill {seed} {number}"))
            problems += list(try_workload(bench, name, seed, most_images))
        return bench.judge.count, problems
    finally:
        bench.close()


def campaign(family, kind, seed, share, jobs, most_images, limit):
    names, possible = names_of(kind, seed, share)
    parts = [(family, names[i::jobs], seed, most_images, limit) for i in range(jobs)]
    count, problems = Counter(possible=possible), []
    with multiprocessing.Pool(jobs) as pool:
        for part_count, part_problems in pool.imap_unordered(work, parts):
            count += part_count
            problems += part_problems
    return count, problems


def report(family, kind, seed, count, problems, seconds):
    failed = [p for p in problems if p[2]]
    holes = len(problems) - len(failed)
    for name, complaint, _ in failed[:SHOWN]:
        print(f"FAIL {name}\n     {complaint}\n     again: make power ID='{name}'")
    print(f"power {family} {kind} seed {seed}: workloads {count['workloads']} of {count['possible']}, cuts {count['cuts']}, "
          f"images {count['images']} of {count['enumerated']}, distinct {count['distinct']}, judged {count['judged']}, "
          f"failed {len(failed)}; not promised {count['unpromised']}, of them unsound {holes}; journals replayed "
          f"{count['journals replayed']}, recoveries cut {count['recoveries cut']}, volumes checked by e2fsck "
          f"{count['volumes checked']}; {seconds:.0f} s")
    return failed, holes


def replay(name):
    """One image by its id."""
    family, seed, rest = name.split(":", 2)
    workload, number, subset = rest.rsplit(":", 2)
    bench = Bench(family)
    try:
        entries, promise, complaints, _ = perform(bench, workload, int(seed))
        for i, entry in enumerate(entries):
            print(f"{'>' if i == int(number) else ' '} {i:4} {entry.kind:5} " + (entry.text if entry.kind == "mark" else
                  f"block {entry.offset / 1024:g}, {len(entry.data)} bytes" if entry.kind == "write" else ""))
        cut = next(cuts(entries, {int(number)}))
        state = cut.state(subset, int(seed), bench.judge.together)
        kept = ROOT / "build/power/replayed.img"
        with bench.judge.written(state):
            shutil.copyfile(bench.judge.path, kept)
        complaint = judge_image(bench, promise, cut, subset, int(seed))
        print("\n".join(complaints + [complaint or "nothing is wrong", f"the image is {kept.relative_to(ROOT)}"]))
        return complaint is not None or bool(complaints)
    finally:
        bench.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", choices=FAMILIES, default="ext2")
    parser.add_argument("--set", choices=("short1", "short2", "random", "long", "kill"), default="short1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", default="1/1", help="K/N: so much of the set, chosen by the seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--images", type=int, default=0, help="of each workload at most, chosen by the seed; 0: all")
    parser.add_argument("--seconds", type=int, default=0, help="end after so long")
    parser.add_argument("--id")
    a = parser.parse_args()
    if a.id:
        return replay(a.id)
    share = tuple(int(n) for n in a.share.split("/"))
    start = time.monotonic()
    count, problems = campaign(a.family, a.set, a.seed, share, a.jobs, a.images, a.seconds)
    failed, _ = report(a.family, a.set, a.seed, count, problems, time.monotonic() - start)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
