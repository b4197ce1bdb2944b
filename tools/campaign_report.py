"""The report of a campaign: trials as rows, counted into tables, drawn into one HTML page that needs no network.

A row is a dict with the names of COLUMNS; numbers are ints: what one victim got in one trial (one fault, or a volley of them) and
what became of it. rows_read and rows_write know the CSV file.
"""
import csv
import html
from collections import Counter
from math import sqrt

COLUMNS = ["batch", "seed", "number", "trial", "faults", "victim", "class", "detail", "activated", "manifested", "restarts",
           "others", "kernels", "recovered", "errors", "wrong", "error", "detect_us", "teardown_us", "restart_us", "replay_us", "whole_us"]
NUMBERS = {"batch", "seed", "number", "trial", "faults", "restarts", "others", "kernels", "recovered", "errors", "wrong", "error", "detect_us",
           "teardown_us", "restart_us", "replay_us", "whole_us"}
PHASES = [("detect_us", "detect"), ("teardown_us", "tear down"), ("restart_us", "restart"), ("replay_us", "replay")]
# Of these, clients must see nothing.
CLEAN_CLASSES = ("stop", "hang", "error", "reply", "bell", "device", "stall", "panic", "jump", "store")

# How a fault showed itself -> who noticed.
DETECTORS = {"exception": "kernel, at the trap", "hang": "kernel, by its pings", "quota": "kernel, by the quota",
             "exit": "the program itself", "complaint": "a client, by a complaint", "core": "another core",
             "killed": "the supervisor", "stuck": "nobody within the campaign's limit", "error": "a client, by an error",
             "wrong": "nobody but the byte check", "machine": "the host: the machine was lost", "nothing": ""}


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


# ---- HTML

def table(head, lines):
    cells = "".join(f"<th>{html.escape(str(h))}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in line) + "</tr>" for line in lines)
    return f"<table><tr>{cells}</tr>{body}</table>"


OUTCOMES = ["injected", "trials", "rows", "activated yes", "activated no", "activated unknown", "manifested", "exception", "hang", "exit",
            "complaint", "core", "stuck", "machine", "recovered", "client errors", "silent", "others"]


def outcome_table(rows, key):
    lines = [[name, *(counts(group)[o] for o in OUTCOMES)] for name, group in sorted(grouped(rows, key).items())]
    lines.append(["all", *(counts(rows)[o] for o in OUTCOMES)])
    return table([key, *OUTCOMES], lines)


def volley_table(rows):
    """Damage by class and size of the volley, with what is known of one fault."""
    lines = []
    for (name, size), group in sorted(grouped([dict(r, group=(r["class"], r["faults"])) for r in rows
                                               if r["class"] not in CLEAN_CLASSES], "group").items()):
        c = counts(group)
        cells = [percent(*per_fault(hits, len(group), size), hits, len(group))
                 for hits in (c["manifested"], c["client errors"], c["silent"])]
        lines.append([name, size, len(group), c["injected"], c["manifested"], c["client errors"], c["silent"], c["recovered"], *cells])
    return table(["class", "faults of a volley", "volleys", "faults", "volleys that showed themselves", "with client errors",
                  "with wrong bytes", "recovered", "one fault shows itself", "one fault: client error", "one fault: wrong bytes"], lines)


def detector_table(rows):
    c = Counter(shown(row) for row in rows)
    return table(["shown as", "detected by", "rows"],
                 [[how, DETECTORS.get(how, "?"), n] for how, n in c.most_common() if how != "nothing"])


def deaths(rows):
    """Those whose victim died by the fault, and came back with times."""
    return [r for r in rows if r["manifested"] in ("exception", "hang", "exit", "complaint", "quota", "core") and r["replay_us"]]


def time_lines(rows):
    for victim, group in sorted(grouped(deaths(rows), "victim").items()):
        for column, name in PHASES:
            values = [r[column] for r in group]
            yield [victim, name, len(values), *(percentile(values, p) for p in (0.5, 0.99)), max(values)]


def time_table(rows):
    return table(["victim", "phase", "number", "p50 us", "p99 us", "max us"], time_lines(rows))


COLOURS = ["#1b6ca8", "#c8553d", "#588157", "#8a5a83", "#b08900"]


def plot_bars(rows):
    """One bar for each class: parts by how it showed itself."""
    groups = sorted(grouped(rows, "class").items())
    kinds = ["exception", "hang", "exit", "complaint", "core", "stuck", "error", "wrong", "machine"]
    colours = dict(zip(kinds, ["#1b6ca8", "#588157", "#7fb069", "#b08900", "#5ec1d8", "#8a5a83", "#e08e45", "#c8553d", "#000000"]))
    parts, y = [], 0
    for name, group in groups:
        c, x = Counter(shown(r) for r in group), 120.0
        parts.append(f'<text x="112" y="{y + 13}" text-anchor="end">{html.escape(name)}</text>'
                     f'<rect x="120" y="{y}" width="500" height="16" fill="#eee"/>')
        for kind in kinds:
            width = 500 * c[kind] / len(group)
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="{colours[kind]}">'
                         f"<title>{name}: {kind} {c[kind]} of {len(group)}</title></rect>")
            x += width
        y += 20
    for i, kind in enumerate(kinds):
        parts.append(f'<rect x="{120 + i * 70}" y="{y + 6}" width="10" height="10" fill="{colours[kind]}"/>'
                     f'<text x="{134 + i * 70}" y="{y + 15}">{kind}</text>')
    return f'<svg width="700" height="{y + 24}">{"".join(parts)}</svg>'


def plot_times(rows):
    """Cumulative distribution of the time from the fault to service again, logarithmic, one line for each victim."""
    parts = [f'<text x="{60 + 90 * d}" y="215" text-anchor="middle">{10 ** d} us</text>'
             f'<line x1="{60 + 90 * d}" y1="0" x2="{60 + 90 * d}" y2="200" stroke="#ddd"/>' for d in range(8)]
    for i, (victim, group) in enumerate(sorted(grouped(deaths(rows), "victim").items())):
        values = sorted(sum(r[c] for c, _ in PHASES) for r in group)
        step = max(1, len(values) // 300)
        points = " ".join(f"{60 + 90 * log10(v):.1f},{200 - 200 * (n + 1) / len(values):.1f}"
                          for n, v in enumerate(values) if n % step == 0 or n == len(values) - 1)
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<text x="620" y="{20 + 16 * i}" fill="{colour}">{html.escape(victim)}</text>')
    return f'<svg width="720" height="220">{"".join(parts)}</svg>'


def log10(value):
    """Without a library for one function: digits, and a line between powers of ten."""
    digits = len(str(max(1, value))) - 1
    return digits + (max(1, value) / 10 ** digits - 1) / 9


def batch_table(batches):
    return table(["batch", "seed", "faults", "faults/s", "ended", "panics", "e2fsck", "old files changed", "lines lost", "disk's failed requests", "again"],
                 [[b["batch"], b["seed"], b["faults"], b["rate"], b["end"], len(b["panics"]), b["e2fsck"], b["changed"], b["lost"],
                   " ".join(f"{kind} {n}" for kind, n in b["failed"].items()), b["command"]] for b in batches])


STYLE = ("body{font:14px sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse;margin:1em 0}"
         "td,th{border:1px solid #ccc;padding:2px 7px;text-align:right}td:first-child,th:first-child{text-align:left}"
         "text{font:11px sans-serif}")


def report_html(rows, batches, title):
    bad = problems(rows, batches)
    c = counts(rows)
    sections = [
        ("Bars", "<ul>" + "".join(f"<li>{html.escape(b)}</li>" for b in bad[:200]) + "</ul>" if bad else
         "<p>No core panicked that was not asked to, every image is sound, and of fail-stop, hang, error and wrong-reply faults "
         "and of kernels that died no client saw anything.</p>"),
        ("Outcomes by class", outcome_table(rows, "class") + plot_bars(rows)),
        ("Outcomes by victim", outcome_table(rows, "victim")),
        ("Damage by size of the volley", "<p>Of a volley it is known what it did, not which of its faults did it: the first that kills its "
         "victim hides the rest. The last columns (1 - (1 - share) ^ (1 / size), with an interval of 95 %) are what a single fault does on "
         "average at least: exactly that if all victims were alike, more since some run and some sleep. The lines of size 1 measure it.</p>" + volley_table(rows)),
        ("Who noticed", detector_table(rows)),
        ("Times of those that died by their fault", time_table(rows) + plot_times(rows)),
        ("Machines", batch_table(batches)),
    ]
    body = "".join(f"<h2>{name}</h2>{text}" for name, text in sections)
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
            f"<h1>{html.escape(title)}</h1><p>{c['injected']} faults injected in {c['trials']} trials of {len(batches)} machines; "
            f"{c['manifested']} showed themselves, {c['recovered']} recovered, {c['client errors']} with an error that a "
            f"client saw, {c['silent']} with wrong bytes. What each column means: docs/faults.md.</p>{body}</html>\n")
