#!/usr/bin/env python3
"""Runs a campaign of faults: virtual machines one after another or several at a time, each with a seed and a disk of its
own, until enough faults are injected; then one report. `make campaign FAULTS=n SEED=s [JOBS=..]` calls it.

State is in build/campaign/seed-S/: a JSON file for each machine that has ended (so a campaign goes on where it was
interrupted), the console logs, the registers of machines that fell silent, report.html, faults.csv (a line for each victim of a
trial), volleys.csv (a line for each volley: every place and mask). A machine that falls silent is killed and counted with the
trial that it had begun. --report FOLDER... makes one report of the states of several machines or hosts.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from campaign_report import COLUMNS, NUMBERS, counts, problems, report_html, rows_write  # noqa: E402
from disk import default_tree, make_disk  # noqa: E402
from qemu import RESTARTED, Machine, MachineError, Options  # noqa: E402

UNSEEN = "stop,hang,error,reply,bell"
DAMAGE = "source,destination,pointer,branch,invert,immediate,drop,text,data,heap,stack,register,ring,probe"
DEVICE = "device,stall"
KERNEL = "panic,jump,store"
SILENCE = "silence"
SERVICES = "fs,blk,console,supervisor,client"


class Turn:
    """What one machine is for: so many trials, of these classes, in these victims."""

    def __init__(self, classes, trials=400, only="", volley=1, victims=1):
        self.classes, self.trials, self.only, self.volley, self.victims = classes, trials, only, volley, victims

    def faults(self):
        return self.trials * self.volley * self.victims


def turns(arguments):
    """Machines take turns, so that what damage has left behind is never counted with a fault of which clients must see nothing. Volleys
    of several sizes say what one size alone does not: how likely one fault is to show itself."""
    trials, only, volley = arguments.batch, arguments.only, arguments.volley
    if arguments.classes:
        return [Turn(arguments.classes, trials, only, volley, arguments.victims)]
    unseen, many = Turn(UNSEEN, trials, only, 1, 4), Turn(DAMAGE, trials, only, volley)
    kernel = Turn(KERNEL, trials // 4, "kernels")
    some, one = Turn(DAMAGE, trials, only, max(1, volley // 10)), Turn(DAMAGE, trials, only)
    return [unseen, many, many, some, many, many, kernel, one, unseen, many, many, Turn(DEVICE, DEVICE_TRIALS, "blk"),
            many, many, Turn(SILENCE, trials // 20, "kernels"), many, many]


BATCH = 400          # trials of one machine: what one damaged volume can spoil
DEVICE_TRIALS = 100  # of such a machine
FILE_BYTES = 64 << 20  # of one file that is read from an image: more than the disk has
STALL_SECONDS = 0.6  # longer than fs waits for blk in systems/campaign.toml
SILENT_SECONDS = 60  # without a character on the console: longer than all deadlines of a fault together
END = re.compile(r"^CAMPAIGN faults (\d+) of \d+ seed \d+ ms \d+ faults_per_s ([\d.]+) .* end (.*)$", re.M)
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
        turn = campaign.turns[number % len(campaign.turns)]
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
        image = self.folder / f"disk-{self.number}.img"
        shutil.copyfile(pristine(self.kind), image)
        options = Options(cores=self.cores, disk=str(image), boot="build/boot-campaign.img")
        if self.device:
            rules = self.folder / f"disk-{self.number}.conf"
            rules.write_text(device_rules(self.seed))
            options.disk = f"blkdebug:{rules}:{image}"
        end = ""
        with Machine(options, self.folder / f"batch-{self.number:05}.log", control=True) as machine:
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
        self.state.write_text(json.dumps(result))
        return result

    def watch(self, machine):
        """Types the command; returns how the campaign in the machine ended."""
        machine.enter(f"{self.command}; echo =$?")
        seen, quiet, stalls = 0, time.monotonic(), 0
        while not ended(machine.text, machine.mark):
            time.sleep(0.02 if self.device else 0.2)
            wanted = len(set(STALLED.findall(machine.text))) if self.device else 0
            if wanted > stalls:
                stalls = wanted
                stall(machine)
            self.progress(self.number, sum(int(m[3]) for m in BEGUN.finditer(machine.text, machine.mark)))
            if len(machine.text) != seen:
                seen, quiet = len(machine.text), time.monotonic()
            if machine.process.poll() is not None:
                return "QEMU ended"
            if time.monotonic() - quiet > SILENT_SECONDS:
                registers = machine.qmp("human-monitor-command", command_line="info registers -a")
                (self.folder / f"batch-{self.number:05}.registers").write_text(registers)
                return f"silent for {SILENT_SECONDS} s"
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
        return {"batch": self.number, "seed": self.seed, "command": self.command, "end": end, "rate": rate,
                "faults": sum(r["faults"] for r in rows.values()), "failed": self.failed, "lost": len(set(begun) - set(rows)), "panics": panics_of(text, begun),
                "changed": files_changed(image), "e2fsck": verdict, "e2fsck_words": words, "rows": [rows[n] for n in sorted(rows)],
                "verified": [int(v) for v in verified.groups()] if verified else None}


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
        self.running = {}
        self.begun = time.monotonic()
        self.results = [json.loads(p.read_text()) for p in sorted(self.folder.glob("batch-*.json"))]

    def done(self):
        return sum(r["faults"] for r in self.results)

    def progress(self, number, faults):
        self.running[number] = faults
        if not sys.stdout.isatty():
            return
        now, goal = self.done() + sum(self.running.values()), self.arguments.faults
        filled = min(40, 40 * now // goal)
        print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {now} of {goal} faults, {len(self.results)} machines ended, "
              f"{time.monotonic() - self.begun:.0f} s ", end="", flush=True)

    def ended(self, result):
        self.running.pop(result["batch"], None)
        self.results.append(result)
        print(f"{chr(13) if sys.stdout.isatty() else ''}batch {result['batch']} seed {result['seed']}: {result['faults']} "
              f"faults, {result['rate']}/s, end: {result['end']}, e2fsck: {result['e2fsck']}, {result['changed']} old files changed, {len(result['panics'])} "
              "panics", flush=True)

    def run(self):
        """Machines until enough faults are done; a machine that makes no progress three times in a row is the end."""
        number = 1 + max((r["batch"] for r in self.results), default=-1)
        until = time.monotonic() + self.arguments.seconds if self.arguments.seconds else float("inf")
        futile, pending, self.promised = 0, set(), {}
        with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
            while pending or (self.done() < self.arguments.faults and futile < 3 and time.monotonic() < until):
                wanted = self.arguments.faults - self.done() - sum(self.promised.values())
                if len(pending) < self.arguments.jobs and wanted > 0 and futile < 3 and time.monotonic() < until:
                    batch = Batch(self, number, wanted)
                    self.promised[number] = batch.faults
                    pending.add(pool.submit(batch.run))
                    number += 1
                    continue
                ended, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    result = future.result()
                    self.promised.pop(result["batch"])
                    self.ended(result)
                    futile = 0 if result["faults"] else futile + 1


def report(folder, folders, results, title):
    rows = [row for r in results for row in r["rows"]]
    rows_write(folder / "faults.csv", rows)
    with open(folder / "volleys.csv", "w") as file:
        file.write("batch,number,victim,class,place^mask of each fault\n")
        for path in (p for f in folders for p in sorted(Path(f).glob("batch-*.volleys"))):
            file.write(path.read_text())
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
    return parser.parse_args()


def main():
    os.chdir(ROOT)
    arguments = read_arguments()
    campaign = Campaign(arguments)
    title = f"Campaign of faults, seed {arguments.seed}"
    try:
        if arguments.report:
            found = [json.loads(p.read_text()) for f in arguments.report for p in sorted(Path(f).glob("batch-*.json"))]
            campaign.results, title = found, "Campaign of faults, " + ", ".join(Path(f).name for f in arguments.report)
        else:
            campaign.run()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on")
        os._exit(130)
    bad = report(campaign.folder, arguments.report or [campaign.folder], campaign.results, title)
    if bad:
        print("\n".join(bad[:20]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
