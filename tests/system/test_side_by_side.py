"""The comparison with Linux: its lines are read, its ratios are right, its page is whole, by figures that are made up; and,
under FULL=1, Debian's Linux boots and prints every figure that a row wants (that needs apt's network the first time)."""
import html.parser
import json
import subprocess
import sys
from xml.etree import ElementTree

from framework import ROOT, case

sys.path.insert(0, str(ROOT / "bench"))
import counter  # noqa: E402
import linux_side  # noqa: E402
import side_by_side  # noqa: E402
from report import duration, html_page, line_of, plot, text_tables  # noqa: E402
from rows import TABLES, Row, compared, merge, missing, parse  # noqa: E402

CONSOLE = """noise BENCH not.this 1 ns
BENCH null.min 900 ns
BENCH null.median 1000 ns
BENCH futex.far.instructions 20000 instructions
BENCH null.median 1100 ns
BENCH broken -3 ns
"""


def made_up(ours=10, linux=100):
    """A result with a figure for every row."""
    series = {side: {getattr(r, side) for rows in TABLES.values() for r in rows if getattr(r, side)} for side in ("ours", "linux")}
    fill = lambda names, value: {f"{n}.{p}": value for n in names for p in ("min", "median", "instructions")}  # noqa: E731
    return {"planaria": fill(series["ours"], ours), "linux_figures": fill(series["linux"], linux), "emulator": "QEMU <1>", "linux": "linux 0",
            "cores": 4, "runs": 1, "icount_cores": "2 and 1", "date": "then", "load": "0.1 to 0.2"}


@case
def side_by_side_starts_by_itself(t):
    """As make calls it: here other modules have made its folders known."""
    for program in ("side_by_side.py", "trace_price.py"):
        done = subprocess.run([sys.executable, ROOT / "bench" / program, "--help"], capture_output=True, text=True, timeout=60)
        t.check(done.returncode == 0, f"bench/{program} --help: {done.stderr}")


@case
def side_by_side_reads_lines(t):
    t.equal(parse(CONSOLE), {"null.min": 900, "null.median": 1100, "futex.far.instructions": 20000}, "figures of a console")
    t.equal(parse(CONSOLE.replace("\n", "\r\n").replace("\r", "")), parse(CONSOLE), "figures of a serial line")


@case
def side_by_side_merges_runs(t):
    runs = [{"a.min": 5, "a.median": 9, "rate": 1}, {"a.min": 4, "a.median": 20}, {"a.min": 6, "a.median": 10, "a.instructions": 7}]
    t.equal(merge(runs), {"a.min": 4, "a.median": 10, "rate": 1, "a.instructions": 7}, "three runs as one")


@case
def side_by_side_divides(t):
    row = Row("null", "null.call", "null")
    found = compared(row, {"null.call.min": 200, "null.call.median": 0}, {"null.min": 900, "null.median": 5})
    t.equal(found, {"min": (200, 900, 4.5), "median": (0, 5, None), "instructions": (None, None, None)}, "ratios")
    waits = compared(Row("x", "a", "a", waits=True), {"a.instructions": 3}, {"a.instructions": 4})["instructions"]
    t.equal(waits, (None, None, None), "instructions of a row that waits")
    t.equal(line_of(Row("x", None, "null"), made_up())[1:4], ["", "100 ns", ""], "cells of a row that one side lacks")
    t.equal([duration(v) for v in (7, 1234, 45678, 9e6, 2.5e9)], ["7 ns", "1.23 us", "45.7 us", "9.00 ms", "2.50 s"], "durations")


@case
def side_by_side_takes_counts_of_one_kind(t):
    """A row has both counts by -icount, or both by the plugin, never one of each."""
    ours, linux = {"a.instructions": 3, "a.counted": 5}, {"b.instructions": 6, "b.counted": 20}
    t.equal(compared(Row("x", "a", "b"), ours, linux)["instructions"], (3, 6, 2.0), "both by -icount")
    t.equal(compared(Row("x", "a", "b", waits=True), ours, linux)["instructions"], (5, 20, 4.0), "of a row that waits")
    t.equal(compared(Row("x", "a", "b"), ours, {"b.counted": 20})["instructions"], (5, 20, 4.0), "where -icount has one of them")
    t.equal(compared(Row("x", "a", "b"), {"a.instructions": 3}, {})["instructions"], (3, None, None), "where nothing else is known")
    t.equal(line_of(Row("x", "a", "b", waits=True), made_up() | {"planaria": ours, "linux_figures": linux})[-3:], ["~5", "~20", "4.00"], "cells")


@case
def counter_reads_its_lines(t):
    text = "a.b 10 1000 1\na.b 10 3000 50\na.b 100 20000 2\nhalf 0 5 5\nx 1 2 3 4\n\nc 1 7 6\nd 5 5"
    t.equal(counter.read_batches(text, own=True)["a.b"], [0.1, 5.0, 0.02], "instructions of the hart that marks")
    t.equal(counter.read_counts(text), {"a.b.counted": 100, "c.counted": 7}, "the least batches, for one operation")


@case
def counter_counts_all_harts(t):
    """Its least batches, into which no interrupt came: the path of an endpoint's call, known to the instruction, whatever the other hart
    does; and both sides of a round between two harts."""
    out = t.folder / "counts"
    t.equal(counter.refusal(), None, "what QEMU says of the plugin")
    machine = t.boot(cores=2, disk=None, flags=counter.flags(out))
    t.run(machine, "bench endpoint doorbell --count 2000")
    seen = counter.read_counts(out.read_text())
    call, round_trip = min(counter.read_batches(out.read_text(), own=True)["endpoint.0"]), seen["doorbell.sleep.counted"]
    t.check(270 <= call < 276, f"a call by endpoint and its answer take {call} instructions, not 272")
    t.check(180 <= round_trip <= 300, f"a round of doorbells between two harts takes {round_trip} instructions, not some 200")


@case
def side_by_side_says_what_is_missing(t):
    result = made_up()
    t.equal(missing(result["planaria"], result["linux_figures"]), [], "missing of a whole result")
    del result["linux_figures"]["rebind.median"]
    t.equal(missing(result["planaria"], result["linux_figures"]), ["Linux printed no rebind.median"], "missing without one")


class Balanced(html.parser.HTMLParser):
    """Tags that are opened and not closed, and sources outside the page."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.plots = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.outside += [value for name, value in attributes if name in ("src", "href")]
        self.plots += tag == "svg"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


@case
def side_by_side_report(t):
    """Each row stands in text and page, each table with both figures has its plots, and the page needs nothing else."""
    result = made_up()
    result["linux_figures"] |= {"witness.before": 3, "witness.after": 0, "witness.failed": 77}
    text, page = text_tables(result), html_page([result, made_up(ours=1)])
    for row in (r for rows in TABLES.values() for r in rows):
        t.check(f"| {row.words} |" in text, f"no line of '{row.words}' in the text")
    t.check("77 tries failed" in text, "the text does not say what the witness saw")
    reader = Balanced()
    reader.feed(page)
    t.equal(reader.open, [], "tags that stay open")
    t.equal(reader.outside, [], "what the page wants from elsewhere")
    t.equal(reader.plots, 2 * 2 * len(TABLES), "plots: medians and instructions of each table, of two results")
    t.check("QEMU &lt;1&gt;" in page, "names are not escaped")


@case
def side_by_side_plot(t):
    """The longer bar is the larger figure."""
    drawn = ElementTree.fromstring(plot([Row("null", "null.call", "null")], made_up(ours=50, linux=5), "median"))
    widths = [float(bar.get("width")) for bar in drawn.findall("rect")]
    t.check(len(widths) == 2 and widths[0] > 2 * widths[1] > 0, f"bars of 50 and 5 ns have the widths {widths}")


@case
def side_by_side_keeps_results(t):
    """One file for each emulator, one page for all."""
    for name in ("QEMU emulator version 7.2.22", "QEMU emulator version 10.0.2", "QEMU emulator version 7.2.22"):
        page = side_by_side.keep(made_up() | {"emulator": name}, t.folder / "kept")
    files = sorted(path.name for path in (t.folder / "kept").glob("*.json"))
    t.equal(files, ["figures-10.0.2.json", "figures-7.2.22.json"], "results that are kept")
    t.equal(json.loads((t.folder / "kept" / files[0]).read_text())["cores"], 4, "cores of a kept result")
    t.equal(page.read_text().count("<h2>"), 2, "results of the page")


@case
def side_by_side_keeps_what_was_not_measured(t):
    """Counts alone leave the times that are there, and times alone the counts."""
    def figures(value, *parts):
        return {side: {f"x.{part}": value for part in parts} for side in ("planaria", "linux_figures")}
    base = made_up()
    side_by_side.keep(base | figures(1, "min", "median", "gone", "instructions") | {"load": "9 to 9"}, t.folder / "kept")
    counts = side_by_side.with_former(base | figures(2, "instructions") | {"runs": 0, "load": "5 to 5"},
                                      json.loads(next((t.folder / "kept").glob("*.json")).read_text()))
    t.equal(counts["planaria"], {"x.min": 1, "x.median": 1, "x.gone": 1, "x.instructions": 2}, "counts over times")
    t.equal((counts["runs"], counts["load"]), (1, "9 to 9"), "runs and load, which belong to the times")
    side_by_side.keep(base | figures(3, "min", "median") | {"runs": 3}, t.folder / "kept")
    kept = json.loads(next((t.folder / "kept").glob("*.json")).read_text())
    t.equal(kept["linux_figures"], {"x.min": 3, "x.median": 3, "x.instructions": 1}, "times over counts")
    plugin = side_by_side.with_former(base | figures(4, "counted") | {"runs": 0}, kept)
    t.equal(plugin["linux_figures"], {"x.min": 3, "x.median": 3, "x.instructions": 1, "x.counted": 4}, "the plugin's counts beside both")


@case
def side_by_side_scripts(t):
    """Every series of Linux that a row wants is asked for, and by instructions those that do not wait for a device."""
    lines = " ".join(linux_side.script(4, False))
    for row in (r for rows in TABLES.values() for r in rows if r.linux):
        if row.linux.endswith((".near", ".far")):
            t.check(f" {row.linux} " in lines, f"nobody measures {row.linux}")
    t.check("rebind" in lines and "icount" not in lines, f"the script is {lines}")
    t.check("rebind" not in " ".join(linux_side.script(1, True)), "the driver is rebound under -icount")


@case(full=True)
def side_by_side_boots_linux(t):
    done = subprocess.run(["make", "--no-print-directory", "linux-side"], cwd=ROOT, capture_output=True, text=True)
    t.equal(done.returncode, 0, f"make linux-side: {done.stderr[-500:]}")
    log = f"{t.log_stem}.log"
    t.logs.append(log)
    text, _ = linux_side.run_linux(t.disk(kind="ext4", block=4096), log, 4, "512M", linux_side.script(4, False))
    t.check("ended with status" not in text, f"a program failed: {text[-2000:]}")
    seen = parse(text) | {"boot.median": 1}
    ours = {f"{r.ours}.median": 1 for rows in TABLES.values() for r in rows if r.ours}
    t.equal(missing(ours, seen), [], "figures that are missing")
    t.check(seen["witness.before"] > 0, "no record was written before the driver went")
