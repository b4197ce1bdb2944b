"""Campaigns of random faults, and their report.

Two short campaigns run here: faults of which clients must see nothing, and damage of text, data and registers, of which no
core may panic. What damage spoils in files is measured by `make campaign` and is no bar for a test.
"""
import json
import subprocess
import sys

from framework import FULL, ROOT, case

from campaign_report import counts, percentile, problems, report_html, rows_read, rows_write, shown
from run_campaign import DAMAGE, DEVICE, LINE, UNSEEN, line_sum, rows_of


def run(t, faults, seed, only, classes):
    """A campaign of one machine in this case's folder: (exit code, what it printed, the results of its machines)."""
    folder = t.folder / "state"
    done = subprocess.run([sys.executable, "tools/run_campaign.py", "--faults", str(faults), "--seed", str(seed),
                           "--only", only, "--classes", classes, "--folder", str(folder)], cwd=ROOT,
                          capture_output=True, text=True)
    results = [json.loads(p.read_text()) for p in sorted(folder.glob("batch-*.json"))]
    injected = sum(r["faults"] for r in results)
    t.check(injected >= faults, f"{injected} of {faults} faults: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    t.equal(len(rows_read(folder / "faults.csv")), injected, "lines of faults.csv")
    t.check("<svg" in (folder / "report.html").read_text(), "the report has no plot")
    print(f"     {t.case.name}: {done.stdout.splitlines()[-1] if done.stdout else done.stderr[-500:]}")
    return done, results


@case
def random_faults_unseen(t):
    """Fail-stop, hangs, errors, wrong replies and floods of rings: no client sees an error, the image is sound."""
    done, _ = run(t, 400 if FULL else 60, 1, "fs,blk,console,supervisor", UNSEEN)
    t.equal(done.returncode, 0, f"exit code of the campaign ({done.stdout[-1500:]})")


@case
def random_damage_contained(t):
    """Mutated instructions and flipped bits in servers and a client: no core panics, whatever else becomes of it.

    Not in blk: its device writes wherever the driver says (CAVEATS.md), so this is no claim about it. `make campaign` has the figures.
    """
    _, results = run(t, 2000 if FULL else 100, 2, "fs,console,client", DAMAGE)
    t.equal([line for r in results for line in r["panics"]], [], "panics")


@case
def random_device_errors(t):
    """The disk lets requests fail and holds others back: clients see time, and no error."""
    done, results = run(t, 100 if FULL else 10, 3, "blk", DEVICE)
    t.equal(done.returncode, 0, f"exit code of the campaign ({done.stdout[-1500:]})")
    t.check(sum(r["failed"].get("wr", 0) for r in results) > 0, f"QEMU let no write fail: {results[0]['failed']}")


ROW = ("FAULT,7,fs,source,20461c 8432>8446,unknown,exception,0,1,0,1,2,0,9,100,20,30,40,500")


@case
def random_report_is_right(t):
    """Lines of the machine become rows, rows become counts, a table and bars; a spoilt line is left out."""
    good = f"{ROW},{line_sum(ROW):04x}"
    other = ROW.replace("FAULT,7", "FAULT,8").replace("exception,0", "none,1").replace("1,0,1,2,0,9", "1,0,1,0,5,0")
    text = f"{good}\n{good[:30]}#{good[31:]}\n{other},{line_sum(other):04x}\n{good}\n"
    t.equal(len(LINE.findall(text)), 4, "lines that look like one")
    rows = list(rows_of(text, 3, 33).values())
    t.equal([r["number"] for r in rows], [7, 8], "numbers of the rows")
    t.equal((rows[0]["class"], rows[0]["errors"], rows[0]["replay_us"], rows[0]["seed"]), ("source", 2, 40, 33), "row 7")
    t.equal([shown(r) for r in rows], ["exception", "stuck"], "how they showed themselves")
    t.equal([r["activated"] for r in rows], ["yes", "yes"], "activated: what shows itself was activated")
    c = counts(rows)
    t.equal([c[k] for k in ("injected", "manifested", "recovered", "client errors", "silent")], [2, 2, 2, 1, 1], "counts")
    t.equal([percentile([3, 1, 2], p) for p in (0, 0.5, 0.99)], [1, 2, 3], "percentiles")
    path = t.folder / "faults.csv"
    rows_write(path, rows)
    t.equal(rows_read(path), rows, "rows that went through the CSV file")
    batch = {"batch": 3, "seed": 33, "faults": 2, "rate": "1.0", "end": "whole", "panics": ["core 1 panics: x"],
             "e2fsck": "damaged", "lost": 0, "changed": 0, "failed": {"wr": 2}, "command": "run campaign"}
    bad = problems([dict(rows[0], **{"class": "stop", "recovered": 0})], [batch])
    t.equal(len(bad), 4, f"problems: client errors, not recovered, panic, image ({bad})")
    t.equal(problems(rows, [dict(batch, panics=[], e2fsck="clean")]), [], "problems of mutations that clients saw")
    page = report_html(rows, [batch], "T & T")
    t.check("T &amp; T" in page and page.count("<svg") == 2 and "http" not in page, "the page is whole and needs no network")
