#!/usr/bin/env python3
"""Lint: layers, headers that compile alone, unique global names, no words of unfinished work, file comments.

usage: lint.py --kernel 'gcc flags' --domain 'gcc flags'
Prints each problem, a line on the length of functions, and `lint: N passed, N failed`, counted by check.
"""
import argparse
import collections
import itertools
import re
import shlex
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from results import write_result  # noqa: E402

# Spelt so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|\bst" r"ubs?\b|not (yet )?imple" r"mented", re.I)
FUNCTION_LINES_90 = 65
OWN_NAMES = {"program_main", "main", "_start",  # each program has its own
             "__assert_func", "memcpy", "memmove", "memset"}  # kernels and domains each have one


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    return sorted(f for f in set(listed) if (ROOT / f).exists())


def text_of(name):
    return (ROOT / name).read_text(errors="replace")


def check_layers(_):
    done = subprocess.run([sys.executable, "tools/check-layers.py"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines() + done.stderr.splitlines()


def check_headers(arguments):
    """Each header compiles alone, twice included."""
    def one(name):
        kernel = name.startswith(("kernel/", "core-local/", "boot/"))
        command = shlex.split(arguments.kernel if kernel else arguments.domain) + ["-fsyntax-only", "-x", "c", "-"]
        done = subprocess.run([c for c in command if c not in ("-MMD", "-MP")], cwd=ROOT, capture_output=True,
                              text=True, input=f'#include "{name}"\n#include "{name}"\n')
        return f"{name} does not compile alone:\n{done.stderr}" if done.returncode else None
    headers = [h for h in tracked("*.h") if not h.startswith("tests/")]
    with ThreadPoolExecutor(2) as pool:
        return [p for p in pool.map(one, headers) if p]


def check_pragma_once(_):
    return [f"{h} has no #pragma once" for h in tracked("*.h") if "#pragma once" not in text_of(h)]


def check_file_comments(_):
    """A C file opens by saying what it owns."""
    return [f"{f} does not open with a comment" for f in tracked("*.c", "*.h", "*.S")
            if not text_of(f).startswith(("//", "/*"))]


DEATH = re.compile(r"\b(die[sd]?|dead|death|reborn|(re)?incarnation\w*|restart\w*|reboot|kill\w*|survives?|outlives?|recovery)\b|"
                   r"\b(owns|keeps) nothing|\bno state\b", re.I)


def opening_comment(name):
    if not (ROOT / name).exists():
        return ""
    return "\n".join(itertools.takewhile(lambda line: line.startswith("//"), text_of(name).splitlines()))


def check_death(_):
    """What a file of the system opens with, or its header's, says what a death there leaves, or that it keeps nothing."""
    return [f"{f}: neither it nor {f[:-1]}h opens by saying what happens if it dies there"
            for f in tracked("kernel/*.c", "core-local/*.c", "runtime/*.c", "servers/*.c", "supervisor/*.c")
            if not DEATH.search(opening_comment(f) + opening_comment(f[:-1] + "h"))]


def check_unfinished(_):
    problems = []
    for name in tracked("*.c", "*.h", "*.S", "*.py", "*.sh", "*.mk", "Makefile"):
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if UNFINISHED.search(line):
                problems.append(f"{name}:{number}: unfinished work? {line.strip()}")
    return problems


def check_unique_names(_):
    """A global function name means one function in the whole tree, kernels and programs together."""
    places = collections.defaultdict(set)
    for object_file in (ROOT / "build/obj").rglob("*.[cS].o"):
        source = str(object_file.relative_to(ROOT / "build/obj"))[:-2]
        if not (ROOT / source).exists():
            continue
        done = subprocess.run(["riscv64-unknown-elf-nm", "--defined-only", "-g", object_file], capture_output=True,
                              text=True)
        for line in done.stdout.splitlines():
            kind, name = line.split()[-2:]
            if kind == "T" and name not in OWN_NAMES:
                places[name].add(source)
    return [f"{name} is defined in {' and '.join(sorted(files))}" for name, files in sorted(places.items())
            if len(files) > 1]


def check_spelling_of_paths(_):
    """Nothing of one machine stands in the tree."""
    bad = re.compile(r"/home/\w+/|/root/|" + re.escape(str(ROOT)) + "/")
    return [f"{name}:{number}: a path of one machine: {line.strip()}" for name in tracked()
            if (ROOT / name).is_file() for number, line in enumerate(text_of(name).splitlines(), 1)
            if bad.search(line) and name != "tools/lint.py"]


def function_lengths():
    """(lines, file, name) of each function: brace in column 0 opens, brace in column 0 closes."""
    for name in tracked("*.c"):
        if name.startswith("tests/"):
            continue
        start = None
        lines = text_of(name).splitlines()
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                yield number - start - 1, name, lines[start - 1].split("(")[0].split()[-1:]
                start = None


def check_function_lengths(_):
    lengths = sorted(function_lengths(), key=lambda entry: entry[0])
    if not lengths:
        return []
    numbers = [entry[0] for entry in lengths]
    ninety = numbers[int(len(numbers) * 0.9)]
    longest = lengths[-1]
    print(f"functions: {len(numbers)}, median {statistics.median(numbers):.0f} lines, 90 % have at most {ninety}, "
          f"the longest {longest[0]} ({longest[1]})")
    return [f"10 % of the functions have more than {FUNCTION_LINES_90} lines"] if ninety > FUNCTION_LINES_90 else []


CHECKS = (check_layers, check_headers, check_pragma_once, check_file_comments, check_death, check_unfinished, check_unique_names,
          check_spelling_of_paths, check_function_lengths)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--domain", required=True)
    arguments = parser.parse_args()
    failed = 0
    for check in CHECKS:
        problems = check(arguments)
        if problems:
            failed += 1
            print(f"FAIL {check.__name__}")
            print("\n".join("     " + p for p in problems))
    print(f"lint: {len(CHECKS) - failed} passed, {failed} failed")
    write_result("lint", len(CHECKS) - failed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
