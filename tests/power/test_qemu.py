"""Power cuts of the whole system: QEMU records what reaches the disk while the shell's commands change files and servers are
killed; every image that a cut could leave is judged as on the host, and some are booted."""
import hashlib
import os
import random
import re
import shutil

from framework import ROOT, case
from host import Bench, is_judged, judge_image
from judge import Judge
from oracle import Model, Promise, Refused, difference
from recording import Entry, cuts, images, read_recording, write_recording

SEED = int(os.environ.get("POWER_SEED") or 1)
DEATHS = ("crash fs kill", "crash blk kill", "crash fs", "inject fs fs.commit.write illegal 2", "inject fs fs.record illegal 1",
          "inject fs fs.commit.flush illegal 1", "inject blk blk.submit illegal 3")


class Shell:
    """Random commands of the shell, each with the operations of the model that it stands for."""

    def __init__(self, seed):
        self.dice, self.model, self.number = random.Random(f"shell {seed}"), Model(), 0

    def proposal(self):
        dice, tree = self.dice, self.model.tree()
        files = [p for p, e in tree.items() if e[0] == "file"]
        folders = [p for p, e in tree.items() if e[0] == "directory" and p not in ("", "/lost+found")]
        self.number += 1
        new = dice.choice([""] + folders) + f"/n{self.number}"
        words = " ".join(f"w{dice.randrange(1000)}" for _ in range(dice.choice((1, 20, 40))))
        kind = dice.choice(("write", "write", "append", "append", "append", "mkdir", "rmdir", "rm", "mv", "over", "ln", "symbolic",
                            "truncate"))
        if kind == "write" or not files:
            return f"write {new} {words}", [f"create {new}", f"text {new} {words}"]
        f = dice.choice(files)
        if kind == "append":
            return f"append {f} {words}", [f"text {f} {words}"]
        if kind == "mkdir":
            return f"mkdir {new}", [f"mkdir {new}"]
        if kind == "rmdir":
            folder = dice.choice(folders or ["/none"])
            return f"rmdir {folder}", [f"rmdir {folder}"]
        if kind == "mv":
            old = dice.choice(files + folders)
            return f"mv {old} {new}", [f"rename {old} {new}"]
        if kind == "over":
            other = dice.choice(files)
            return f"mv {f} {other}", [f"rename {f} {other}"]
        if kind == "ln":
            return f"ln {f} {new}", [f"link {f} {new}"]
        if kind == "symbolic":
            return f"ln -s {f} {new}", [f"symlink {new} {f}"]
        if kind == "truncate":
            size = dice.randrange(3000)
            return f"truncate {f} {size}", [f"truncate {f} {size}"]
        return f"rm {f}", [f"unlink {f}"]

    def next(self):
        while True:
            command, lines = self.proposal()
            lines = [line.replace(" /", " ") if not line.startswith("symlink") else line.replace(" /", " ", 1)
                     for line in lines]
            try:
                for line in lines:
                    self.model.apply(line)
                return command, lines
            except Refused:
                continue


class Recorder:
    """A machine under a workload; what it wrote, with marks where operations began and were acknowledged."""

    def __init__(self, t, machine, log):
        self.t, self.machine, self.log = t, machine, log
        self.lines, self.marks = [], []  # marks: (entries seen by then, text)

    def seen(self):
        return len(read_recording(self.log))

    def do(self, command, lines):
        before, first = self.seen(), len(self.lines)
        self.lines += lines
        self.t.run(self.machine, command)
        after = self.seen()
        self.marks += [(before, f"begin {first + i} {line}") for i, line in enumerate(lines)]
        self.marks += [(after, f"seen {first + i}") for i in range(len(lines))]

    def entries(self):
        """The recording with the marks in it: an operation is not on the disk before its begin, and a sync that had ended when
        its end was seen is there."""
        result, marks = [], list(self.marks)
        for number, entry in enumerate(read_recording(self.log) + [None]):
            while marks and marks[0][0] <= number:
                result.append(Entry("mark", text=marks.pop(0)[1]))
            if entry:
                result.append(entry)
        return result


def workload(t, recorder, count):
    shell = Shell(SEED)
    for i in range(count):
        roll = shell.dice.random()
        if roll < 0.15:
            recorder.do("sync", ["sync"])
        elif roll < 0.25:
            recorder.machine.command(shell.dice.choice(DEATHS))
        else:
            recorder.do(*shell.next())
    recorder.do("sync", ["sync"])


def judge_all(t, bench, entries, promise, most):
    """Judges images of a recording; what is wrong, by id."""
    every = [i for i in images(entries, 4) if is_judged(bench, promise, entries, *i)]
    every = sorted(random.Random(SEED).sample(every, min(most, len(every))))
    problems = []
    for cut in cuts(entries, {number for number, _ in every}):
        for subset in (s for number, s in every if number == cut.number):
            complaint = judge_image(bench, promise, cut, subset, SEED)
            if complaint:
                problems.append((f"{cut.number}:{subset}", complaint))
    print(f"     power qemu {bench.family} seed {SEED}: operations {len(promise.operations)}, writes "
          f"{sum(e.kind == 'write' for e in entries)}, flushes {sum(e.kind == 'flush' for e in entries)}, judged "
          f"{bench.judge.count['images']}, distinct {bench.judge.count['distinct']}, failed {len(problems)}")
    return every, problems


def boots(t, bench, promise, cut, subset):
    """The whole system mounts the image; the checksums of all files are those of one of the promised states. What its recovery
    wrote is recorded, and cut once more."""
    image, log = t.folder / "cut.img", t.folder / "boot.log"
    with bench.judge.written(cut.state(subset, SEED, bench.judge.together)):
        shutil.copyfile(bench.judge.path, image)
    log.touch()
    again = Judge(bench.host, t.folder, image)
    tree, _ = bench.host.mount(image)
    t.check(promise.complaint(cut.number, tree) is None, "the image that is booted is not as promised")
    machine = t.boot(disk=image, write_log=str(log))
    said = t.run(machine, "sha256 -r /")
    got = sorted(re.findall(r"^([0-9a-f]{64}) +(\S+)$", said, re.M))
    wanted = sorted((hashlib.sha256(e[3]).hexdigest(), p) for p, e in tree.items() if e[0] == "file")
    t.equal(got, wanted, f"checksums after a boot from cut {cut.number}:{subset}")
    machine.kill()
    return recovery_cut(t, again, log, tree)


def recovery_cut(t, judge, log, tree):
    """The power is cut while the system recovers: the same tree."""
    entries = read_recording(log)
    every = list(images(entries, 2))
    every = random.Random(SEED).sample(every, min(10, len(every)))
    for cut in cuts(entries, {number for number, _ in every}):
        for subset in (s for number, s in every if number == cut.number):
            complaint = judge.image(cut.state(subset, SEED, judge.together), lambda got: None if got == tree else difference(tree, got))
            t.check(not complaint, f"the system's recovery, cut at {cut.number}:{subset}: {complaint}")
    return judge.count["images"]


def the_system(t, family):
    bench = Bench(family)
    try:
        image, log = t.folder / "disk.img", t.folder / "writes.log"
        shutil.copyfile(bench.base, image)
        log.touch()
        recorder = Recorder(t, t.boot(disk=image, write_log=str(log)), log)
        workload(t, recorder, 300 if t.full else 30)
        recorder.machine.kill()
        entries = recorder.entries()
        kept = ROOT / "build" / "power" / f"qemu-{family}-{SEED}.log"
        kept.parent.mkdir(exist_ok=True)
        write_recording(kept, entries)
        promise = Promise(recorder.lines, entries, bench.journal)
        every, problems = judge_all(t, bench, entries, promise, 1000 if t.full else 40)
        name = f"{family}:{SEED}:file={kept.relative_to(ROOT)}"
        t.check(not problems, "; ".join(f"{name}:{place}: {what}" for place, what in problems[:3])
                + " (again: make power ID=..)")
        for number, subset in every[::len(every) // (8 if t.full else 2) + 1]:
            count = boots(t, bench, promise, next(cuts(entries, {number})), subset)
            print(f"     power qemu {family} seed {SEED}: booted from cut {number}:{subset}, its recovery cut {count} times")
    finally:
        bench.close()


@case(family=["ext4"])
def power_qemu(t, family):
    the_system(t, family)


@case(full=True, family=["ext2", "ext3"])
def power_qemu_more(t, family):
    the_system(t, family)
