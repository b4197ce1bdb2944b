#!/usr/bin/env python3
"""Runs a campaign of faults: virtual machines one after another or several at a time, each with a seed and a disk of its
own, until enough faults are injected; then one report. `make campaign FAULTS=n SEED=s [JOBS=..]` calls it.

State is in build/campaign/seed-S/: a JSON file for each machine that has ended (so a campaign goes on where it was
interrupted), the console logs, the registers of machines that fell silent, report.html, faults.csv. A machine that falls silent is killed and counted with the fault
that it had begun. --report FOLDER... makes one report of the states of several machines or hosts.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
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
from qemu import Machine, MachineError, Options  # noqa: E402

BATCH = 400          # faults of one machine: what one damaged volume can spoil
# Machines take turns, so that what damage has left behind is never counted with a fault of which clients must see nothing.
UNSEEN = "stop,hang,error,reply,bell"
DAMAGE = "source,destination,pointer,branch,invert,immediate,drop,text,data,heap,stack,register,ring,probe"
DEVICE = "device,stall"
TURNS = [UNSEEN, DAMAGE, DAMAGE, DAMAGE, UNSEEN, DAMAGE, DAMAGE, DEVICE]
DEVICE_BATCH = 100   # faults of such a machine
STALL_SECONDS = 0.6  # longer than fs waits for blk in systems/campaign.toml
SILENT_SECONDS = 60  # without a character on the console: longer than all deadlines of a fault together
END = re.compile(r"^CAMPAIGN faults (\d+) of \d+ seed \d+ ms \d+ faults_per_s ([\d.]+) .* end (.*)$", re.M)
VERIFIED = re.compile(r"^CAMPAIGN verified files (\d+) errors (\d+) wrong (\d+)$", re.M)
BEGUN = re.compile(r"^BEGIN,(\d+),([^,\n]*),([^,\n]*),([^,\n]*)$", re.M)
LINE = re.compile(r"^(FAULT,.*),([0-9a-f]{4})$", re.M)
STALLED = re.compile(r"^BEGIN,\d+,blk,stall,by the host", re.M)
PANIC = re.compile(r"^core \d+ panics: .*$", re.M)
STATUS = re.compile(r"^=(\d+)$", re.M)
FIELDS = ["number", "victim", "class", "detail", "activated", "manifested", "stuck", "restarts", "others", "recovered",
          "errors", "wrong", "error", "detect_us", "teardown_us", "restart_us", "replay_us", "whole_us"]


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


def lost_row(begun, batch, seed):
    """The fault that a machine had begun when it was lost."""
    row = dict.fromkeys(COLUMNS, 0)
    row.update(batch=batch, seed=seed, number=int(begun[1]), victim=begun[2], detail=begun[4], activated="yes",
               manifested="machine")
    row["class"] = begun[3]
    return row


def files_changed(image):
    """How many files that were on the disk from the start, which no program of a campaign touches, have other bytes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["/sbin/debugfs", "-R", f'rdump / "{folder}"', str(image)], capture_output=True)
        tree = default_tree()
        names = [p.relative_to(tree) for p in sorted(tree.rglob("*")) if p.is_file() and not p.is_symlink()]
        return sum(not (Path(folder) / n).is_file() or (Path(folder) / n).read_bytes() != (tree / n).read_bytes()
                   for n in names)


def e2fsck(image, whole):
    done = subprocess.run(["/sbin/e2fsck", "-fn", str(image)], capture_output=True, text=True)
    if done.returncode == 0:
        return "clean", ""
    return "damaged" if whole else "damaged, machine killed", done.stdout[-2000:]


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

    def __init__(self, campaign, number):
        self.number = number
        self.seed = campaign.arguments.seed * 100000 + number
        self.folder = campaign.folder
        a = campaign.arguments
        faults, only, classes = a.batch, a.only, a.classes or TURNS[number % len(TURNS)]
        self.device = classes == DEVICE
        if self.device:
            faults, only = min(a.batch, DEVICE_BATCH), "blk"
        words = [f"--faults {faults}", f"--seed {self.seed}", f"--only {only}", f"--work {a.work}", f"--classes {classes}"]
        self.failed = {}
        self.command = "run campaign 3600 " + " ".join(words)
        self.cores = a.cores
        self.progress = campaign.progress

    @property
    def state(self):
        return self.folder / f"batch-{self.number:05}.json"

    def run(self):
        image = self.folder / f"disk-{self.number}.img"
        shutil.copyfile(pristine(), image)
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
        while not STATUS.search(machine.text, machine.mark):
            time.sleep(0.02 if self.device else 0.2)
            wanted = len(set(STALLED.findall(machine.text))) if self.device else 0
            if wanted > stalls:
                stalls = wanted
                stall(machine)
            self.progress(self.number, machine.text.count("\nFAULT,", machine.mark))
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
        last = max(begun, default=None)
        if not whole and last is not None and last not in rows:
            rows[last] = lost_row(begun[last], self.number, self.seed)
        verdict, words = e2fsck(image, end == "whole")
        return {"batch": self.number, "seed": self.seed, "command": self.command, "end": end, "rate": rate,
                "faults": len(rows), "failed": self.failed, "lost": len(set(begun) - set(rows)), "panics": sorted(set(PANIC.findall(text))),
                "changed": files_changed(image), "e2fsck": verdict, "e2fsck_words": words, "rows": [rows[n] for n in sorted(rows)],
                "verified": [int(v) for v in verified.groups()] if verified else None}


def pristine():
    image = ROOT / "build" / "disk-pristine.img"
    if not image.exists():
        make_disk(image)
    return image


class Campaign:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = Path(arguments.folder or ROOT / "build" / "campaign" / f"seed-{arguments.seed}")
        self.folder.mkdir(parents=True, exist_ok=True)
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
        futile, pending = 0, set()
        with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
            while pending or (self.done() < self.arguments.faults and futile < 3 and time.monotonic() < until):
                wanted = self.arguments.faults - self.done() - len(pending) * self.arguments.batch
                if len(pending) < self.arguments.jobs and wanted > 0 and futile < 3 and time.monotonic() < until:
                    pending.add(pool.submit(Batch(self, number).run))
                    number += 1
                    continue
                ended, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    result = future.result()
                    self.ended(result)
                    futile = 0 if result["faults"] else futile + 1


def report(folder, results, title):
    rows = [row for r in results for row in r["rows"]]
    rows_write(folder / "faults.csv", rows)
    (folder / "report.html").write_text(report_html(rows, results, title))
    c = counts(rows)
    print(f"{c['injected']} injected, {c['manifested']} showed themselves, {c['recovered']} recovered, "
          f"{c['client errors']} with client errors, {c['silent']} with wrong bytes, {c['machine']} machines lost; "
          f"{os.path.relpath(folder / 'report.html')}, {os.path.relpath(folder / 'faults.csv')}")
    return problems(rows, results)


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=BATCH, help="faults of one machine")
    parser.add_argument("--only", default="fs,blk,console,supervisor,client")
    parser.add_argument("--classes", default="")
    parser.add_argument("--work", type=int, default=30, help="operations that a fault has to show itself")
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=0, help="start no machine after so long")
    parser.add_argument("--folder", help="where the state is kept")
    parser.add_argument("--report", nargs="+", metavar="FOLDER", help="run nothing: one report of these states")
    return parser.parse_args()


def main():
    os.chdir(ROOT)
    arguments = read_arguments()
    arguments.batch = min(arguments.batch, arguments.faults)
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
    bad = report(campaign.folder, campaign.results, title)
    if bad:
        print("\n".join(bad[:20]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
