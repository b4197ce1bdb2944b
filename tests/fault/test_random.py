"""Campaigns of random faults, and their report.

Short campaigns run here: faults of which clients must see nothing, in several services at the same time; kernels that die; damage of
text, data and registers, one fault or a volley of them, of which no core may panic. What damage spoils in files is measured by
`make campaign` and is no bar for a test.
"""
import argparse
import json
import subprocess
import sys

from framework import FULL, ROOT, case

from campaign_report import (bars_table, clock_seconds, counts, markdown, outcome_table, per_fault, percentile, problems, report_html, rows_read,
                             rows_write, shown, target_table, time_table)
from run_campaign import (BEGUN, DAMAGE, DEVICE, KERNEL, LINE, UNSEEN, Campaign, ended, line_sum, lost_rows, misled, overdue, panics_of, rows_of,
                          supervisor_returns, volleys_of, volleys_write)


def run(t, faults, seed, only, classes, volley=1, victims=1):
    """A campaign of one machine in this case's folder: (exit code, what it printed, the results of its machines)."""
    folder = t.folder / "state"
    done = subprocess.run([sys.executable, "tools/run_campaign.py", "--faults", str(faults), "--seed", str(seed),
                           "--only", only, "--classes", classes, "--volley", str(volley), "--victims", str(victims),
                           "--folder", str(folder)], cwd=ROOT,
                          capture_output=True, text=True)
    results = [json.loads(p.read_text()) for p in sorted(folder.glob("batch-*.json"))]
    injected = sum(r["faults"] for r in results)
    t.check(injected >= faults, f"{injected} of {faults} faults: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    rows = rows_read(folder / "faults.csv")
    t.equal(sum(r["faults"] for r in rows), injected, "faults in faults.csv")
    told = [line.rsplit(",", 1)[1].split() for line in (folder / "volleys.csv").read_text().splitlines()[1:]]
    t.equal(sorted(map(len, told)), sorted(r["faults"] for r in rows if r["faults"] > 1), "places in volleys.csv")
    t.check("<svg" in (folder / "report.html").read_text(), "the report has no plot")
    print(f"     {t.case.name}: {done.stdout.splitlines()[-1] if done.stdout else done.stderr[-500:]}")
    return done, results


@case
def random_faults_unseen(t):
    """Fail-stop, hangs, errors, wrong replies and floods of rings in four services at once: no client sees an error, the image is sound."""
    done, results = run(t, 1600 if FULL else 100, 1, "fs,blk,console,supervisor", UNSEEN, victims=4)
    t.equal(done.returncode, 0, f"exit code of the campaign ({done.stdout[-1500:]})")
    rows = [r for b in results for r in b["rows"]]
    t.check(len({r["trial"] for r in rows}) * 3 < len(rows), "several victims at a time")


@case
def random_kernels_die(t):
    """Kernels of three cores die, some again in their rebirth: no client sees an error, no other core panics, the image is sound."""
    done, results = run(t, 200 if FULL else 15, 4, "kernels", KERNEL)
    t.equal(done.returncode, 0, f"exit code of the campaign ({done.stdout[-1500:]})")
    rows = [r for b in results for r in b["rows"]]
    t.equal({(r["activated"], r["manifested"]) for r in rows}, {("yes", "core")}, "what became of them")
    t.equal({r["victim"] for r in rows}, {"kernel0", "kernel1", "kernel2"}, "victims")


@case(volley=[1, 20])
def random_damage_contained(t, volley):
    """Mutated instructions and flipped bits in servers and a client: no core panics, whatever else becomes of it.

    Not in blk: its device writes wherever the driver says (CAVEATS.md), so this is no claim about it. `make campaign` has the figures.
    """
    _, results = run(t, (2000 if FULL else 60) * volley, 2, "fs,console,client", DAMAGE, volley)
    t.equal([line for r in results for line in r["panics"]], [], "panics")


@case
def random_device_errors(t):
    """The disk lets requests fail and holds others back: clients see time, and no error."""
    done, results = run(t, 100 if FULL else 10, 3, "blk", DEVICE)
    t.equal(done.returncode, 0, f"exit code of the campaign ({done.stdout[-1500:]})")
    t.check(sum(r["failed"].get("wr", 0) for r in results) > 0, f"QEMU let no write fail: {results[0]['failed']}")


ROW = ("FAULT,7,5,1,fs,source,20461c 8432>8446,unknown,exception,0,1,0,0,1,2,0,9,100,20,30,40,500")


@case
def random_report_is_right(t):
    """Lines of the machine become rows, rows become counts, a table and bars; a spoilt line is left out."""
    good = f"{ROW},{line_sum(ROW):04x}"
    other = ROW.replace("FAULT,7,5,1", "FAULT,8,6,10").replace("exception,0", "none,1").replace("1,0,0,1,2,0,9", "1,0,0,1,0,5,0")
    text = f"{good}\n{good[:30]}#{good[31:]}\n{other},{line_sum(other):04x}\n{good}\n"
    t.equal(len(LINE.findall(text)), 4, "lines that look like one")
    rows = list(rows_of(text, 3, 33).values())
    t.equal([r["number"] for r in rows], [7, 8], "numbers of the rows")
    t.equal((rows[0]["class"], rows[0]["errors"], rows[0]["replay_us"], rows[0]["seed"]), ("source", 2, 40, 33), "row 7")
    t.equal([shown(r) for r in rows], ["exception", "stuck"], "how they showed themselves")
    t.equal([r["activated"] for r in rows], ["yes", "yes"], "activated: what shows itself was activated")
    c = counts(rows)
    t.equal([c[k] for k in ("injected", "trials", "manifested", "recovered", "client errors", "silent")], [11, 2, 2, 2, 1, 1], "counts")
    t.equal([percentile([3, 1, 2], p) for p in (0, 0.5, 0.99)], [1, 2, 3], "percentiles")
    path = t.folder / "faults.csv"
    rows_write(path, rows)
    t.equal(rows_read(path), rows, "rows that went through the CSV file")
    batch = {"batch": 3, "seed": 33, "faults": 2, "rate": "1.0", "end": "whole", "panics": ["core 1 panics: x"],
             "e2fsck": "damaged", "lost": 0, "changed": 0, "failed": {"wr": 2}, "command": "run campaign", "turn": "T", "damage": False,
             "build": "0123", "host": "QEMU", "begun": 100.0, "ended": 160.0, "supervisor": [[1000, 0, 2500]]}
    bad = problems([dict(rows[0], **{"class": "stop", "recovered": 0, "kernels": 1})], [batch])
    t.equal(len(bad), 5, f"problems: client errors, not recovered, a kernel beside, panic, image ({bad})")
    t.equal(problems(rows, [dict(batch, panics=[], e2fsck="clean")]), [], "problems of mutations that clients saw")
    page = report_html(rows, [batch], "T & T")
    t.check("T &amp; T" in page and page.count("<svg") == 2 and "http" not in page, "the page is whole and needs no network")
    check_tables(t, rows, batch)


def check_tables(t, rows, batch):
    """Numbers where a reader looks for them."""
    t.equal(clock_seconds([batch, dict(batch, begun=150.0, ended=190.0), dict(batch, begun=300.0, ended=301.0)]), 91.0, "seconds by the clock")
    lines = {line[0]: line[2:] for line in outcome_table(rows)[1]}
    t.equal(lines["all"], [11, 2, 2, 0, 0, "2 (100.0 %)", "2 (100.0 %)", 0, "1 (50.0 %)", "1 (50.0 %)"], "outcomes of all")
    t.equal([line[1:] for line in bars_table(rows, [batch])[1][:5:4]], [["not tried", "0 of 0 faults"], ["not met", "1 of 1 machines (100.0 %)"]], "bars")
    lines = {tuple(line[:2]): line[2:] for line in time_table(rows, [batch])[1]}
    t.equal((lines["fs", "detect"], lines["fs", "all"]), ([1, "0.10", "0.10", "0.10"], [1, "0.19", "0.19", "0.19"]), "times")
    t.equal((("supervisor", "restart") in lines, lines["supervisor", "all"]), (False, [1, "3.50", "3.50", "3.50"]), "times of the supervisor")
    back = "supervisor is back as epoch 3 after 3.500 ms (noticed at 1.000, started at 1.000), restart 2\n"
    t.equal(supervisor_returns(back + "fs is back as epoch 3 after 1.0 ms (noticed at 1.0, started at 1.0)\n" + back), [[1000, 0, 2500]], "its own words, once")
    t.equal(target_table(rows)[1], [["source", 11, 11], ["all", 11, 11]], "where faults were injected")
    t.equal(markdown((["a", "b"], [[1234, "x"]])), "| a | b |\n| --- | --- |\n| 1,234 | x |\n", "a table for docs")


@case
def random_campaign_goes_on(t):
    """What a campaign that was interrupted has left: whole machines count once, others are begun again, other settings are refused."""
    folder = t.folder / "state"
    folder.mkdir()
    arguments = argparse.Namespace(seed=5, batch=400, only="fs", classes="", volley=100, victims=1, work=30, kind="ext4", cores=4, folder=str(folder),
                                   faults=1000000, jobs=2, seconds=0)
    for number in (0, 1, 3):
        (folder / f"batch-{number:05}.json").write_text(json.dumps({"batch": number, "faults": 40, "rows": [{"faults": 40}]}))
    for name in ("batch-00002.part", "disk-2.img", "batch-00002.log", "batch-00002.volleys"):
        (folder / name).write_text("a machine that was interrupted\n")
    (folder / "batch-00003.volleys").write_text("3,1,fs,text,200000^1\n")
    campaign = Campaign(arguments)
    t.equal(campaign.go_on(), "", "the campaign goes on")
    campaign.promised = {2: 0}
    t.equal((campaign.done(), campaign.next_number()), (120, 4), "faults that count; the machine after that which was begun again")
    campaign.promised = {}
    t.equal(campaign.next_number(), 2, "the machine that was interrupted")
    t.equal(sorted(p.name for p in folder.glob("*2*")), ["batch-00002.volleys"], "files of machines that were interrupted")
    t.equal(campaign.results[0], {"batch": 0, "faults": 40}, "no rows are held")
    volleys_write(folder / "volleys.csv", [folder])
    t.equal((folder / "volleys.csv").read_text().splitlines()[1:], ["3,1,fs,text,200000^1"], "volleys of machines that count")
    t.check("running already" in Campaign(arguments).go_on(), "a second campaign in the same folder")
    campaign.claim.close()
    t.check("other settings" in Campaign(argparse.Namespace(**dict(vars(arguments), volley=10))).go_on(), "another campaign in the same folder")
    t.equal([overdue(1, 1, 1), overdue(61, 1, 1), overdue(1, 301, 1), overdue(1, 1, 65 << 20)],
            ["", "silent for 60 s", "no trial began for 300 s", "more than 64 MiB on its console"], "machines that are given up")


def near(got, expected):
    return all(abs(a - b) < 0.0005 for a, b in zip(got, expected))


@case
def random_report_of_volleys(t):
    """What a volley says of one fault; its places; what a machine that was lost had begun; who panicked unasked; a shell that was misled."""
    t.check(near(per_fault(5, 10, 1), (0.2366, 0.5, 0.7634)), f"Wilson's interval of 5 in 10: {per_fault(5, 10, 1)}")
    t.check(near(per_fault(75, 100, 2)[1:2], (0.5,)), "two coins show a head in 3 of 4 throws")
    t.equal((per_fault(0, 10, 100)[1], per_fault(10, 10, 100)[1], per_fault(0, 0, 1)), (0, 1, (0, 0, 1)), "none, all, nothing known")
    parts = ["VOLLEY,7,0,200000^1 200008^2 ", "VOLLEY,7,2,200010^4 "]
    text = "BEGIN,6,5,1,kernel1,panic,panic\ncore 1 panics: asked\nBEGIN,7,6,3,fs,source,\nBEGIN,8,6,1,blk,stop,kill\n"
    text += "".join(f"{p},{line_sum(p):04x}\n" for p in parts) + parts[0].replace("^1", "^3") + f",{line_sum(parts[0]):04x}\n"
    t.equal(volleys_of(text, {7: 0}), [(7, "200000^1 200008^2 200010^4")], "places; a spoilt line is left out")
    begun = {int(m[1]): m for m in BEGUN.finditer(text)}
    lost = lost_rows(begun, {6: 0, 8: 0}, 1, 2)
    t.equal([(n, r["faults"], r["victim"], r["manifested"]) for n, r in lost.items()], [(7, 3, "fs", "machine")], "lost")
    t.equal(lost_rows(begun, {7: 0, 8: 0}, 1, 2), {}, "an earlier trial without its line is not lost with the machine")
    t.equal(panics_of(text + "core 2 panics: x\n", begun), ["core 2 panics: x"], "panics that nobody asked for")
    end = "CAMPAIGN faults 5 of 5 seed 1 ms 1 faults_per_s 1.0 errors 0 wrong 0 end whole\n"
    t.equal((misled(text + end + "=0\n"), bool(ended(text + end, 0)), bool(ended(text + end + "=0\n", 0))), (None, False, True), "all is well")
    t.equal((misled(text + "=1\n")[1], ended(text + "=1\n", 0)), ("8", None), "the shell came back under row 8, too early")
    t.check(not ended(text + end + "the shell was restarted (epoch 2)\n", 0), "another shell, and the verification to come")
    t.check(ended(text + end.replace("whole", "why") + "the shell was restarted (epoch 2)\n", 0), "and nothing to come")
    t.check(ended(text + "=1\n" + end + "CAMPAIGN verified files 1 errors 0 wrong 0\n", 0), "and the campaign ended later")
