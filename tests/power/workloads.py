"""Workloads: short ones by enumeration (as ACE does for CrashMonkey), long ones by chance.

Bounds of the enumeration: one or two operations over four files in two directories, a fixed set of sizes and offsets, a sync
after the first or not, a sync at the end. What an operation needs is made before, and synced. Names are the operations
themselves, so a workload's name performs it.
"""
import itertools
import random

from oracle import Model, Refused

FILES = ("foo", "bar", "A/foo", "A/bar")
FOLDERS = ("A", "B")
BYTES_MOST = 600000  # in files of a random workload: it must never meet a full disk


def operations():
    """The alphabet: every operation with every argument."""
    for f in FILES:
        yield f"create {f}"
        yield f"write {f} 0 3000 1"        # new content, or all over
        yield f"write {f} 700 1500 2"      # across borders of blocks
        yield f"write {f} end 1400 3"      # append
        yield f"write {f} 20000 600 4"     # behind a hole, through an indirect block
        yield f"truncate {f} 0"
        yield f"truncate {f} 700"
        yield f"truncate {f} 9000"
        yield f"unlink {f}"
        yield f"symlink {f} somewhere"
    yield f"symlink foo {'long-' * 20}end"
    for a, b in itertools.permutations(FILES, 2):
        yield f"link {a} {b}"
        yield f"rename {a} {b}"
    for d in FOLDERS:
        yield f"mkdir {d}"
        yield f"rmdir {d}"
    yield "rename A B"
    yield "rename A B/A"
    yield "rename B A/B"


def needed(lines):
    """What has to exist before: operations, or None where the sequence is impossible."""
    made = []
    for _ in range(8):
        model = Model()
        try:
            for line in made + lines:
                model.apply(line)
            return made
        except Refused as refused:
            if not refused.missing:
                return None
            path, kind = refused.missing
            if any(line.split()[1] == path for line in made):
                return None  # removed by the workload itself
            made = made + ([f"mkdir {path}"] if kind == "directory" else
                           [f"create {path}", f"write {path} 0 2500 9"])
            made.sort(key=lambda line: (not line.startswith("mkdir"), line.split()[1].count("/")))
    return None


class Workload:
    def __init__(self, name, setup, lines):
        before = setup + ["sync"] if setup else []
        self.name, self.setup, self.lines = name, len(before), before + lines


def compact(lines):
    return "+".join(line.replace(" ", ",") for line in lines)


def enumerated(length):
    """All sequences of so many operations that are possible."""
    alphabet = list(operations())
    for ops in itertools.product(alphabet, repeat=length):
        setup = needed(list(ops))
        if setup is None:
            continue
        for syncs in itertools.product((False, True), repeat=length - 1):
            lines = []
            for op, sync in zip(ops, syncs + (True,)):
                lines += [op, "sync"] if sync else [op]
            yield Workload(compact(lines), setup, lines)


class Chance:
    """Random operations that are possible, on a tree that grows and shrinks."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.model = Model()
        self.counter = 0

    def nodes(self, kind):
        return [path[1:] for path, entry in self.model.tree().items()
                if entry[0] == kind and path not in ("", "/lost+found")]

    def new_path(self):
        folder = self.dice.choice([""] + self.nodes("directory"))
        self.counter += 1
        long = "-" + "x" * self.dice.randrange(120) if self.dice.random() < 0.1 else ""
        return (folder + "/" if folder else "") + f"n{self.counter}{long}"

    def proposal(self):
        dice, files, folders = self.dice, self.nodes("file"), self.nodes("directory")
        some = files + folders + self.nodes("symlink")
        if sum(len(entry[3]) for entry in self.model.tree().values()) > BYTES_MOST:
            return f"unlink {dice.choice(files)}"
        kind = dice.choices(("create", "write", "truncate", "mkdir", "rmdir", "unlink", "rename", "over", "link", "symlink"),
                            (10, 30, 8, 5, 3, 8, 8, 4, 4, 2))[0]
        if kind == "create" or not files:
            return f"create {self.new_path()}"
        f = dice.choice(files)
        if kind == "write":
            at = dice.choice(("end", "end", 0, dice.randrange(6000), dice.randrange(60000)))
            return f"write {f} {at} {dice.choice((1, 100, 1024, 5000, dice.randrange(1, 20000)))} {dice.randrange(99)}"
        if kind == "truncate":
            return f"truncate {f} {dice.choice((0, dice.randrange(3000), dice.randrange(40000)))}"
        if kind == "mkdir":
            return f"mkdir {self.new_path()}"
        if kind == "rmdir" and folders:
            return f"rmdir {dice.choice(folders)}"
        if kind == "rename":
            return f"rename {dice.choice(some)} {self.new_path()}"
        if kind == "over":
            return f"rename {f} {dice.choice(files)}"
        if kind == "link":
            return f"link {f} {self.new_path()}"
        if kind == "symlink":
            return f"symlink {self.new_path()} {'t' * dice.randrange(1, 200)}"
        return f"unlink {f}"

    def next(self):
        while True:
            line = self.proposal()
            try:
                self.model.apply(line)
                return line
            except Refused:
                continue


def random_one(name):
    """`random,SEED,LENGTH`: operations with a sync after every few. `long,..`: with many more commits, so that a journal
    comes round."""
    kind, seed, length = name.split(",")
    commit = 0.6 if kind == "long" else 0.14
    chance = Chance(f"random {seed}")
    lines = []
    while len(lines) < int(length):
        lines.append(chance.next())
        roll = chance.dice.random()
        if roll < 0.08:
            lines.append("sync")
        elif roll < commit:
            lines.append("commit")  # one that nobody waits for
    return Workload(name, [], lines + ["sync"])


def by_name(name):
    if name.startswith(("random,", "long,")):
        return random_one(name)
    lines = [part.replace(",", " ") for part in name.split("+")]
    setup = needed(lines)
    if setup is None:
        raise ValueError(f"the workload {name} is impossible")
    return Workload(name, setup, lines)
