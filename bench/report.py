"""The comparison as text and as one HTML page with a plot for each table, which needs no network.

A result is what one emulator gave: {"emulator", "linux", "date", "load", "cores", "runs", "planaria", "linux_figures", ..}
(bench/side_by_side.py writes it). The page has all results that there are, so that one of QEMU 7.2 and one of QEMU 10
stand beside each other.
"""
import html
from math import log10

from rows import TABLES, by_plugin, compared

COLUMNS = ["Planaria min", "Linux min", "times", "Planaria median", "Linux median", "times", "Planaria instructions",
           "Linux instructions", "times"]
PART_OF_COLUMNS = ("min", "median", "instructions")
ROW_HEIGHT, LABEL_WIDTH, PLOT_WIDTH = 38, 430, 420
COLOURS = {"Planaria": "#1f6f50", "Linux": "#c08a2d"}
STYLE = """body { font: 15px/1.45 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .15em .6em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left } svg text { font: 12px sans-serif; fill: #222 } .why { color: #777 }"""


def duration(ns):
    """Three digits and a unit."""
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= limit:
            return f"{three(ns / limit)} {unit}"
    return f"{ns:.0f} ns"


def three(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cell(part, value):
    if value is None:
        return ""
    return f"{value:,}" if part == "instructions" else duration(value)


def line_of(row, result):
    """The cells of a row: words, and for each part ours, theirs, the ratio."""
    cells = [row.words]
    parts = compared(row, result["planaria"], result["linux_figures"])
    for part in PART_OF_COLUMNS:
        a, b, ratio = parts[part]
        mark = "~" if part == "instructions" and by_plugin(row, result["planaria"], result["linux_figures"]) else ""
        cells += [*(mark + cell(part, value) if value is not None else "" for value in (a, b)), "" if ratio is None else three(ratio)]
    return cells


def headings(result):
    return [f"{result['emulator']}, {result['cores']} cores, {result['linux']}",
            f"{result['date']}, {result['runs']} runs; load of the host {result['load']}; "
            f"instructions: one boot of each with -icount, {result['icount_cores']} cores; ~: one boot of each with two cores, "
            "by a plugin"]


def text_tables(result):
    """As markdown, which docs/bench.md takes as it is. `times`: Linux's figure divided by ours."""
    out = ["", *headings(result)]
    for title, rows in TABLES.items():
        out += ["", f"| {title} | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for row in rows:
            if row.ours is None:
                row_cells = line_of(row, result)
                row_cells[1] = f"none: {row.why}"
                out.append("| " + " | ".join(row_cells) + " |")
            else:
                out.append("| " + " | ".join(line_of(row, result)) + " |")
    return "\n".join(out + ["", *witness(result)])


def witness(result):
    """What a program saw of a driver that went under its mounted file system: words, no ratio."""
    seen = result["linux_figures"]
    if "witness.failed" not in seen:
        return []
    return [f"Linux, virtio_blk unbound and bound under a mounted ext4: {seen['witness.before']} records written and synced in the "
            f"second before, {seen['witness.after']} in the two seconds after, {seen['witness.failed']} tries failed in these. "
            "Here the driver's death is no error to any client; each row of crash.blk.served is one."]


# ---- plots

def bar(y, share, side, words):
    width = max(2, share * PLOT_WIDTH)
    return (f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="13" fill="{COLOURS[side]}"/>'
            f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y + 11}">{html.escape(words)}</text>')


def plot(rows, result, part):
    """Two bars for each row on a logarithmic scale; '' when no row has both figures."""
    lines = [(row.words, *compared(row, result["planaria"], result["linux_figures"])[part]) for row in rows]
    lines = [line for line in lines if line[1] and line[2]]
    if not lines:
        return ""
    values = [v for _, a, b, _ in lines for v in (a, b)]
    low, high = log10(min(values)) - 0.3, log10(max(values))
    out = [f'<svg role="img" width="{LABEL_WIDTH + PLOT_WIDTH + 130}" height="{ROW_HEIGHT * len(lines) + 4}">']
    for i, (words, ours, linux, _) in enumerate(lines):
        y = i * ROW_HEIGHT
        out.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + 19}" text-anchor="end">{html.escape(words[:70])}</text>')
        for offset, side, value in ((0, "Planaria", ours), (15, "Linux", linux)):
            out.append(bar(y + offset + 3, (log10(value) - low) / (high - low), side, cell(part, value)))
    return "".join(out) + "</svg>"


# ---- the page

def html_table(title, rows, result):
    out = ["<table><tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in ["", *COLUMNS]) + "</tr>"]
    for row in rows:
        cells = "".join(f"<td>{html.escape(c)}</td>" for c in line_of(row, result))
        out.append(f"<tr>{cells}</tr>")
        if row.why:
            out.append(f'<tr><td colspan="{len(COLUMNS) + 1}" class="why">no equal here: {html.escape(row.why)}</td></tr>')
    return f"<h3>{html.escape(title)}</h3>" + "".join(out) + "</table>"


def html_result(result):
    name, what = headings(result)
    out = [f"<h2>{html.escape(name)}</h2><p>{html.escape(what)}</p>"]
    for title, rows in TABLES.items():
        out.append(html_table(title, rows, result))
        for part, words in (("median", "medians"), ("instructions", "instructions")):
            drawn = plot(rows, result, part)
            out.append(f"<p>{words}, logarithmic:</p>{drawn}" if drawn else "")
    return "\n".join(out) + "".join(f"<p>{html.escape(line)}</p>" for line in witness(result))


def html_page(results):
    legend = " ".join(f'<span style="color:{colour}">&#9632;</span> {side}' for side, colour in COLOURS.items())
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Planaria beside Linux</title><style>{STYLE}</style>'
            f"<h1>Planaria beside Linux</h1><p>{legend}. Times: Linux's figure divided by Planaria's, so more than 1 is better here.</p>"
            + "\n".join(html_result(r) for r in results) + "</html>\n")
