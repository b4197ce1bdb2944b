#!/usr/bin/env python3
"""Documentation tests: what the pages name exists.

usage: run.py [WORD]     runs the checks whose name holds the word
Paths in backquotes and links, make targets, functions that a page finds in a file, INV-n numbers in code and pages,
the tests that docs/invariants.md names, and injection points both ways. Words in capitals (servers/NAME/) stand for any name.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from results import write_result  # noqa: E402

PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
NAMES = sorted(p.name for p in ROOT.iterdir())
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^[\w.*-]+(?:/[\w.*-]+)*/?$")
PLACEHOLDER = re.compile(r"(?:^|[/_])(?:[A-Z]{2,}|x|n)(?=[/._]|$)")
NOT_KEPT = ("build",)  # products
# `a`, `b` and `c` in `file`, or `a` (`file`)
FOUND_IN = re.compile(r"((?:`[a-z]\w+`(?:, | and ))*`[a-z]\w+`)\s+(?:in\s+|\()`([\w-]+/[\w./-]+\.(?:c|h|S|py))`")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")


def lines_of(page):
    return list(enumerate(page.read_text().splitlines(), 1))


def place(page, number):
    return f"{page.relative_to(ROOT)}:{number}"


def exists(text, folder=ROOT):
    return any(folder.glob(text.rstrip("/"))) if "*" in text else (folder / text).exists()


def quoted_paths(line):
    """Words in backquotes that look like a path of this tree."""
    for word in QUOTED.findall(line):
        first = word.split("/")[0]
        if PATH.match(word) and not PLACEHOLDER.search(word) and first not in NOT_KEPT:
            if ("/" in word and first in NAMES) or re.fullmatch(r"[A-Z]+\.md|Makefile", word):
                yield word


def check_paths():
    for page in PAGES:
        for number, line in lines_of(page):
            for path in quoted_paths(line):
                if not exists(path):
                    yield f"{place(page, number)}: there is no {path}"
            for link in re.findall(r"\]\(([^)#:\s]+)\)", line):
                if not exists(link, page.parent):
                    yield f"{place(page, number)}: the link {link} leads nowhere"


def make_targets():
    text = "".join(p.read_text() for p in [ROOT / "Makefile", *sorted((ROOT / "tools").glob("*.mk"))])
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.M))


def check_targets():
    targets = make_targets()
    for page in PAGES:
        for number, line in lines_of(page):
            code = QUOTED.findall(line) + ([line] if line.startswith("    ") else [])
            for target in {t for words in code for t in MAKE.findall(words)}:
                if target not in targets:
                    yield f"{place(page, number)}: there is no target {target}"


def check_functions():
    for page in PAGES:
        text = page.read_text()
        for match in FOUND_IN.finditer(text):
            file = ROOT / match[2]
            code = file.read_text() if file.exists() else ""
            for name in QUOTED.findall(match[1]):
                if not re.search(rf"\b{name}\b", code):
                    yield f"{place(page, text.count(chr(10), 0, match.start()) + 1)}: {name} is not in {match[2]}"


def invariants():
    """(number, columns) for each row of docs/invariants.md."""
    for _, line in lines_of(ROOT / "docs/invariants.md"):
        if line.startswith("| INV-"):
            columns = [c.strip() for c in line.strip("|").split("|")]
            yield columns[0], columns


def sources():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.c", "*.h", "*.S", "*.py",
                             "*.pml", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [ROOT / f for f in listed if (ROOT / f).exists()]


def check_invariant_numbers():
    known = [number for number, _ in invariants()]
    for number in {n for n in known if known.count(n) > 1}:
        yield f"docs/invariants.md: {number} stands there twice"
    for file in sources():
        for number in set(re.findall(r"\bINV-\d+", file.read_text(errors="replace"))) - set(known):
            yield f"{file.relative_to(ROOT)}: cites {number}, which docs/invariants.md does not have"


def all_text(folder, pattern):
    return "\n".join(p.read_text(errors="replace") for p in sorted((ROOT / folder).rglob(pattern)))


def check_invariant_tests():
    unit = [str(p.relative_to(ROOT)) for p in (ROOT / "tests/unit").rglob("test_*.c")]
    kernel = set(re.findall(r'^\t\{"([a-z.]+)", \w+\},', all_text("apps/kernel_test", "*.c"), re.M))
    litmus = {p.stem for p in (ROOT / "tests/model/litmus").glob("*.litmus")}
    mutants = set(re.findall(r"^#define ([A-Z_]+) c_expr", all_text("tests/model", "*.pml"), re.M))
    cases = all_text("tests/system", "*.py") + all_text("tests/fault", "*.py")
    there = {
        "unit": lambda w: any(w in path for path in unit),
        "kernel": lambda w: w in kernel,
        "litmus": lambda w: w in litmus,
        "model": lambda w: w in mutants,
        "system": lambda w: w in cases,
        "fault": lambda w: w in cases,
    }
    for number, columns in invariants():
        for kind, words in re.findall(r"\b(unit|kernel|litmus|model|system|fault): ([\w., -]+)", columns[3]):
            for word in re.split(r", ", words.strip()):
                if " " not in word and not there[kind](word):
                    yield f"docs/invariants.md: {number} names the {kind} test {word}, which does not exist"


def check_points():
    """docs/faults.md lists every injection point, and none that does not exist."""
    page = (ROOT / "docs/faults.md").read_text()
    code = "".join(all_text(folder, "*.c") for folder in ("runtime", "servers", "supervisor"))
    points = set(re.findall(r'\binject(?:_as|_shown|_point|_point_traced)?\("([a-z.]+)"', code))
    areas = "|".join(sorted({p.split(".")[0] for p in points}))
    listed = set(re.findall(rf"`((?:{areas})(?:\.[a-z]+)+)`", page))
    yield from (f"docs/faults.md: the point {p} is not listed" for p in points - listed)
    yield from (f"docs/faults.md: there is no point {p}" for p in listed - points)


CHECKS = (check_points, check_paths, check_targets, check_functions, check_invariant_numbers, check_invariant_tests)


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [check for check in CHECKS if word in check.__name__]
    if not chosen:
        print(f"docs: no case holds '{word}'")
        return 1
    failed = 0
    for check in chosen:
        problems = sorted(set(check()))
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'PASS'} {check.__name__}")
        print("".join(f"     {p}\n" for p in problems), end="")
    print(f"docs: {len(chosen) - failed} passed, {failed} failed")
    write_result("docs", len(chosen) - failed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
