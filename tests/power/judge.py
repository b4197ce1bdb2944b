"""Judges one image after a cut: by e2fsck, by our own server core, and by what the operations promise.

With a journal e2fsck replays it on a copy, and that copy must be sound; our server mounts the image itself, and what it leaves
must be sound too; both must show the same tree, and that tree must be one that the promise allows. Then the power is cut in
the recovery, and in the recovery after that: the tree must stay the same.
"""
import hashlib
import os
import random
import struct
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from recording import SECTOR, cuts, images, read_recording, state_digest

E2FSCK, DEBUGFS, MKE2FS = "/sbin/e2fsck", "/sbin/debugfs", "/sbin/mke2fs"
ENVIRONMENT = {**os.environ, "E2FSCK_TIME": "1800000000", "E2FSPROGS_FAKE_TIME": "1800000000", "MKE2FS_CONFIG": "/dev/null"}
KIB = 3072  # size of an image: a journal of 1 MiB, and room for small files
FAMILIES = {
    "ext2": ["-t", "ext2", "-b", "1024"],
    "ext4-nojournal": ["-t", "ext4", "-b", "1024", "-O", "^has_journal"],
    "ext3": ["-t", "ext3", "-b", "1024", "-J", "size=1"],
    "ext4": ["-t", "ext4", "-b", "1024", "-J", "size=1"],
}
METADATA_CSUM = 0x400  # then the superblock's two sectors have one checksum: no journal helps where a disk tears them
HAS_JOURNAL, NEEDS_RECOVERY = 0x4, 0x4  # compat, incompat
RECOVERY_CUTS = 2  # of every other recovery that writes, and again of each of those


class HostDied(Exception):
    """fs_host ended: an abort, a sanitizer, or a disk that it could not read."""


class Host:
    """fs_host as a process that answers line by line."""

    def __init__(self, program, folder):
        self.program, self.folder = str(program), Path(folder)
        self.process = None
        self.base = None

    def start(self):
        self.errors = open(self.folder / "host.err", "wb")
        self.process = subprocess.Popen([self.program, str(KIB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, env={**ENVIRONMENT, "ASAN_OPTIONS": "detect_leaks=0"})
        if self.base:
            self.ask(f"base {self.base}")

    def ask(self, text):
        """Sends lines; yields the process's output for the caller to read up to `end`."""
        if self.process is None:
            self.start()
        self.process.stdin.write((text + "\n").encode())
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.line()
            if line == "end":
                return lines
            kind = line.split(" ", 1)[0]
            lines.append((line, self.bytes(int(line.split()[2])) if kind in ("file", "symlink") else b""))

    def died(self):
        self.process.wait()
        code, self.process = self.process.returncode, None
        self.errors.close()
        tail = (self.folder / "host.err").read_text(errors="replace").strip().splitlines()[-12:]
        raise HostDied(f"fs_host ended with {code}: {' | '.join(tail)}")

    def line(self):
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            self.died()
        return line.decode(errors="replace").rstrip("\n")

    def bytes(self, count):
        data = self.process.stdout.read(count)
        if len(data) < count:
            self.died()
        return data

    def set_base(self, path):
        self.base = path
        self.ask(f"base {path}")

    def run(self, lines, kills=(), seed=0):
        """Performs a workload on the base; (entries of the recording, steps, complaints)."""
        log = self.folder / "run.log"
        self.ask(f"seed {seed}")
        answer = self.ask("\n".join([f"run {log} {' '.join(map(str, kills))}"] + lines + ["end"]))
        texts = [line for line, _ in answer]
        steps = int(texts[-1].split()[1]) if texts and texts[-1].startswith("steps ") else 0
        return read_recording(log), steps, [t for t in texts if not t.startswith("steps ")]

    def mount(self, path, save="-", log="-"):
        """(tree or None, sentence of what is wrong or None)"""
        answer = self.ask(f"mount {path} {save} {log}")
        if not answer[0][0].startswith("mounted 0"):
            return None, f"our server: {answer[0][0]}"
        tree = {}
        for line, data in answer[1:-1]:
            kind, links, size, mode, path = line.split(" ", 4)
            tree[path] = (kind, int(links), 0 if kind == "symlink" else int(mode), data)
        if answer[-1][0] != "corruptions 0":
            return tree, f"our server: {answer[-1][0]}"
        return tree, None

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.errors.close()


def make_base(family, path, extra=()):
    """An empty image of that family."""
    Path(path).unlink(missing_ok=True)
    done = subprocess.run([MKE2FS, "-q", "-F", *FAMILIES[family], "-U", "706c616e-6172-6961-0000-000000000002", "-E",
                           "hash_seed=706c616e-6172-6961-0000-000000000003,lazy_itable_init=0", *extra, str(path),
                           f"{KIB}k"], capture_output=True, text=True, env={**ENVIRONMENT, "MKE2FS_CONFIG": ""})
    if done.returncode:
        raise RuntimeError(f"mke2fs: {done.stderr}")
    return Path(path).read_bytes()


def superblock_word(image, offset):
    return struct.unpack_from("<I", image, 1024 + offset)[0]


def has_journal(image):
    return bool(superblock_word(image, 92) & HAS_JOURNAL)


def needs_recovery(image):
    return bool(superblock_word(image, 96) & NEEDS_RECOVERY)


def journal_blocks(path):
    """Numbers of the journal's blocks, where it has one."""
    done = subprocess.run([DEBUGFS, "-R", "blocks <8>", str(path)], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split() if word.isdigit() and word != "0"]


def runs(state):
    """Neighbouring sectors together: [(offset, bytes)]."""
    pieces = []
    for sector in sorted(state):
        if pieces and pieces[-1][0] + len(pieces[-1][1]) == sector * SECTOR:
            pieces[-1][1].extend(state[sector])
        else:
            pieces.append((sector * SECTOR, bytearray(state[sector])))
    return pieces


def write_over(path, data):
    """Without giving the file's pages back first."""
    with open(path, "r+b" if path.exists() else "wb", buffering=0) as f:
        f.write(data)


class Judge:
    """Judges images of one base; remembers what it has seen."""

    def __init__(self, host, folder, base_path):
        self.host, self.folder = host, Path(folder)
        self.base = Path(base_path).read_bytes()
        self.journal = journal_blocks(base_path) if has_journal(self.base) else []
        self.together = {3: 2} if superblock_word(self.base, 100) & METADATA_CSUM else {}
        self.sound = {}  # digest of a volume without its journal -> what e2fsck said, or None
        self.seen = set()
        self.count = Counter()
        self.path = self.folder / "under-judgement.img"
        self.path.write_bytes(self.base)

    @contextmanager
    def written(self, state):
        """The image with those sectors, for a while."""
        pieces = runs(state)
        with open(self.path, "r+b", buffering=0) as f:
            before = [(at, os.pread(f.fileno(), len(data), at)) for at, data in pieces]
            for at, data in pieces:
                os.pwrite(f.fileno(), data, at)
            try:
                yield
            finally:
                for at, data in before:
                    os.pwrite(f.fileno(), data, at)

    def volume_digest(self, image):
        view, digest, at = memoryview(image), hashlib.sha1(), 0
        for block in sorted(self.journal):
            digest.update(view[at:block * 1024])
            at = block * 1024 + 1024
        digest.update(view[at:])
        return digest.digest()

    def e2fsck(self, *arguments):
        self.count["e2fsck"] += 1
        done = subprocess.run([E2FSCK, *arguments], capture_output=True, text=True, env=ENVIRONMENT)
        return done.returncode, done.stdout + done.stderr

    def checked(self, path, name):
        """(path of the volume after e2fsck replayed its journal, complaint or None)"""
        image = Path(path).read_bytes()
        if has_journal(image) and needs_recovery(image):
            copy = self.folder / f"{name}.replayed.img"
            write_over(copy, image)
            code, said = self.e2fsck("-fy", "-E", "journal_only", str(copy))
            image = copy.read_bytes()
            if code not in (0, 1) or needs_recovery(image):
                return copy, f"e2fsck cannot replay the journal (code {code}): {said[-600:]}"
            path = copy
        digest = self.volume_digest(image)
        if digest not in self.sound:
            code, said = self.e2fsck("-fn", str(path))
            self.sound[digest] = None if code == 0 else f"e2fsck -fn says (code {code}): {said[-600:]}"
            self.count["volumes checked"] += 1
        return path, self.sound[digest]

    def image(self, state, complaint_of):
        """What is wrong with the image, or None. complaint_of(tree): what the promise says."""
        self.count["images"] += 1
        name = state_digest(state, self.base)
        self.count["distinct"] += name not in self.seen
        self.seen.add(name)
        with self.written(state):
            return self.look(complaint_of, name)

    def look(self, complaint_of, name):
        replayed, complaint = self.checked(self.path, "cut")
        if complaint:
            return complaint
        saved, log = self.folder / "saved.img", self.folder / "mount.log"
        tree, complaint = self.host.mount(self.path, saved, log)
        if complaint:
            return complaint
        _, complaint = self.checked(saved, "saved")
        if complaint:
            return f"after our server's own recovery: {complaint}"
        if replayed != self.path:
            self.count["journals replayed"] += 1
            other, complaint = self.host.mount(replayed)
            if complaint or other != tree:
                return complaint or "our replay and that of e2fsck differ"
        complaint = complaint_of(tree)
        if complaint or name[0] % 2:
            return complaint
        return self.recoveries(read_recording(log), tree, 2, random.Random(name))

    def recoveries(self, entries, tree, depth, dice):
        """Cuts of the power while our server recovers, and while it recovers from that."""
        if depth == 0 or not any(entry.kind == "write" for entry in entries):
            return None
        every = list(images(entries, 2))
        chosen = dice.sample(every, min(RECOVERY_CUTS, len(every)))
        for cut in cuts(entries, {number for number, _ in chosen}):
            for subset in (s for number, s in chosen if number == cut.number):
                complaint = self.again(cut.state(subset, together=self.together), tree, depth, dice)
                if complaint:
                    return f"recovery {3 - depth} cut at {cut.number}:{subset}: {complaint}"
        return None

    def again(self, state, tree, depth, dice):
        self.count["recoveries cut"] += 1
        log = self.folder / f"again{depth}.log"
        with self.written(state):
            got, complaint = self.host.mount(self.path, "-", log)
            if complaint or got != tree:
                return complaint or "the tree is another"
            return self.recoveries(read_recording(log), tree, depth - 1, dice)
