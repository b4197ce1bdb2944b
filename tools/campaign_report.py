"""The report of a campaign: trials as rows, counted into tables, drawn into one HTML page that needs no network.

A row is a dict with the names of COLUMNS; numbers are ints: what one victim got in one trial (one fault, or a volley of them) and
what became of it. rows_read and rows_write know the CSV file. A table is a heading of words and lines of cells: the page has them
all, and docs/campaigns.md some of them (markdown).
"""
import csv
import html
from collections import Counter
from math import log10, sqrt
from time import gmtime, strftime

COLUMNS = ["batch", "seed", "number", "trial", "faults", "victim", "class", "detail", "activated", "manifested", "restarts",
           "others", "kernels", "recovered", "errors", "wrong", "error", "detect_us", "teardown_us", "restart_us", "replay_us", "whole_us"]
NUMBERS = {"batch", "seed", "number", "trial", "faults", "restarts", "others", "kernels", "recovered", "errors", "wrong", "error", "detect_us",
           "teardown_us", "restart_us", "replay_us", "whole_us"}
PHASES = [("detect_us", "detect"), ("teardown_us", "tear down"), ("restart_us", "restart"), ("replay_us", "replay")]
# Of these, clients must see nothing.
CLEAN_CLASSES = ("stop", "hang", "error", "reply", "bell", "device", "stall", "panic", "jump", "store", "silence")
# Class -> what is done, in the order of the tables (docs/faults.md says more).
CLASSES = {"stop": "a server dies at a point", "hang": "a server loops for ever at a point", "error": "a function returns an error at a point",
           "reply": "a completion carries another request's number", "bell": "500 rings, and one of each identity",
           "device": "the disk lets requests fail", "stall": "the disk does one request a second",
           "panic": "a kernel panics", "jump": "a kernel jumps to where nothing is", "store": "a kernel stores where nothing is mapped",
           "silence": "a kernel hangs, interrupts off",
           "source": "instructions read another register", "destination": "instructions write another register",
           "pointer": "loads and stores go by another base register", "branch": "branches land elsewhere", "invert": "branches have the opposite condition",
           "immediate": "constants are one off", "drop": "instructions do nothing", "text": "bits flipped in text", "data": "bits flipped in data and bss",
           "heap": "bits flipped in the heap", "stack": "bits flipped on the stack", "register": "bits flipped in saved registers and pc",
           "ring": "bits flipped in what the server writes into a channel", "probe": "illegal instructions: were they executed?"}

# How a fault showed itself -> who noticed.
DETECTORS = {"exception": "kernel, at the trap", "hang": "kernel, by its pings", "exit": "kernel: the program ended itself",
             "quota": "kernel, by the quota", "complaint": "a client, by a complaint", "core": "another core",
             "killed": "the supervisor, which was asked to", "died": "not known: the record died with the supervisor",
             "stuck": "nobody but the campaign, after 8 s", "error": "a client, by an error", "wrong": "nobody but the byte check",
             "machine": "the host: the machine was lost", "nothing": ""}


def rows_write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def rows_read(path):
    with open(path, newline="") as file:
        return [{k: int(v) if k in NUMBERS else v for k, v in row.items()} for row in csv.DictReader(file)]


def shown(row):
    """How the fault showed itself: one word of DETECTORS. A death counts before what clients saw beside it."""
    if row["manifested"] != "none":
        return row["manifested"]
    return "error" if row["errors"] else "wrong" if row["wrong"] else "nothing"


def counts(rows):
    """The line of the outcome table for these rows. Of all but `injected` it counts rows: what one victim got in one trial."""
    c = Counter(injected=sum(row["faults"] for row in rows), rows=len(rows), trials=len({(r["batch"], r["trial"]) for r in rows}))
    for row in rows:
        how = shown(row)
        c[f"activated {row['activated']}"] += 1
        c["manifested"] += how != "nothing"
        c[how] += 1
        c["recovered"] += row["recovered"]
        c["client errors"] += row["errors"] > 0
        c["silent"] += row["wrong"] > 0
        c["others"] += row["others"] > 0
    return c


def per_fault(hits, trials, volley):
    """(low, best, high) of the chance that one fault alone does what `hits` of so many volleys did, if the faults of a volley do it
    independently of each other: Wilson's interval of 95 % for the volleys, and the N-th root. Where volleys differ (a victim that sleeps
    meets none of its faults), the mean chance of a fault is larger: the mean of N-th powers is at least the N-th power of the mean."""
    if trials == 0:
        return 0.0, 0.0, 1.0
    share, z = hits / trials, 1.96
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return tuple(1 - (1 - min(1.0, max(0.0, p))) ** (1 / volley) for p in (middle - reach, share, middle + reach))


def percent(low, best, high, hits, trials):
    """Of a volley that always shows itself only the lower end is known."""
    if hits == trials and trials:
        return f"at least {100 * low:.2g} %"
    return f"{100 * best:.2g} % ({100 * low:.2g} to {100 * high:.2g})"


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0


def grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def by_class(rows):
    """(class, its rows) in the order of CLASSES."""
    return sorted(grouped(rows, "class").items(), key=lambda item: [*CLASSES, item[0]].index(item[0]))


def damaging(rows):
    return [r for r in rows if r["class"] not in CLEAN_CLASSES]


def harmless(rows):
    return [r for r in rows if r["class"] in CLEAN_CLASSES]


def problems(rows, batches):
    """What breaks the bars of a campaign, as sentences."""
    found = []
    for row in rows:
        name = f"batch {row['batch']} fault {row['number']}: {row['class']} of {row['victim']} ({row['detail']})"
        if row["class"] in CLEAN_CLASSES and (row["errors"] or row["wrong"]):
            found.append(f"{name}: a client saw {row['errors']} errors and {row['wrong']} wrong bytes")
        if row["class"] in CLEAN_CLASSES and not row["recovered"]:
            found.append(f"{name}: not recovered")
        if row["kernels"]:
            found.append(f"{name}: the kernels of {row['kernels']} other cores died")
    for batch in batches:
        found += [f"batch {batch['batch']} (seed {batch['seed']}): {line}" for line in batch["panics"]]
        if batch["e2fsck"] == "damaged":
            found.append(f"batch {batch['batch']} (seed {batch['seed']}): e2fsck finds damage")
    return found


def clock_seconds(batches):
    """How long machines ran, by the host's clock: those that ran at the same time count once."""
    total, until = 0.0, 0.0
    for begun, ended in sorted((b["begun"], b["ended"]) for b in batches):
        total += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return total


# ---- tables

def figure(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(part, whole):
    return f"{part:,} ({100 * part / whole:.1f} %)" if whole and part else f"{part:,}"


def bars_table(rows, batches):
    """Each bar of a campaign: what was asked, what was measured, out of how many."""
    clean, damage = harmless(rows), damaging(rows)
    sound = [b for b in batches if not b["damage"]]

    def line(claim, broken, whole, what):
        part = f" ({100 * broken / whole:.1f} %)" if broken and whole else ""
        return [claim, "met" if broken == 0 and whole else "not met" if whole else "not tried", f"{broken:,} of {whole:,} {what}{part}"]
    return (["bar", "", "exceptions"], [
        line("Of faults at points, failing disks and dying kernels clients see no error", sum(r["errors"] > 0 for r in clean), len(clean), "faults"),
        line("and no wrong byte", sum(r["wrong"] > 0 for r in clean), len(clean), "faults"),
        line("and all are recovered from", sum(not r["recovered"] for r in clean), len(clean), "faults"),
        line("and each image is sound by e2fsck", sum(b["e2fsck"] != "clean" for b in sound), len(sound), "machines"),
        line("No core panics that was not asked to", sum(len(b["panics"]) for b in batches), len(batches), "machines"),
        line("and no kernel dies beside a victim", sum(r["kernels"] > 0 for r in rows), len(rows), "rows"),
        line("Damage of a server spoils no image", sum(b["e2fsck"] == "damaged" for b in batches if b["damage"]), len(batches) - len(sound), "machines"),
        line("Damage of a server is recovered from", sum(not r["recovered"] for r in damage), len(damage), "volleys"),
        line("Damage of a server spoils no byte unnoticed", sum(r["wrong"] > 0 for r in damage), len(damage), "volleys"),
    ])


def outcome_line(name, c):
    n = c["rows"]
    return [*name, c["injected"], n, c["activated yes"], c["activated no"], c["activated unknown"], share(c["manifested"], n),
            share(c["recovered"], n), n - c["recovered"], share(c["client errors"], n), share(c["silent"], n)]


def outcome_table(rows):
    lines = [outcome_line([name, CLASSES.get(name, "")], counts(group)) for name, group in by_class(rows)]
    for name, group in (("all of which clients must see nothing", harmless(rows)), ("all damage", damaging(rows)), ("all", rows)):
        lines.append(outcome_line([name, ""], counts(group)))
    return (["class", "what is done", "injected faults", "rows", "activated", "not activated", "not known", "showed themselves", "recovered",
             "not recovered", "client errors", "silent corruption"], lines)


def victim_table(rows):
    lines = [outcome_line([name], counts(group)) for name, group in sorted(grouped(rows, "victim").items())]
    return (["victim", "injected faults", "rows", "activated", "not activated", "not known", "showed themselves", "recovered",
             "not recovered", "client errors", "silent corruption"], lines)


def target_table(rows):
    """Which class was injected where, how often."""
    victims = sorted({r["victim"] for r in rows})
    lines = []
    for name, group in [*by_class(rows), ("all", rows)]:
        c = Counter()
        for row in group:
            c[row["victim"]] += row["faults"]
        lines.append([name, *(c[v] for v in victims), sum(c.values())])
    return (["class", *victims, "all"], lines)


KINDS = ["exception", "hang", "exit", "complaint", "core", "killed", "died", "stuck", "error", "wrong", "machine"]
KIND_WORDS = {"exception": "died: exception", "hang": "died: hang", "exit": "died: exit", "complaint": "died: complaint", "core": "its kernel died",
              "killed": "was killed", "died": "died, record lost", "stuck": "stuck", "error": "client error only", "wrong": "wrong bytes only",
              "machine": "machine lost"}


def kind_table(rows):
    lines = []
    for name, group in [*by_class(rows), ("all", rows)]:
        c = Counter(shown(r) for r in group)
        lines.append([name, len(group), c["nothing"], *(c[k] for k in KINDS)])
    return (["class", "rows", "nothing seen", *(KIND_WORDS[k] for k in KINDS)], lines)


def detector_table(rows):
    clean, damage = (Counter(shown(r) for r in part) for part in (harmless(rows), damaging(rows)))
    return (["shown as", "detected by", "of faults at points, of disks and kernels", "of damage"],
            [[KIND_WORDS[k], DETECTORS[k], clean[k], damage[k]] for k in KINDS if clean[k] or damage[k]])


def size_table(rows):
    """Damage by size of the volley, with what is known of one fault."""
    lines = []
    for size, group in sorted(grouped(damaging(rows), "faults").items(), reverse=True):
        c, n = counts(group), len(group)
        lines.append([size, n, c["injected"], share(c["manifested"], n), c["client errors"], c["silent"], n - c["recovered"],
                      *(percent(*per_fault(c[what], n, size), c[what], n) for what in ("manifested", "client errors", "silent"))])
    return (["faults of a volley", "volleys", "faults", "showed themselves", "client errors", "silent corruption", "not recovered",
             "one fault shows itself", "one fault: client error", "one fault: silent corruption"], lines)


def damage_table(rows):
    """Silent corruption and client errors by class and victim: where the damage must be to be seen."""
    lines = []
    for victim, group in sorted(grouped(damaging(rows), "victim").items()):
        c, n = counts(group), len(group)
        lines.append([victim, n, c["injected"], share(c["manifested"], n), c["client errors"], c["silent"], n - c["recovered"]])
    return (["damaged victim", "volleys", "faults", "showed themselves", "client errors", "silent corruption", "not recovered"], lines)


def deaths(rows):
    """Those whose victim died by the fault, and came back with times."""
    return [r for r in rows if r["manifested"] in ("exception", "hang", "exit", "complaint", "quota", "core") and r["replay_us"]]


def died_as(rows):
    """(victim, its deaths) of those with times; kernels that hang apart, for it takes seconds to be sure of that."""
    return sorted(grouped([dict(r, who=r["victim"] + (", hang" if r["class"] == "silence" else "")) for r in deaths(rows)], "who").items())


def died_and_back(rows, batches):
    """(who, what of its deaths in us): phases by name, in the order of PHASES. The supervisor tells of itself, and of all its deaths: no record of a trial
    has them."""
    for victim, group in died_as(rows):
        yield victim, {name: [r[column] for r in group] for column, name in PHASES}
    told = [returned for b in batches for returned in b["supervisor"]]
    if told:
        yield "supervisor", {"detect": [r[0] for r in told], "restart": [r[1] for r in told], "replay": [r[2] for r in told]}


def time_table(rows, batches):
    lines = []
    for victim, phases in died_and_back(rows, batches):
        together = [sum(parts) for parts in zip(*phases.values())]
        for name, values in [*((n, v) for n, v in phases.items() if max(v)), ("all", together)]:
            lines.append([victim, name, len(values), *(f"{v / 1000:,.2f}" for v in (percentile(values, 0.5), percentile(values, 0.99), max(values)))])
    return (["victim", "phase", "deaths", "p50 ms", "p99 ms", "max ms"], lines)


def machine_table(batches):
    """What machines were for: how many, how fast, and what e2fsck said of their disks."""
    lines = []
    for turn, group in grouped(batches, "turn").items():
        rates, verdicts = [float(b["rate"]) for b in group if float(b["rate"])], Counter(b["e2fsck"] for b in group)
        lines.append([turn, len(group), sum(b["faults"] for b in group), f"{percentile(rates, 0.5):,.1f} ({min(rates, default=0):,.1f} to {max(rates, default=0):,.1f})",
                      verdicts["clean"], verdicts["damaged"], verdicts["damaged, machine killed"], sum(b["changed"] for b in group),
                      sum(len(b["panics"]) for b in group), sum(b["end"] == "whole" for b in group)])
    return (["machines for", "machines", "faults", "faults/s of one, median (range)", "e2fsck: sound", "damaged", "damaged, machine was killed", "old files changed",
             "panics unasked", "ended as planned"], lines)


def batch_table(batches):
    return (["batch", "seed", "faults", "faults/s", "ended", "panics", "e2fsck", "old files changed", "lines lost", "disk's failed requests", "again"],
            [[b["batch"], str(b["seed"]), b["faults"], b["rate"], b["end"], len(b["panics"]), b["e2fsck"], b["changed"], b["lost"],
              " ".join(f"{kind} {n}" for kind, n in b["failed"].items()), b["command"]] for b in sorted(batches, key=lambda b: b["seed"])])


def markdown(table):
    """The table as docs/campaigns.md has it."""
    head, lines = table
    return "".join("| " + " | ".join(figure(c) for c in line) + " |\n" for line in [head, ["---"] * len(head), *lines])


def report_markdown(rows, batches):
    return "\n".join(f"{title}\n\n{markdown(table)}" for title, table in (
        (headline(rows, batches), bars_table(rows, batches)), ("Outcomes", outcome_table(rows)), ("Shown as", kind_table(rows)),
        ("Size of the volley", size_table(rows)), ("Damaged victims", damage_table(rows)), ("Times", time_table(rows, batches)), ("Machines", machine_table(batches))))


# ---- HTML

def words_only(cell):
    return isinstance(cell, str) and not cell[:1].isdigit()


def html_table(table, caption=""):
    head, lines = table
    kinds = [' class="w"' if lines and all(words_only(line[i]) for line in lines) else "" for i in range(len(head))]
    cells = "".join(f"<th{kind}>{html.escape(h)}</th>" for h, kind in zip(head, kinds))
    body = "".join(f"<tr{' class=sum' if str(line[0]).startswith('all') else ''}>"
                   + "".join(f"<td{kind}>{html.escape(figure(c))}</td>" for c, kind in zip(line, kinds)) + "</tr>\n" for line in lines)
    return f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{cells}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


COLOURS = ["#1b6ca8", "#c8553d", "#588157", "#8a5a83", "#b08900", "#444444", "#5ec1d8", "#e08e45"]
KIND_COLOURS = dict(zip(KINDS, ["#1b6ca8", "#588157", "#7fb069", "#b08900", "#5ec1d8", "#9db4c0", "#c2c5aa", "#8a5a83", "#e08e45", "#c8553d", "#000000"]))


def plot_bars(rows):
    """One bar for each class: parts by how it showed itself."""
    parts, y = [], 0
    for name, group in by_class(rows):
        c, x = Counter(shown(r) for r in group), 100.0
        parts.append(f'<text x="92" y="{y + 13}" text-anchor="end">{html.escape(name)}</text>'
                     f'<rect x="100" y="{y}" width="600" height="16" fill="#eee"/>'
                     f'<text x="708" y="{y + 13}">{len(group):,}</text>')
        for kind in (k for k in KINDS if c[k]):
            width = 600 * c[kind] / len(group)
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="{KIND_COLOURS[kind]}">'
                         f"<title>{html.escape(name)}: {KIND_WORDS[kind]} {c[kind]:,} of {len(group):,}</title></rect>")
            x += width
        y += 20
    for i, kind in enumerate(k for k in KINDS if any(shown(r) == k for r in rows)):
        x, line = 100 + i % 5 * 135, y + 8 + i // 5 * 18
        parts.append(f'<rect x="{x}" y="{line}" width="10" height="10" fill="{KIND_COLOURS[kind]}"/>'
                     f'<text x="{x + 14}" y="{line + 9}">{KIND_WORDS[kind]}</text>')
    return (f'<svg viewBox="0 0 780 {y + 66}" role="img" aria-label="How the faults of each class showed themselves">{"".join(parts)}</svg>')


def plot_times(rows, batches):
    """Cumulative distribution of the time from the fault to service again, logarithmic, one line for each victim."""
    parts = [f'<text x="{60 + 90 * d}" y="218" text-anchor="middle">{text}</text>'
             f'<line x1="{60 + 90 * d}" y1="0" x2="{60 + 90 * d}" y2="200" stroke="#ddd"/>'
             for d, text in enumerate(("1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"))]
    parts += [f'<text x="54" y="{204 - 2 * p}" text-anchor="end">{p} %</text>'
              f'<line x1="60" y1="{200 - 2 * p}" x2="690" y2="{200 - 2 * p}" stroke="#eee"/>' for p in (0, 50, 99)]
    for i, (victim, phases) in enumerate(died_and_back(rows, batches)):
        values = sorted(sum(times) for times in zip(*phases.values()))
        step = max(1, len(values) // 300)
        points = " ".join(f"{60 + 90 * log10(max(1, v)):.1f},{200 - 200 * (n + 1) / len(values):.1f}"
                          for n, v in enumerate(values) if n % step == 0 or n == len(values) - 1)
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<text x="700" y="{20 + 16 * i}" fill="{colour}">{html.escape(victim)} ({len(values):,})</text>')
    return f'<svg viewBox="0 0 800 226" role="img" aria-label="Time from the fault to service again">{"".join(parts)}</svg>'


STYLE = ("body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;padding:0 1em;max-width:76em;color:#222;background:#fff}"
         "h1{font-size:1.6em;margin-bottom:.2em}h2{font-size:1.2em;margin:2em 0 .3em;border-bottom:1px solid #ccc}p{max-width:60em;margin:.5em 0}"
         ".scroll{overflow-x:auto}table{border-collapse:collapse;margin:.7em 0;font-variant-numeric:tabular-nums;font-size:.9em}caption{text-align:left;color:#555}"
         "td,th{border:1px solid #d5d5d5;padding:3px 8px;text-align:right}th{background:#f3f3f3;vertical-align:bottom}"
         ".w{text-align:left}.sum{font-weight:600;background:#fafafa}svg{display:block;width:100%;max-width:56em;height:auto;margin:1em 0}svg text{font:11px sans-serif}"
         ".bad{color:#b02a1a}code{font-size:.9em}summary{cursor:pointer}")

WORDS = """<p>An <b>injected fault</b> is one armed point, one flipped bit, one mutated instruction, one kernel's death. A <b>row</b> is what one victim got in one trial:
a fault, or a <b>volley</b> of up to 100 of one class. All counts but the injected faults count rows.</p>
<p><b>Activated</b>: the fault's point was passed, or its victim died, or a client saw something. <b>Not activated</b>: its point was not passed.
<b>Not known</b>: memory was changed and nothing showed itself. <b>Showed itself</b>: the victim died or got stuck, or a client saw an error or a wrong byte, or the machine was lost.
<b>Recovered</b>: the victim and all other services answered afterwards, and the workload went on.
<b>Client errors</b>: an operation of the workload failed. <b>Silent corruption</b>: bytes that were read differ from the model, and nobody had said so.</p>"""
SIZE_WORDS = """<p>Of a volley it is known what it did, not which of its faults did it: the first that kills its victim hides the rest. The last columns,
1 - (1 - share)<sup>1/size</sup> with an interval of 95 %, are what one fault does on average at least: exactly that if all victims were alike, more since some run and some sleep.
The line of size 1 measures it.</p>"""
TIME_WORDS = """<p>Of victims that died by their fault. <b>Detect</b>: from the fault (of a hang: the last sign of life) until the supervisor knew; <b>tear down</b>: until it was off its hart, its device
reset and its memory no longer mapped by clients; <b>restart</b>: until the next incarnation ran; <b>replay</b>: until it had adopted its channels, replayed them and served. Of a kernel, detect: until the campaign saw its death on the
info page; restart: until it was online; replay: until all services answered. The supervisor tells of its own deaths, all of them, those by which it was made pristine after a trial included. Times are QEMU's, on a host that it shared.</p>"""


def headline(rows, batches):
    c, seconds = counts(rows), clock_seconds(batches)
    return (f"{c['injected']:,} faults injected in {c['trials']:,} trials of {len(batches)} machines in {seconds / 60:,.0f} minutes "
            f"({c['injected'] / max(1, seconds):,.0f} a second, boot and judging included)")


def bars_html(rows, batches):
    bad = problems(rows, batches)
    items = "".join(f"<li>{html.escape(b)}</li>\n" for b in bad[:1000])
    if not bad:
        return html_table(bars_table(rows, batches))
    return (html_table(bars_table(rows, batches)) + f'<details><summary class="bad">{len(bad):,} exceptions, one by one'
            f"{' (the first 1,000)' if len(bad) > 1000 else ''}</summary><ol>{items}</ol></details>")


def report_html(rows, batches, title):
    builds, hosts = (", ".join(sorted({b[what] for b in batches})) for what in ("build", "host"))
    days = sorted({strftime("%Y-%m-%d", gmtime(b["begun"])) for b in batches})
    sections = [
        ("Bars", bars_html(rows, batches)),
        ("Outcomes by class of fault", WORDS + html_table(outcome_table(rows))),
        ("How they showed themselves", html_table(kind_table(rows)) + plot_bars(rows)),
        ("Who noticed", html_table(detector_table(rows))),
        ("Outcomes by victim", html_table(victim_table(rows))),
        ("Injected faults by class and victim", "<p>A client has no points, channels or doorbells of its own; the supervisor's ring is the one by which the campaign asks for damage, so it "
         "is spared; the disk is blk's.</p>" + html_table(target_table(rows))),
        ("Damage: size of the volley", SIZE_WORDS + html_table(size_table(rows))),
        ("Damage: victims", html_table(damage_table(rows))),
        ("Times", TIME_WORDS + html_table(time_table(rows, batches)) + "<p>Share of deaths after which service was back within so long, by victim:</p>" + plot_times(rows, batches)),
        ("Machines and their disks", "<p>Each machine has a disk of its own, which e2fsck judges when it ends, after a replay of the journal. <b>Old files</b> are those that nobody writes: "
         "each is compared byte by byte.</p>" + html_table(machine_table(batches))
         + "<details><summary>Each machine, and the command that repeats its faults</summary>" + html_table(batch_table(batches)) + "</details>"),
    ]
    body = "".join(f"<h2>{name}</h2>\n{text}\n" for name, text in sections)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n<p>{headline(rows, batches)}, {' to '.join(days[:1] + days[1:][-1:])}. "
            f"Planaria {html.escape(builds)} (SHA-256 of kernel and boot image) on {html.escape(hosts)}. More words about all this: docs/faults.md. "
            f"Every row: faults.csv; every place and mask of each volley: volleys.csv.</p>\n{body}</body></html>\n")
