"""Replay on the real system: the file system dies with its log full of acknowledged operations, dies again while it performs them
again, and a client dies meanwhile.

A script on the disk says what clients do (apps/perform.c) and where the file system dies: at the next passage of a point, then
in its next incarnation, which is still recovering, and in the one after that. What the tree must be is said by the model of
tests/power/oracle.py, which hears of nothing but the operations whose acknowledgement was printed. The tree is read by debugfs,
the image is judged by e2fsck. Nothing is committed but by a sync, a full ring, and the end of a recovery (commit=600000), and nobody counts as hung.
"""
import os
import random
import re
import subprocess
import sys

from framework import FULL, ROOT, case

sys.path.insert(0, str(ROOT / "tests/power"))
from oracle import Model, content, difference  # noqa: E402

ACK = re.compile(r"^(\w+):(\d+)(?:\.(\d+))? ok(.*)$", re.M)
REFUSED = re.compile(r"^\w+:\d+ (?!ok).*$", re.M)
BACK = re.compile(r"^(?:\S+ +)?fs is back as epoch (\d+)", re.M)
LISTED = re.compile(r"^/(\d+)/(\d+)/\d+/\d+/([^/]+)/", re.M)
LOST = "the outcome was lost"
NO_HANDLE = ("no such handle, or it is of an earlier epoch", "the file handle's inode is gone")
DEATHS = ("illegal", "wild", "stack", "assert", "exit")
# Passed while the log is performed again (`fs.alloc`: where it takes blocks), and before.
RECOVERY = ("runtime.adopt", "fs.cache.read", "runtime.replay", "fs.replay", "fs.op", "fs.alloc", "fs.record", "runtime.complete")
# Passed by the commit that follows: what was replayed is not durable yet, or just so.
COMMIT = ("fs.commit.mark", "fs.commit.copy", "fs.commit.write", "fs.commit.flush", "fs.commit.done")
LOGGED = 9  # acknowledged and uncommitted operations, at least, when the file system dies


def fnv(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return f"{h:016x}"


def client_acks(output, client):
    """Line -> figures of its acknowledgement."""
    return {int(number): figures for name, number, piece, figures in ACK.findall(output) if name == client.name and not piece}


class Client:
    """Makes one client's script, and the model's view of it: what a line does to the tree when it is acknowledged."""

    def __init__(self, name, model):
        self.name, self.model, self.lines = name, model, []
        self.effects = {}  # line -> function of the acknowledgement's figures; complains by a sentence
        self.held = {}

    def line(self, text, effect=None):
        self.lines.append(text)
        self.effects[len(self.lines)] = effect
        return len(self.lines)

    def do(self, text):
        """An operation that the model knows by the same words."""
        return self.line(text, lambda _: self.model.apply(text))

    def write(self, path, offset, length, pattern):
        def effect(figures):
            at = len(self.model.find(path, "file").data)
            self.model.apply(f"write {path} {offset} {length} {pattern}")
            if offset == "end" and int(figures) != at:
                return f"the append went to {int(figures)}, not to {at}"
            return None
        return self.line(f"write {path} {offset} {length} {pattern}", effect)

    def hold(self, number, path):
        def effect(_):
            self.held[number] = self.model.find(path, "file")  # with a name or without
        return self.line(f"hold {number} {path}", effect)

    def put(self, number, offset, length, pattern):
        def effect(_):
            node = self.held[number]
            before = node.data.ljust(offset, b"\0")
            node.data = before[:offset] + content(length, pattern) + before[offset + length:]
        return self.line(f"put {number} {offset} {length} {pattern}", effect)

    def get(self, number):
        def effect(figures):
            wanted = f"{len(self.held[number].data)} {fnv(self.held[number].data)}"
            return None if figures.strip() == wanted else f"the open file reads {figures.strip()}, not {wanted}"
        return self.line(f"get {number}", effect)

    def judge(self, t, output, refused=()):
        """Every line was acknowledged but those, and the figures are what the model says."""
        acks = client_acks(output, self)
        for number, text in enumerate(self.lines, 1):
            if number in refused:
                continue
            t.check(number in acks, f"{self.name}:{number} '{text}' was not acknowledged: {output[-800:]!r}")
            effect = self.effects[number]
            complaint = effect(acks[number]) if effect else None
            t.check(not complaint, f"{self.name}:{number} '{text}': {complaint}")
        return acks


class System:
    """A machine whose disk holds the scripts, and the folder /w that they work in."""

    def __init__(self, t, kind, clients, files=(), services="", system="default"):
        self.t, self.clients = t, clients
        tree = t.folder / "tree"
        (tree / "w").mkdir(parents=True)
        for name in files:
            (tree / "w" / name).touch()
        for client in clients:
            (tree / client.name).write_text("\n".join(client.lines) + "\n")
        self.image = t.disk(kind=kind, tree=tree, size="32M")
        # A busy host is no hang: who dies here dies on purpose, and each death is counted. The others are pinged once a second, for
        # QEMU can lose the wake-up of a domain that shares its core (CAVEATS.md): the kernel finds it when it is entered.
        text = re.sub("hang_ms = [0-9]+, request_ms = [0-9]+", "hang_ms = 4000, request_ms = 0",
                      (ROOT / f"systems/{system}.toml").read_text())
        text = re.sub('(name = "fs"\n(?:.+\n)*?watch = {) hang_ms = 4000', r"\1 hang_ms = 0", text)
        text = text.replace('name = "fs"\n', 'name = "fs"\nargument = "commit=600000"\n', 1)
        self.machine = t.boot(disk=self.image, boot=str(t.image(text + services)))

    def perform(self):
        output = self.t.run(self.machine, "run perform " + " ".join("/" + c.name for c in self.clients), seconds=600)
        self.t.check(not REFUSED.search(output), f"an operation failed: {REFUSED.search(output)}")
        return output

    def stop(self):
        """Power off; the image is sound; the tree as debugfs reads it."""
        self.t.run(self.machine, "sync")
        self.t.equal(self.machine.poweroff(), 0, "code of QEMU")
        return tree_of(self.t, self.t.image_is_sound(self.image))

    def end(self, model):
        """The disk, as others read it, is the model's tree."""
        self.compare(self.stop(), model)

    def compare(self, got, model):
        wanted = {p: e for p, e in model.tree().items() if p.startswith("/w")}
        wanted = {p: (e[0], 0 if e[0] == "directory" else e[1], 0, e[3]) for p, e in wanted.items()}
        self.t.check(got == wanted, f"the tree is not the model's: {difference(wanted, got)}")


def tree_of(t, image):
    """/w as debugfs reads it, in the model's words; links of files are counted by their inode's names."""
    out = t.folder / "dumped"
    out.mkdir()
    subprocess.run(["/sbin/debugfs", "-R", f"rdump /w {out}", str(image)], capture_output=True, check=True)
    tree, names, inode = {}, {}, {}
    for folder, _, _ in os.walk(out / "w"):
        path = folder[len(str(out)):]
        tree[path] = ("directory", 0, 0, b"")
        said = subprocess.run(["/sbin/debugfs", "-R", f"ls -p {path}", str(image)], capture_output=True, text=True).stdout
        for number, mode, name in LISTED.findall(said):
            child, place = f"{path}/{name}", out / f"{path}/{name}"[1:]
            if name in (".", "..") or mode.startswith("04"):
                continue
            link = mode.startswith("12")
            tree[child] = ("symlink" if link else "file", 0, 0, os.readlink(place).encode() if link else place.read_bytes())
            inode[child] = number
            names[number] = names.get(number, 0) + 1
    return {p: (e[0], names[inode[p]] if p in inode else 0, 0, e[3]) for p, e in tree.items()}


class Tree(Model):
    """The model with the paths that a client uses, and the folder /w in it."""

    def __init__(self):
        super().__init__()
        self.apply("mkdir /w")

    def find(self, path, kind):
        return super().find(path.removeprefix("/"), kind)


def died_in_recovery(t, system, epochs, last):
    """None of these incarnations served: each died before it was back."""
    back = {int(n) for n in BACK.findall(t.run(system.machine, "log"))}
    t.check(last in back, f"the log does not tell of incarnation {last} ({sorted(back)})")
    t.equal(sorted(back & set(epochs)), [], "incarnations that served, though they were to die in their recovery")


# --- a second and a third death in the recovery; chains of renames, open files without a name

class Chains:
    """Operations whose repetition would show: names that go round in circles, appends, open files that lose their names."""

    def __init__(self, client, dice):
        self.client, self.dice, self.number, self.open = client, dice, 0, set()
        for name in "abc":
            client.do(f"create /w/{name}")
            client.write(f"/w/{name}", "0", 700 + ord(name), ord(name))
        client.do("mkdir /w/d")
        client.do("mkdir /w/e")
        self.ring = ["/w/a", "/w/b", "/w/c"]

    def circle(self):
        """a -> t, b -> a, c -> b, t -> c, through two directories: each name holds what its neighbour held."""
        a, b, c = self.ring
        t = self.dice.choice(("/w/t", "/w/d/t", "/w/e/t"))
        for old, new in ((a, t), (b, a), (c, b), (t, c)):
            self.client.do(f"rename {old} {new}")

    def folders(self):
        """Directories go round too, and into one another."""
        for old, new in (("/w/d", "/w/x"), ("/w/e", "/w/d"), ("/w/x", "/w/d/x"), ("/w/d/x", "/w/e")):
            self.client.do(f"rename {old} {new}")

    def append(self):
        self.client.write(self.dice.choice(self.ring), "end", self.dice.choice((1, 100, 700, 3000)), self.dice.randrange(256))

    def over(self):
        """A name is taken by another file, twice: the second time the first must be gone."""
        self.number += 1
        for i in (0, 1):
            self.client.do(f"create /w/n{self.number}")
            self.client.write(f"/w/n{self.number}", "0", 300 + i, self.number + i)
            self.client.do(f"rename /w/n{self.number} /w/over")

    def nameless(self):
        """Open, unlinked, written to on, read, closed."""
        self.number += 1
        path, place = f"/w/u{self.number}", self.number % 8
        if place in self.open:
            self.client.line(f"drop {place}")
        self.open.add(place)
        self.client.do(f"create {path}")
        self.client.write(path, "0", 2000, self.number)
        self.client.hold(place, path)
        self.client.do(f"unlink {path}")
        self.client.put(place, 1500, 1000, self.number + 1)
        self.client.get(place)

    def read_open(self):
        for place in sorted(self.open):
            self.client.get(place)

    def links(self):
        self.number += 1
        self.client.do(f"link {self.ring[0]} /w/d/l{self.number}")
        self.client.do(f"symlink /w/e/s{self.number} somewhere{self.number}")
        self.client.do(f"truncate {self.ring[1]} {self.dice.randrange(2000)}")
        self.client.do(f"rename /w/d/l{self.number} /w/e/s{self.number}")

    def some(self):
        self.dice.choice((self.circle, self.circle, self.append, self.over, self.nameless, self.links, self.folders))()

    def log(self):
        """As many operations that change something as are to be replayed; among them some that take blocks."""
        first = len(self.client.lines)
        self.nameless()
        while sum(line.split()[0] not in ("hold", "get", "drop") for line in self.client.lines[first:]) < LOGGED:
            self.some()


def rounds(client, chains, dice, depths):
    """For each depth: a log of operations, so many deaths, operations that meet them. Returns the lines that tell how it ended."""
    ends = []
    for number, depth in enumerate(depths):
        client.line("sync")
        chains.log()
        specs = [f"{dice.choice(('fs.record', 'fs.op', 'runtime.complete'))}:{dice.choice(DEATHS)}:{dice.randrange(1, 4)}"]
        for i in range(depth - 1):
            point = RECOVERY[(number * 3 + i * 5) % len(RECOVERY)]
            if i == 1 and number % 2:
                point = COMMIT[number // 2 % len(COMMIT)]
            few = point in ("runtime.adopt", "fs.cache.read", "fs.alloc") + COMMIT
            specs.append(f"{point}:{dice.choice(DEATHS)}:{1 if few else dice.randrange(1, LOGGED)}")
        client.line("deaths " + " ".join(specs))
        chains.circle()
        chains.read_open()
        client.line("sync")  # answered when the commit after the recovery has ended, and with it all that was to die there
        ends.append((client.line("settle"), specs))
    return ends


@case(kind=["ext4", "ext2"], seed=range(1, 9) if FULL else [1])
def replay_deaths_in_recovery(t, kind, seed):
    """One, two and three deaths, at each point that a recovery passes and at those of the commit after it."""
    deaths_in_recovery(t, kind, seed, [3, 3, 2, 3, 1, 3] * (4 if FULL else 2), "default")


@case(kind=["ext4", "ext2"], seed=range(1, 5) if FULL else [1])
def replay_in_one_domain(t, kind, seed):
    """The same where fs takes its driver along, and its log lies in a vault (docs/placement.md)."""
    deaths_in_recovery(t, kind, seed, [3, 3, 2, 3, 1, 3] * (4 if FULL else 1), "one-domain")


PIECE = 300  # bytes of an append
SPOKEN = re.compile(r"\bs0:(\d+)(?:\.(\d+))? ok(?: (\d+))?")


def lives(dice, count):
    """What each life of a program does: lines, and for those that append the number of the first piece. It dies in its operations, or in
    the recovery that the next life begins with; if it met no death it ends by itself."""
    lines, first, piece = ["life 1", "back console"], {}, 0
    for life in range(1, count):
        lines.append(f"life {life}")
        now = dice.choice(("fs.record", "fs.op", "runtime.complete", "runtime.submit", "fs.commit.write", "blk.submit"))
        then = (RECOVERY + COMMIT)[life * 5 % len(RECOVERY + COMMIT)]
        next_life = f" {then}:{dice.choice(DEATHS)}:{dice.randrange(1, 4)}" if life + 1 < count else ""  # the last one lives
        lines.append(f"deaths {now}:{dice.choice(DEATHS)}:{dice.randrange(1, 20)}{next_life}")
        for pieces in (1, 9, 1, 1, 6):
            first[len(lines) + 1] = piece
            lines.append(f"pour /w/f {pieces} {PIECE} {piece}" if pieces > 1 else f"write /w/f end {PIECE} {piece}")
            piece += pieces
            if dice.randrange(8) == 0:
                lines.append("sync")
        lines.append("die")
    return lines + [f"life {count}", "sync", "stay"], first


@case(kind=["ext4", "ext2"], seed=range(1, 9) if FULL else [1])
def replay_three_in_one_domain(t, kind, seed):
    """A program with its file system and the driver in one domain: what was acknowledged to it is there, once, where it was said to
    be, whatever life of it was told; and nothing is there twice."""
    client, count = Client("s0", Tree()), 15
    client.lines, first = lives(random.Random(f"lives {seed}"), count)
    system = System(t, kind, [client], ["f"], system="one-program")
    machine = system.machine
    begun = machine.mark
    t.run(machine, "restart console")  # it begins
    machine.mark = begun
    machine.expect(rf"s0:{len(client.lines) - 1} ok", 300)
    told = [(int(line), int(piece or 0), int(at))
            for line, piece, at in SPOKEN.findall(machine.text[begun:]) if at and int(line) in first]
    t.equal(t.services(machine)["program"]["epoch"], count, "life of the program")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    data = tree_of(t, t.image_is_sound(system.image))["/w/f"][3]
    number = {content(PIECE, i): i for i in range(256)}
    there = [number.get(data[at:at + PIECE], -1) for at in range(0, len(data), PIECE)]
    t.equal(-1 in there, False, "a piece that is none")
    t.equal(len(set(there)), len(there), f"pieces that are there twice: {there}")
    for line, piece, at in told:
        t.equal(there[at // PIECE] if at < len(data) else None, first[line] + piece, f"what line {line} was told to be at {at}")
    print(f"     {t.case.name}: {count - 1} deaths, {len(told)} appends acknowledged, {len(there)} there")
    t.check(len(told) > count, f"only {len(told)} appends were acknowledged")


@case(crash=["crash core 1 panic", "crash supervisor illegal; crash program kill"])
def replay_three_in_one_domain_below(t, crash):
    """The kernel below the three dies, or who holds the other end of their log and then they: what was acknowledged and is on no disk yet is performed again."""
    client = Client("s0", Tree())
    client.lines = ["life 1", "back console", f"pour /w/f 20 {PIECE} 0", "stay",
                    "life 2", f"pour /w/f 5 {PIECE} 20", "sync", "stay"]
    system = System(t, "ext4", [client], ["f"], system="one-program")
    machine = system.machine
    t.run(machine, "restart console")
    machine.expect("s0:3 ok", 120)
    t.run(machine, crash, seconds=120)
    machine.expect("s0:7 ok", 120)
    t.equal(machine.poweroff(), 0, "code of QEMU")
    data = tree_of(t, t.image_is_sound(system.image))["/w/f"][3]
    there = [data[at:at + PIECE] for at in range(0, len(data), PIECE)]
    t.equal(sorted(there[:20]), sorted(content(PIECE, i) for i in range(20)), "appends that were acknowledged to the first life")
    t.equal(sorted(there[20:]), sorted(content(PIECE, 20 + i) for i in range(5)), "appends of the second")


def deaths_in_recovery(t, kind, seed, depths, system):
    model, dice = Tree(), random.Random(f"replay {seed}")
    client = Client("s0", model)
    client.line("settle")
    ends = rounds(client, Chains(client, dice), dice, depths)
    system = System(t, kind, [client], system=system)
    acks = client.judge(t, system.perform())
    epoch, replays, silent = int(acks[1].split()[0]), 0, []
    for line, specs in ends:
        now, replayed, _ = map(int, acks[line].split())
        t.equal(now - epoch, len(specs), f"deaths of '{' '.join(specs)}'")
        inside = [i for i, spec in enumerate(specs) if i and spec.split(":")[0] in RECOVERY]
        if len(inside) == len(specs) - 1:
            t.check(replayed >= LOGGED, f"after '{' '.join(specs)}' only {replayed} operations were replayed")
        silent += [epoch + i for i in inside]
        epoch, replays = now, replays + replayed
    died_in_recovery(t, system, silent, epoch)
    print(f"     {t.case.name}: {epoch - 1} deaths, {len(silent)} of them in a recovery, {replays} operations replayed by those that served")
    system.end(model)


# --- many clients, full rings

def appended(t, output, client, length):
    """What a client poured: offset that was acknowledged -> bytes. Requests that are under way together have no order."""
    there = {}
    for name, line, piece, figures in ACK.findall(output):
        if name == client.name and piece:
            t.check(int(figures) not in there, f"two appends were told that they are at {int(figures)}")
            there[int(figures)] = content(length, int(client.lines[int(line) - 1].split()[4]) + int(piece))
    return there


@case(clients=[4] if FULL else [3])
def replay_several_appenders(t, clients):
    """Several domains append to one file while the file system dies and dies again: each append is there once, where it was said to be."""
    length, count, bursts = 128, 12, 20 if FULL else 4
    model = Tree()
    model.apply("create /w/shared")
    scripts = [Client(f"s{i}", model) for i in range(clients)]
    first = scripts[0]
    first.line("settle")
    for number, client in enumerate(scripts):
        for burst in range(bursts):
            if client is first: # the others' operations may ask for a commit: then there is nothing to replay, and a death less
                points = ("fs.cache.read:wild:1", "runtime.adopt:illegal:1")[::1 - burst % 2 * 2]
                client.line(f"deaths fs.record:illegal:{3 + burst % 9} {' '.join(points)} runtime.replay:exit:1")
            client.line(f"pour /w/shared {count} {length} {number * 80 + burst * count}")
            if client is first:
                client.line("settle")
    system = System(t, "ext4", scripts, ["shared"])
    output = system.perform()
    there = {}
    for client in scripts:
        acks = client.judge(t, output)
        own = appended(t, output, client, length)
        t.equal(len(own), bursts * count, f"acknowledged appends of {client.name}")
        t.equal(sorted(own.keys() & there.keys()), [], "places that two clients were told")
        there.update(own)
        if client is first:
            settled = [int(acks[n].split()[0]) for n, text in enumerate(client.lines, 1) if text == "settle"]
            t.check(3 * bursts <= settled[-1] - settled[0] <= 4 * bursts, f"deaths: incarnations {settled}")
    t.equal(sorted(there), list(range(0, clients * bursts * count * length, length)), "offsets of the acknowledged appends")
    model.find("/w/shared", "file").data = b"".join(there[o] for o in sorted(there))
    print(f"     {t.case.name}: {settled[-1] - settled[0]} deaths, {len(there)} appends of {clients} clients")
    system.end(model)


@case
def replay_full_ring(t):
    """The ring is full of recorded operations when the file system dies in the commit that was asked for, and it dies twice more."""
    length, held, more = 512, 95, 33  # of 128; with 33 more a quarter of the slots is not free: a commit is wanted
    model = Tree()
    client = Client("s0", model)
    client.do("create /w/full")
    client.line("settle")
    client.line("sync")
    client.line(f"pour /w/full {held} {length} 1")
    client.line("deaths fs.commit.mark:illegal:1 fs.replay:illegal:60 runtime.replay:wild:95")
    client.line(f"pour /w/full {more} {length} {1 + held}")
    client.line("sync")  # the commit that was asked for has begun by its end
    end = client.line("settle")
    system = System(t, "ext4", [client])
    output = system.perform()
    acks = client.judge(t, output)
    epoch, replayed, again = map(int, acks[end].split())
    t.equal(epoch - int(acks[2].split()[0]), 3, "deaths")
    t.check(replayed >= held, f"{replayed} operations were replayed, {held} were in the ring at the least")
    died_in_recovery(t, system, [epoch - 2, epoch - 1], epoch)
    print(f"     {t.case.name}: {replayed} operations replayed, {again} performed for the first time")
    there = appended(t, output, client, length)
    t.equal(sorted(there), list(range(0, (held + more) * length, length)), "offsets of the acknowledged appends")
    model.find("/w/full", "file").data = b"".join(there[o] for o in sorted(there))
    system.end(model)


@case
def replay_clashing_writes(t):
    """Writes over one another, under way together, have no order of their own. The one in which they were performed is that of the
    replay: what the file holds is the same after each death."""
    count, length, rounds = 60, 900, 8 if FULL else 3
    client, pairs = Client("s0", Tree()), []
    client.line("hold 0 /w/f")
    first = client.line("settle")
    for number in range(rounds):
        client.line("sync")
        if number % 2:
            client.line(f"deaths fs.record:illegal:{7 + 11 * number} fs.replay:wild:5")  # while they are under way
        client.line(f"clash /w/f {count} {length} {number * count}")
        before = client.line("get 0")
        # The end of a recovery commits: then how many are replayed the next time is not known.
        client.line("deaths fs.op:illegal:1" + ("" if number % 2 else " runtime.replay:exit:30"))
        pairs.append((before, client.line("get 0")))
        last = client.line("settle")
    system = System(t, "ext4", [client], ["f"])
    acks = client_acks(system.perform(), client)
    t.equal(int(acks[last].split()[0]) - int(acks[first].split()[0]), 2 * rounds + rounds // 2, "deaths")
    for before, after in pairs:
        t.equal(acks[after], acks[before], "size and digest of the file after the deaths, as before")
    data = system.stop()["/w/f"][3]
    t.equal(f"{len(data)} {fnv(data)}", acks[pairs[-1][1]].strip(), "size and digest of the file on the disk")


# --- clients that die, and clients that lie

@case
def replay_client_dies_in_recovery(t):
    """The client is killed while the file system replays its operations, which then dies too: what was recorded stands, once; what was
    not performed is dropped."""
    length, count, more, death = 256, 60, 30, 11
    model = Tree()
    client = Client("s0", model)
    client.do("create /w/torn")
    for text in ("sync", f"pour /w/torn {count} {length} 1", f"deaths fs.record:illegal:{death} fs.replay:hang:40",
                 f"throw /w/torn {more} {length} {1 + count}", "await fs.replay", "die"):
        client.line(text)
    system = System(t, "ext4", [client])
    output, status = system.machine.command("run perform /s0")
    t.check(status >= 128, f"the client ended with {status}: {output[-500:]!r}")
    there = appended(t, output, client, length)
    t.equal(sorted(there), list(range(0, count * length, length)), "offsets of the acknowledged appends")
    before = t.services(system.machine)["fs"]
    t.check(before["state"] != "up", "the file system did not wait in its recovery when the client died")
    t.run(system.machine, "crash fs kill")
    t.equal(t.services(system.machine)["fs"]["epoch"], before["epoch"] + 1, "epoch of the file system")
    tree = system.stop()
    data = tree["/w/torn"][3]
    t.equal(len(data) // length, count + death - 1, "appends in the file: the acknowledged ones, and those recorded before the first death")
    thrown = {content(length, 1 + count + i) for i in range(more)}
    last = [data[at:at + length] for at in range(count * length, len(data), length)]
    t.check(len(set(last)) == len(last) and thrown.issuperset(last), "what was recorded and not acknowledged is there twice, or in part")
    model.apply("create /w/torn")
    model.find("/w/torn", "file").data = b"".join(there[o] for o in sorted(there)) + b"".join(last)
    system.compare(tree, model)


@case
def replay_client_restarted_in_recovery(t):
    """The client is a service that dies while the file system replays its operations, and its next life is killed while it waits for
    what the first had under way. Then the file system dies too. All that was submitted is performed, once, before what the third life does."""
    length, count, more, late = 256, 60, 30, 20
    model = Tree()
    client, waiter = Client("s0", model), Client("s1", model)
    for text in ("life 1", "back blk", "sync", f"pour /w/f {count} {length} 1", "deaths fs.record:illegal:11 fs.replay:hang:40",
                 f"throw /w/f {more} {length} {1 + count}", "await fs.replay", "die", "life 2", "create /w/never", "stay",
                 "life 3", f"pour /w/f {late} {length} {1 + count + more}", "sync", "create /w/done", "stay"):
        client.line(text)
    waiter.line("meet /w/done")
    system = System(t, "ext4", [client, waiter], ["f"], services="""
[[service]]
name = "client"
image = "perform"
uses = ["console", "fs", "supervisor"]
argument = "/s0"
watch = { hang_ms = 0, request_ms = 0 }
""")
    machine = system.machine
    mark = machine.mark
    t.run(machine, "restart blk")  # it begins
    machine.mark = mark  # what came before this prompt counts
    machine.expect("client is back as epoch 2", 180)
    before = t.services(machine)["fs"]
    t.check(before["state"] != "up", "the file system did not wait in its recovery when the client died")
    t.run(machine, "crash client kill")
    t.equal(t.services(machine)["client"]["epoch"], 3, "life of the client")
    t.run(machine, "crash fs kill")
    t.run(machine, "run perform /s1")
    t.equal(t.services(machine)["fs"]["epoch"], before["epoch"] + 1, "epoch of the file system")
    tree = system.stop()
    data, first = tree["/w/f"][3], 0
    for number, what in ((count, "acknowledged to the first life"), (more, "under way when it died"), (late, "done by the third life")):
        there = [data[at:at + length] for at in range(first * length, (first + number) * length, length)]
        t.equal(sorted(there), sorted(content(length, 1 + first + i) for i in range(number)), f"appends that were {what}")
        first += number
    model.apply("create /w/f")
    model.apply("create /w/done")
    model.find("/w/f", "file").data = data[:first * length]
    system.compare(tree, model)


@case
def replay_forged_log(t):
    """A client changes an acknowledged append in its own log: that one is a hole, everybody who uses the file hears of it once, and so does
    each open file's fsync, also when nothing but the table of losses knows of it; all else stands."""
    length, before, after = 100, 7, 12
    model = Tree()
    client = Client("s0", model)

    def hole(_):
        """Of the second pour nothing is left; the third is where it was."""
        there = appended(t, output, client, length)
        there[before * length] = b"\0" * length
        model.find("/w/f", "file").data = b"".join(there[o] for o in sorted(there))
    client.do("create /w/f")
    client.do("create /w/other")
    for number in (2, 3):
        client.hold(number, "/w/f")
    client.line("sync")
    client.write("/w/other", "0", 900, 5)
    client.line(f"pour /w/f {before} {length} 1")
    client.line(f"pour /w/f 1 {length} 100")
    client.line("forge 0")
    client.line(f"pour /w/f {after} {length} 101", hole)
    client.line("deaths fs.op:illegal:1 fs.replay:illegal:5 runtime.replay:wild:12")
    client.write("/w/other", "end", 50, 6)
    lost = client.line("hold 0 /w/f")
    client.hold(1, "/w/f")
    client.get(1)
    told = [lost]
    for number in (2, 3):
        told.append(client.line(f"fsync {number}"))
        client.line("deaths fs.op:illegal:1 fs.cache.read:illegal:1")
        client.write("/w/other", "end", 50, 7)
        client.line(f"fsync {number}")
    client.line("fsync 1")  # opened when the loss was known
    system = System(t, "ext4", [client])
    output, _ = system.machine.command("run perform /s0")
    client.judge(t, output, told)
    t.equal(len(appended(t, output, client, length)), before + 1 + after, "acknowledged appends")
    for line in told:
        t.check(re.search(rf"^s0:{line} {LOST}", output, re.M), f"'{client.lines[line - 1]}' was not told: {output[-500:]!r}")
    for wanted in (True, False):
        text, status = system.machine.command("sha256 /w/f")
        t.equal(status != 0 and LOST in text, wanted, f"another client is told, once ({text!r})")
    system.end(model)


@case
def replay_handles(t):
    """A handle is good for the client that was given it, through deaths of the file system; another one who knows the word, or what it
    stands for, is refused."""
    model = Tree()
    owner, other = Client("s0", model), Client("s1", model)
    owner.do("create /w/f")
    owner.hold(0, "/w/f")
    owner.put(0, 0, 300, 1)
    owner.line("tell 0 /w/word")
    refused = []
    for number, deaths in enumerate(("", "fs.record:illegal:1 fs.replay:wild:1", "runtime.complete:illegal:1")):
        if deaths:
            owner.line(f"deaths {deaths}")
        owner.put(0, 300 * number, 300, 2 + number)
        owner.do(f"create /w/told{number}")
        owner.line(f"meet /w/tried{number}")
        other.line(f"meet /w/told{number}")
        refused += [other.line("borrow /w/word"), other.line("guess /w/f")]
        other.do(f"create /w/tried{number}")
    owner.get(0)
    owner.line("unlink /w/word")
    system = System(t, "ext4", [owner, other])
    output, _ = system.machine.command("run perform /s0 /s1", seconds=600)
    owner.judge(t, output)
    other.judge(t, output, refused)
    for line in refused:
        said = re.search(rf"^s1:{line} (.*)$", output, re.M)
        t.check(said and said[1] in NO_HANDLE, f"'{other.lines[line - 1]}': {said and said[0]!r}")
    system.end(model)


@case(kind=["ext4", "ext2"])
def replay_shared(t, kind):
    """A client forges the log of an append that another has seen: it was committed before it was seen, so nothing is lost."""
    length = 100
    model = Tree()
    forger, reader = Client("s0", model), Client("s1", model)
    forger.do("create /w/f")
    for text in ("sync", "create /w/begin", "sync", "meet /w/holds", f"pour /w/f 1 {length} 7", "meet /w/seen", "forge 0", "deaths fs.op:illegal:1",
                 "create /w/after"):
        forger.line(text)
    reader.line("meet /w/begin")
    reader.line("hold 0 /w/f")
    reader.line("create /w/holds")
    reader.line(f"grown 0 {length}")
    reader.line("create /w/seen")
    reader.line("meet /w/after")
    seen = reader.line("get 0")
    system = System(t, kind, [forger, reader])
    output = system.perform()
    forger.judge(t, output)
    acks = reader.judge(t, output)
    t.equal(acks[seen].strip(), f"{length} {fnv(content(length, 7))}", "what the other client reads after the death")
    t.check("is left out" not in t.run(system.machine, "log"), "an operation was left out")
    for name in ("begin", "holds", "seen", "after"):
        model.apply(f"create /w/{name}")
    model.apply(f"write /w/f 0 {length} 7")
    system.end(model)
