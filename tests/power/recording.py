"""What was written to a disk, in the format of dm-log-writes, and the images that a cut of the power can leave.

QEMU's blklogwrites writes such a file, and so does fs_host.c, with marks between (`begin N`, `done N`, `killed N`). An image is
named by a cut (how many entries of the recording had reached the disk) and a subset of what no flush had covered by then:

    all      everything, in order
    none     nothing of it
    wHEX     bit i: the i-th of those writes
    rN       random number N: each write or not
    tN       random number N: each sector of 512 bytes or not

Writes before the last completed flush are always there, and what is there keeps its order.
"""
import hashlib
import random
import struct
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SUBSETS_ALL = 4  # so many writes under way: all their subsets


@dataclass
class Entry:
    kind: str       # write, flush, mark
    offset: int = 0
    data: bytes = b""
    text: str = ""
    covered: bool = False  # a write that goes through to the medium by itself


def read_recording(path):
    """Entries of a file in the format of dm-log-writes; it may end anywhere."""
    raw = Path(path).read_bytes()
    if len(raw) < SECTOR:
        return []
    magic, version, _, sector = struct.unpack_from("<QQQI", raw)
    if magic != MAGIC or version != 1:
        raise ValueError(f"{path} is no recording of writes (magic {magic:#x}, version {version})")
    entries, at = [], sector
    while at + 32 <= len(raw):
        first, count, flags, length = struct.unpack_from("<QQQQ", raw, at)
        at += sector
        if not (first or count or flags or length):
            break
        if flags & MARK:
            entries.append(Entry("mark", text=raw[at:at + length].rstrip(b"\0").decode()))
            at += (length + sector - 1) // sector * sector
            continue
        size = count * sector
        if flags & FLUSH:
            entries.append(Entry("flush"))
        if count:
            data = bytes(size) if flags & DISCARD else raw[at:at + size]
            if len(data) < size:
                break
            entries.append(Entry("write", first * sector, data, covered=bool(flags & FUA)))
            at += 0 if flags & DISCARD else size
    return entries


def write_recording(path, entries):
    """The same format, marks included."""
    def padded(data):
        return data + bytes(-len(data) % SECTOR)
    with open(path, "wb") as f:
        f.write(padded(struct.pack("<QQQI", MAGIC, 1, len(entries), SECTOR)))
        for entry in entries:
            text = entry.text.encode()
            flags = {"write": FUA if entry.covered else 0, "flush": FLUSH, "mark": MARK}[entry.kind]
            f.write(padded(struct.pack("<QQQQ", entry.offset // SECTOR, len(entry.data) // SECTOR, flags, len(text))))
            f.write(padded(text) + entry.data)


def put(state, write):
    for at in range(0, len(write.data), SECTOR):
        state[(write.offset + at) // SECTOR] = write.data[at:at + SECTOR]


class Cut:
    """The disk when `number` entries had been written: what is durable, and what is under way."""

    def __init__(self, number, durable, loose):
        self.number, self.durable, self.loose = number, durable, loose

    def state(self, subset, seed="", together=None):
        """Sectors that differ from the time before the recording: number -> bytes. together: sector -> the one before it from
        which it is never torn off."""
        state = dict(self.durable)
        kind, value = subset[0], subset[1:]
        if subset == "all":
            kept = self.loose
        elif subset == "none":
            kept = []
        elif kind == "w":
            kept = [w for i, w in enumerate(self.loose) if int(value, 16) >> i & 1]
        elif kind == "r":
            dice = random.Random(f"{seed}:{self.number}:{subset}")
            kept = [w for w in self.loose if dice.random() < 0.5]
        elif kind == "t":
            dice = random.Random(f"{seed}:{self.number}:{subset}")
            for write in self.loose:
                arrives = {}
                for at in range(0, len(write.data), SECTOR):
                    sector = (write.offset + at) // SECTOR
                    arrives[sector] = dice.random() < 0.5
                    if arrives.get((together or {}).get(sector), arrives[sector]):
                        state[sector] = write.data[at:at + SECTOR]
            return state
        else:
            raise ValueError(f"no such subset: {subset}")
        for write in kept:
            put(state, write)
        return state


def cuts(entries, wanted=None):
    """Every cut, in order; only those numbers that are wanted, where that is a set."""
    durable, loose = {}, []
    for number in range(len(entries) + 1):
        if wanted is None or number in wanted:
            yield Cut(number, dict(durable), list(loose))
        if number == len(entries):
            return
        entry = entries[number]
        if entry.kind == "write":
            if entry.covered:
                put(durable, entry)
            else:
                loose.append(entry)
        elif entry.kind == "flush":
            for write in loose:
                put(durable, write)
            loose = []


def images(entries, most_random):
    """(cut number, subset) of what is tried: after each entry that is no mark everything in order; and at the end of each
    run of writes between flushes what reordering allows: all subsets of few writes, else all but one, one alone, random
    ones; and torn writes. Where an operation was acknowledged, also that nothing of what is under way arrived."""
    loose = 0
    yield 0, "all"
    for number, entry in enumerate(entries, 1):
        if entry.kind == "mark":
            if loose and entry.text.startswith("done "):
                yield number, "none"
            continue
        if entry.kind == "flush":
            yield from reorderings(number - 1, loose, most_random)
            loose = 0
        elif not entry.covered:
            loose += 1
        yield number, "all"
    yield from reorderings(len(entries), loose, most_random)


def reorderings(cut, loose, most_random):
    if loose == 0:
        return
    yield cut, "none"
    if loose <= SUBSETS_ALL:
        for bits in range(1, (1 << loose) - 1):
            yield cut, f"w{bits:x}"
    else:
        for i in range(loose):
            yield cut, f"w{(1 << loose) - 1 & ~(1 << i):x}"
            yield cut, f"w{1 << i:x}"
        for i in range(most_random):
            yield cut, f"r{i}"
    for i in range(most_random):
        yield cut, f"t{i}"


def state_digest(state, base):
    """A name for an image: of the sectors that differ from the base."""
    digest = hashlib.blake2b(digest_size=16)
    for sector in sorted(state):
        data = state[sector]
        if base[sector * SECTOR:(sector + 1) * SECTOR] != data:
            digest.update(sector.to_bytes(8, "little"))
            digest.update(data)
    return digest.digest()
