#!/usr/bin/env python3
"""Runs a campaign of faults: virtual machines one after another or several at a time, each with a seed and a disk of its
own, until enough faults are injected; then one report. `make campaign FAULTS=n SEED=s [JOBS=..]` calls it.

State is in build/campaign/seed-S/: a JSON file for each machine that has ended, the console logs (compressed), the registers of machines that
fell silent, report.html, faults.csv (a line for each victim of a trial), volleys.csv (a line for each volley: every place and mask).
Interrupted in any way, the same command goes on: a machine counts when its JSON file is there, which is renamed into its place when all else
of that machine is written; one that has none runs again from its start, with the same seed. A machine that falls silent, or talks without end, is
killed and counted with the trial that it had begun. Only what machines that run have said is held in memory, until the report, which
holds the rows (some 2 KB for each). --report FOLDER... makes one report of the states of several machines or hosts, and --markdown its tables.
"""
import argparse
import concurrent.futures
import fcntl
import gzip
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from campaign_report import COLUMNS, NUMBERS, counts, problems, report_html, report_markdown, rows_write  # noqa: E402
from disk import default_tree, make_disk  # noqa: E402
from qemu import RESTARTED, Machine, MachineError, Options, qemu_version  # noqa: E402

UNSEEN = "stop,hang,error,reply,bell"
DAMAGE = "source,destination,pointer,branch,invert,immediate,drop,text,data,heap,stack,register,ring,probe"
DEVICE = "device,stall"
KERNEL = "panic,jump,store"
SILENCE = "silence"
SERVICES = "fs,blk,console,supervisor,client"


class Turn:
    """What one machine is for: so many trials, of these classes, in these victims."""

    def __init__(self, name, classes, trials=400, only="", volley=1, victims=1):
        self.name, self.classes, self.trials, self.only, self.volley, self.victims = name, classes, trials, only, volley, victims

    def faults(self):
        return self.trials * self.volley * self.victims

    def damages(self):
        return any(c in self.classes.split(",") for c in DAMAGE.split(","))


def turns(arguments):
    """Machines take turns, so that what damage has left behind is never counted with a fault of which clients must see nothing. Volleys
    of several sizes say what one size alone does not: how likely one fault is to show itself."""
    trials, only, volley = arguments.batch, arguments.only, arguments.volley
    if arguments.classes:
        return [Turn(arguments.classes, arguments.classes, trials, only, volley, arguments.victims)]
    unseen, many = Turn("faults at points", UNSEEN, trials, only, 1, 4), Turn(f"volleys of {volley}", DAMAGE, trials, only, volley)
    kernel, silence = Turn("kernels that die", KERNEL, trials // 4, "kernels"), Turn("kernels that hang", SILENCE, trials // 20, "kernels")
    fewer = max(1, volley // 10)
    some, one = Turn(f"volleys of {fewer}", DAMAGE, trials, only, fewer), Turn("single damage", DAMAGE, trials, only)
    device = Turn("failing disks", DEVICE, DEVICE_TRIALS, "blk")
    return [unseen, many, many, kernel, unseen, many, some, many, unseen, one, many, device, unseen, many, many, kernel,
            unseen, many, silence, many, unseen, many, many]


BATCH = 400          # trials of one machine: what one damaged volume can spoil
DEVICE_TRIALS = 100  # of such a machine
FILE_BYTES = 64 << 20  # of one file that is read from an image: more than the disk has
STALL_SECONDS = 0.6  # longer than fs waits for blk in systems/campaign.toml
SILENT_SECONDS = 60  # without a character on the console: longer than all deadlines of a fault together
TRIAL_SECONDS = 300  # without a trial that begins, whatever else is said
TEXT_MAX = 64 << 20  # characters of one machine's console; volleys need some 3 MiB
FREE_BYTES = 1 << 30 # of the folder's file system, or no machine is started
ESTIMATE_MACHINES = 8 # that have ended before the end is estimated: they differ a thousandfold in their faults a second
TELL_SECONDS = 30    # between two lines of progress, where the output is no terminal
END = re.compile(r"^CAMPAIGN faults (\d+) of \d+ seed \d+ ms \d+ faults_per_s ([\d.]+) .* end (.*)$", re.M)
SUPERVISOR_BACK = re.compile(r"^supervisor is back as epoch (\d+) after ([\d.]+) ms \(noticed at ([\d.]+), started at ([\d.]+)\)", re.M)
VERIFIED = re.compile(r"^CAMPAIGN verified files (\d+) errors (\d+) wrong (\d+)$", re.M)
BEGUN = re.compile(r"^BEGIN,(\d+),(\d+),(\d+),([^,\n]*),([^,\n]*),([^,\n]*)$", re.M)
VOLLEY = re.compile(r"^(VOLLEY,(\d+),\d+,([^,\n]*)),([0-9a-f]{4})$", re.M)
LINE = re.compile(r"^(FAULT,.*),([0-9a-f]{4})$", re.M)
STALLED = re.compile(r"^BEGIN,\d+,\d+,\d+,blk,stall,by the host", re.M)
PANIC = re.compile(r"^core (\d+) panics: .*$", re.M)
STATUS = re.compile(r"^=(\d+)$", re.M)
FIELDS = ["number", "trial", "faults", "victim", "class", "detail", "activated", "manifested", "stuck", "restarts", "others",
          "kernels", "recovered", "errors", "wrong", "error", "detect_us", "teardown_us", "restart_us", "replay_us", "whole_us"]


def line_sum(text):
    total = 0
    for byte in text.encode():
        total = (total * 31 + byte) & 0xffff
    return total


def row_of(line, batch, seed):
    row = dict(zip(FIELDS, line.split(",")[1:]), batch=batch, seed=seed)
    row = {k: int(v) if k in NUMBERS or k == "stuck" else v for k, v in row.items()}
    if row.pop("stuck") and row["manifested"] == "none":
        row["manifested"] = "stuck"
    if row["activated"] == "unknown" and (row["manifested"] != "none" or row["errors"] or row["wrong"]):
        row["activated"] = "yes"
    return row


def rows_of(text, batch, seed):
    """Rows by number, from lines whose sum is right: a line that the console spoilt comes once more at the end."""
    rows = {}
    for match in LINE.finditer(text):
        if line_sum(match[1]) == int(match[2], 16) and match[1].count(",") == len(FIELDS):
            row = row_of(match[1], batch, seed)
            rows.setdefault(row["number"], row)
    return rows


def lost_rows(begun, rows, batch, seed):
    """The trial that a machine had begun when it was lost: the last one, if it has no line."""
    last = max((int(m[2]) for m in begun.values()), default=None)
    lost = {}
    for number, match in begun.items():
        if int(match[2]) == last and number not in rows:
            lost[number] = dict.fromkeys(COLUMNS, 0)
            lost[number].update(zip(("number", "trial", "faults"), map(int, match.group(1, 2, 3))), batch=batch, seed=seed,
                                victim=match[4], detail=match[6], activated="yes", manifested="machine", **{"class": match[5]})
    return lost


def misled(text):
    """A damaged supervisor has told the shell that the campaign had ended: the match of the trial under which it did, or None."""
    status, end = STATUS.search(text), END.search(text)
    if not status or (end and end.start() < status.start()):
        return None
    return max((m for m in BEGUN.finditer(text) if m.start() < status.start()), key=lambda m: m.start(), default=None)


def ended(text, mark):
    """The campaign has said all that it had to say."""
    end = END.search(text, mark)
    gone = misled(text) or RESTARTED.search(text, mark)  # with its channels, when fs has moved to another core
    return end and (STATUS.search(text, end.start()) or (gone and (VERIFIED.search(text, mark) or end[3] != "whole")))


def volleys_of(text, rows):
    """(number of the row, its pokes) of each volley that has a row: what exactly was done."""
    pokes = {}
    for match in VOLLEY.finditer(text):
        if line_sum(match[1]) == int(match[4], 16):
            pokes.setdefault(int(match[2]), []).append(match[3].strip())
    return [(number, " ".join(parts)) for number, parts in sorted(pokes.items()) if number in rows]


def sizes_of(text):
    """The faults of all trials that have begun in this piece of the console's text."""
    return sum(int(m[3]) for m in BEGUN.finditer(text))


def supervisor_returns(text):
    """Of each death of the supervisor, as its next incarnation tells it: us until it was noticed, then until it ran, then until it was ready.
    A line can be on the console twice."""
    told = {int(m[1]): [round(1000 * float(part)) for part in m.groups()[1:]] for m in SUPERVISOR_BACK.finditer(text)}
    return [[noticed, started - noticed, ready - started] for ready, noticed, started in told.values()]


def panics_of(text, begun):
    """Lines of kernels that panicked without having been asked to."""
    asked = {m[4] for m in begun.values()}
    return sorted({m[0] for m in PANIC.finditer(text) if f"kernel{m[1]}" not in asked})


def files_changed(image):
    """How many files that were on the disk from the start, which no program of a campaign touches, have other bytes."""
    with tempfile.TemporaryDirectory() as folder:
        tree = default_tree()
        for top in tree.iterdir():
            subprocess.run(["/sbin/debugfs", "-R", f'rdump "/{top.name}" "{folder}"', str(image)], capture_output=True,
                           preexec_fn=limit_files)
        names = [p.relative_to(tree) for p in sorted(tree.rglob("*")) if p.is_file() and not p.is_symlink()]
        return sum(not (Path(folder) / n).is_file() or (Path(folder) / n).read_bytes() != (tree / n).read_bytes()
                   for n in names)


def limit_files():
    """An inode of a damaged image can say that it is as large as it likes, and debugfs believes it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def e2fsck(image, whole):
    """The journal first, where there is one, as Linux does at a mount. With a damaged superblock that repairs all, and says so."""
    journal = subprocess.run(["/sbin/e2fsck", "-fy", "-E", "journal_only", str(image)], capture_output=True, text=True)
    done = subprocess.run(["/sbin/e2fsck", "-fn", str(image)], capture_output=True, text=True)
    if journal.returncode == 0 and done.returncode == 0:
        return "clean", ""
    return "damaged" if whole else "damaged, machine killed", journal.stdout[-1000:] + done.stdout[-1000:]


def device_rules(seed):
    """For QEMU's blkdebug: states that go on with each write, and in random ones a request that fails, each once."""
    chance, states = random.Random(seed), 4000
    text = "".join(f'[set-state]\nevent = "write_aio"\nstate = "{i}"\nnew_state = "{i % states + 1}"\n'
                   for i in range(1, states + 1))
    for event, count in (("read_aio", 150), ("write_aio", 150), ("flush_to_disk", 20)):
        for state in chance.sample(range(2, states + 1), count):
            text += f'[inject-error]\nevent = "{event}"\nstate = "{state}"\nerrno = "5"\nonce = "on"\n'
    return text


def device_failures(machine):
    """Requests that QEMU let fail, by its own count."""
    stats = next(b["stats"] for b in machine.qmp("query-blockstats") if b.get("device") == "disk0")
    return {kind: stats[f"failed_{kind}_operations"] for kind in ("rd", "wr", "flush")}


def stall(machine):
    """One request a second for a while: whoever waits for the disk waits longer than it is ready to."""
    machine.qmp("human-monitor-command", command_line="block_set_io_throttle disk0 0 0 0 1 0 0")
    time.sleep(STALL_SECONDS)
    machine.qmp("human-monitor-command", command_line="block_set_io_throttle disk0 0 0 0 0 0 0")


class Batch:
    """One machine: its command, its run, what became of it."""

    def __init__(self, campaign, number, wanted):
        self.number = number
        self.seed = campaign.arguments.seed * 100000 + number
        self.folder = campaign.folder
        a = campaign.arguments
        self.turn = turn = campaign.turns[number % len(campaign.turns)]
        self.build = campaign.build
        self.host = f"{qemu_version()}, {campaign.arguments.cores} cores, {campaign.arguments.kind}"
        self.device = turn.classes == DEVICE
        self.faults = max(1, min(turn.faults(), wanted))
        words = [f"--faults {self.faults}", f"--seed {self.seed}", f"--only {turn.only}", f"--work {a.work}",
                 f"--classes {turn.classes}", f"--volley {turn.volley}", f"--victims {turn.victims}"]
        self.failed, self.kind = {}, a.kind
        self.command = "run campaign 3600 " + " ".join(words)
        self.cores = a.cores
        self.progress = campaign.progress

    @property
    def state(self):
        return self.folder / f"batch-{self.number:05}.json"

    def run(self):
        begun = time.time()
        image, log = self.folder / f"disk-{self.number}.img", self.folder / f"batch-{self.number:05}.log"
        shutil.copyfile(pristine(self.kind), image)
        options = Options(cores=self.cores, disk=str(image), boot="build/boot-campaign.img")
        if self.device:
            rules = self.folder / f"disk-{self.number}.conf"
            rules.write_text(device_rules(self.seed))
            options.disk = f"blkdebug:{rules}:{image}"
        end = ""
        with Machine(options, log, control=True) as machine:
            try:
                machine.prompt()
                machine.command("color off")
                end = self.watch(machine)
                if self.device:
                    self.failed = device_failures(machine)
                machine.poweroff()
            except MachineError as error:
                end = f"machine lost: {error}" if end in ("", "whole") else end
            text = machine.text
        result = self.judge(text, end, image)
        image.unlink()
        (self.folder / f"disk-{self.number}.conf").unlink(missing_ok=True)
        compress(log)
        write_whole(self.state, json.dumps(dict(result, begun=begun, ended=time.time())))
        return result

    def watch(self, machine):
        """Types the command; returns how the campaign in the machine ended."""
        machine.enter(f"{self.command}; echo =$?")
        start = seen = machine.mark  # what comes before `seen` was looked at, and ends with a line
        now = quiet = trial = time.monotonic()
        faults, stalled = 0, set()
        while True:
            text, now = machine.text, time.monotonic()
            new, seen = text[seen:text.rfind("\n") + 1], max(seen, text.rfind("\n") + 1)
            quiet = now if new else quiet
            if ("=" in new or "restarted" in new or "CAMPAIGN" in new) and ended(text, start):
                break
            if sizes_of(new):
                faults, trial = faults + sizes_of(new), now
                self.progress(self.number, faults)
            if self.device and set(STALLED.findall(new)) - stalled:
                stalled.update(STALLED.findall(new))
                stall(machine)
            if machine.process.poll() is not None:
                return "QEMU ended"
            why = overdue(now - quiet, now - trial, len(text))
            if why:
                registers = machine.qmp("human-monitor-command", command_line="info registers -a")
                (self.folder / f"batch-{self.number:05}.registers").write_text(registers)
                return why
            time.sleep(0.02 if self.device else 0.2)
        found = END.search(machine.text)
        return found[3] if found else "the campaign ended without its line"

    def judge(self, text, end, image):
        rows = rows_of(text, self.number, self.seed)
        begun = {int(m[1]): m for m in BEGUN.finditer(text)}
        whole, rate, verified = END.search(text), "0", VERIFIED.search(text)
        if whole:
            rate = whole[2]
        if not whole:
            rows.update(lost_rows(begun, rows, self.number, self.seed))
        wrong = misled(text)
        if wrong and int(wrong[1]) in rows:
            rows[int(wrong[1])]["errors"] += 1
        volleys = volleys_of(text, rows)
        if volleys:
            with open(self.folder / f"batch-{self.number:05}.volleys", "w") as file:
                file.writelines(f"{self.number},{n},{rows[n]['victim']},{rows[n]['class']},{pokes}\n" for n, pokes in volleys)
        verdict, words = e2fsck(image, end == "whole")
        return {"batch": self.number, "seed": self.seed, "command": self.command, "end": end, "rate": rate, "turn": self.turn.name,
                "damage": self.turn.damages(), "build": self.build, "host": self.host, "supervisor": supervisor_returns(text),
                "faults": sum(r["faults"] for r in rows.values()), "failed": self.failed, "lost": len(set(begun) - set(rows)), "panics": panics_of(text, begun),
                "changed": files_changed(image), "e2fsck": verdict, "e2fsck_words": words, "rows": [rows[n] for n in sorted(rows)],
                "verified": [int(v) for v in verified.groups()] if verified else None}


def overdue(quiet, trial, length):
    """Why a machine is given up, or ""."""
    if quiet > SILENT_SECONDS:
        return f"silent for {SILENT_SECONDS} s"
    if trial > TRIAL_SECONDS:
        return f"no trial began for {TRIAL_SECONDS} s"
    return f"more than {TEXT_MAX >> 20} MiB on its console" if length > TEXT_MAX else ""


def compress(path):
    with open(path, "rb") as source, gzip.open(f"{path}.gz", "wb", 3) as to:
        shutil.copyfileobj(source, to)
    path.unlink()


def write_whole(path, text):
    """The file is there with all of the text, or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)


def build_of(*paths):
    """What is run: the commit where there is one (with a + if files differ from it), and the sum of the images."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    commit = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], capture_output=True, text=True).stdout.strip()
    return f"{commit or 'no commit'}, images {digest.hexdigest()[:12]}"


def states(folders):
    """The machines that have ended, without their rows."""
    found = [json.loads(p.read_text()) for f in folders for p in sorted(Path(f).glob("batch-*.json"))]
    return [{k: v for k, v in state.items() if k != "rows"} for state in found]


def rows_of_states(folders):
    return [row for f in folders for p in sorted(Path(f).glob("batch-*.json")) for row in json.loads(p.read_text())["rows"]]


def settings_of(arguments):
    """What must not change when a campaign goes on."""
    return {k: getattr(arguments, k) for k in ("seed", "batch", "only", "classes", "volley", "victims", "work", "kind", "cores")}


def pristine(kind):
    image = ROOT / "build" / f"disk-pristine-{kind}.img"
    if not image.exists():
        make_disk(image, kind=kind)
    return image


class Campaign:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = Path(arguments.folder or ROOT / "build" / "campaign" / f"seed-{arguments.seed}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.turns = turns(arguments)
        self.build = ""
        self.running = {}  # number of a machine -> its faults so far
        self.told = 0.0
        self.lock = threading.Lock()  # machines tell of their progress from threads of their own

    def go_on(self):
        """Takes up what is there; a sentence when that cannot be."""
        settings, path = settings_of(self.arguments), self.folder / "settings.json"
        self.claim = open(self.folder / "lock", "w")
        try:
            fcntl.flock(self.claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return f"{self.folder}: this campaign is running already"
        if path.exists() and json.loads(path.read_text()) != settings:
            return f"{path} is of a campaign with other settings: {path.read_text()}"
        write_whole(path, json.dumps(settings))
        for left in (p for pattern in ("disk-*", "*.part", "batch-*.log") for p in self.folder.glob(pattern)):
            left.unlink()
        self.build = build_of(ROOT / "build" / "kernel.elf", ROOT / "build" / "boot-campaign.img")
        self.results = states([self.folder])
        self.begun, self.before, self.met = time.monotonic(), self.done(), len(self.results)
        if self.results:
            print(f"going on: {len(self.results)} machines have ended, with {self.before:,} faults", flush=True)
        return ""

    def done(self):
        return sum(r["faults"] for r in self.results)

    def next_number(self):
        """The first machine that has neither ended nor begun: one that was interrupted is begun again."""
        taken = {r["batch"] for r in self.results} | set(self.promised)
        return next(n for n in range(len(taken) + 1) if n not in taken)

    def line(self):
        now, goal = self.done() + sum(self.running.values()), self.arguments.faults
        seconds = time.monotonic() - self.begun
        rate = (now - self.before) / max(1.0, seconds)
        left = f"{max(0, goal - now) / rate / 60:.0f} min left" if len(self.results) - self.met >= ESTIMATE_MACHINES and now > self.before else "end not known yet"
        filled = min(40, 40 * now // goal)
        return (f"[{'#' * filled}{'.' * (40 - filled)}] {now:,} of {goal:,} faults ({100 * now / goal:.1f} %), {rate:.0f}/s, {left}, "
                f"{len(self.results)} machines ended, {seconds / 60:.0f} min")

    def progress(self, number, faults):
        with self.lock:
            self.running[number] = faults
            if sys.stdout.isatty():
                print(f"\r{self.line()} ", end="", flush=True)
            elif time.monotonic() - self.told > TELL_SECONDS:
                self.told = time.monotonic()
                print(self.line(), flush=True)

    def ended(self, result):
        with self.lock:
            self.running.pop(result["batch"], None)
            self.results.append({k: v for k, v in result.items() if k != "rows"})
            print(f"{chr(13) if sys.stdout.isatty() else ''}batch {result['batch']} seed {result['seed']}, {result['turn']}: {result['faults']} "
                  f"faults, {result['rate']}/s, end: {result['end']}, e2fsck: {result['e2fsck']}, {result['changed']} old files changed, "
                  f"{len(result['panics'])} panics", flush=True)

    def failed(self, number, error):
        """A machine that could not be run or judged has no state: it is begun again."""
        self.running.pop(number, None)
        print(f"batch {number} could not be run: {error}", flush=True)

    def may_start(self):
        if shutil.disk_usage(self.folder).free >= FREE_BYTES:
            return True
        print(f"{self.folder}: less than {FREE_BYTES >> 20} MiB are free, so no machine is started", flush=True)
        return False

    def run(self):
        """Machines until enough faults are done; a machine that makes no progress three times in a row is the end."""
        until = time.monotonic() + self.arguments.seconds if self.arguments.seconds else float("inf")
        futile, pending, self.promised = 0, {}, {}
        pristine(self.arguments.kind)  # once, before several machines want it at the same time; and the tree that it is made of
        default_tree()
        with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
            while True:
                wanted = self.arguments.faults - self.done() - sum(self.promised.values())
                more = wanted > 0 and futile < 3 and time.monotonic() < until
                if more and len(pending) < self.arguments.jobs and self.may_start():
                    batch = Batch(self, self.next_number(), wanted)
                    self.promised[batch.number] = batch.faults
                    pending[pool.submit(batch.run)] = batch.number
                    continue
                if not pending:
                    break
                for future in concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED).done:
                    futile = 0 if self.take(pending.pop(future), future) else futile + 1

    def take(self, number, future):
        """How many faults the machine that has ended has had."""
        self.promised.pop(number)
        try:
            result = future.result()
        except (OSError, MachineError, subprocess.SubprocessError) as error:
            self.failed(number, error)
            return 0
        self.ended(result)
        return result["faults"]


def volleys_write(path, folders):
    with open(path, "w") as file:
        file.write("batch,number,victim,class,place^mask of each fault\n")
        for state in (p for f in folders for p in sorted(Path(f).glob("batch-*.json"))):
            volleys = state.with_suffix(".volleys")
            if volleys.exists():
                with open(volleys) as source:
                    shutil.copyfileobj(source, file)


def report(folder, folders, title):
    rows, results = rows_of_states(folders), states(folders)
    rows_write(folder / "faults.csv", rows)
    volleys_write(folder / "volleys.csv", folders)
    (folder / "report.html").write_text(report_html(rows, results, title))
    c = counts(rows)
    print(f"{c['injected']} injected in {c['trials']} trials, {c['manifested']} showed themselves, {c['recovered']} recovered, "
          f"{c['client errors']} with client errors, {c['silent']} with wrong bytes, {c['machine']} machines lost; "
          f"{os.path.relpath(folder / 'report.html')}, {os.path.relpath(folder / 'faults.csv')}")
    return problems(rows, results)


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=BATCH, help="trials of one machine")
    parser.add_argument("--only", default=SERVICES)
    parser.add_argument("--classes", default="", help="only these, in all machines")
    parser.add_argument("--volley", type=int, default=100, help="faults of one trial, where they are mutations and flipped bits")
    parser.add_argument("--victims", type=int, default=1, help="of one trial with faults at points, if there are --classes")
    parser.add_argument("--work", type=int, default=30, help="operations that a trial has to show itself")
    parser.add_argument("--kind", choices=["ext2", "ext4"], default="ext4", help="of the file system")
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=0, help="start no machine after so long")
    parser.add_argument("--folder", help="where the state is kept")
    parser.add_argument("--report", nargs="+", metavar="FOLDER", help="run nothing: one report of these states")
    parser.add_argument("--markdown", action="store_true", help="with --report: only the tables, to the terminal")
    return parser.parse_args()


def main():
    os.chdir(ROOT)
    arguments = read_arguments()
    title = f"Campaign of faults, seed {arguments.seed}"
    folders = arguments.report
    if folders and arguments.markdown:
        print(report_markdown(rows_of_states(folders), states(folders)))
        return 0
    campaign = Campaign(arguments)
    if folders:
        title = "Campaign of faults, " + ", ".join(Path(f).name for f in folders)
    else:
        why = campaign.go_on()
        if why:
            print(why)
            return 2
        try:
            campaign.run()
        except KeyboardInterrupt:
            print("\ninterrupted; the same command goes on")
            os._exit(130)
    bad = report(campaign.folder, folders or [campaign.folder], title)
    if not folders and campaign.done() < arguments.faults and not arguments.seconds:
        bad.append(f"only {campaign.done()} of {arguments.faults} faults")
    if bad:
        print("\n".join(bad[:20]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
