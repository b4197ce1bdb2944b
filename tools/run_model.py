#!/usr/bin/env python3
"""Checks the spin models of tests/model/.

usage: run_model.py [WORD]
A model is tests/model/NAME.pml. Comment lines of it say how it is checked, one line for each check:

    // check: NAME [-DMACRO=value ...] [expect-error] [full]

-D go to spin's preprocessor; expect-error: the check must find an error (the model shows that a rule is needed); full:
with FULL=1 only. Without such a line the model is checked once, and must be without error.
"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from results import write_result  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FULL = os.environ.get("FULL", "") not in ("", "0")
LIMIT_SECONDS = 900  # failsafe for one check
MEMORY_MB = 2048


def checks_of(model):
    lines = re.findall(r"^\s*(?://|\*|/\*) check: (.*?)(?:\*/)?$", model.read_text(), re.M)
    for line in lines or [model.stem]:
        words = line.split()
        yield words[0], [w for w in words if w.startswith("-")], "expect-error" in words, "full" in words


def run_check(model, name, defines, expect_error):
    """(sentence of what is wrong, or None; number of states)"""
    folder = ROOT / "build" / "model" / f"{model.stem}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def step(command):
        try:
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=LIMIT_SECONDS)
            return done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            return 1, f"no end within {LIMIT_SECONDS} s"

    code, text = step(["spin", *[d for d in defines if d.startswith("-D")], "-I" + str(ROOT), "-a", str(model)])
    if code or not (folder / "pan.c").exists():
        return f"spin: {text.strip()}", 0
    code, text = step(["gcc", "-O2", "-w", f"-DMEMLIM={MEMORY_MB}", "-DSAFETY", "-DVECTORSZ=4096", "-o", "pan", "pan.c"])
    if code:
        return f"gcc: {text.strip()}", 0
    code, text = step(["./pan", "-m1000000", *[d for d in defines if not d.startswith("-D")]])
    (folder / "pan.log").write_text(text)
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\d[\d.e+]*) states, stored", text)
    count = states[1] if states else "?"
    if not errors or "search not completed" in text.lower() and not int(errors[1]) or "max search depth" in text:
        return f"the search did not complete: {text.strip()[-400:]}", count
    if bool(int(errors[1])) != expect_error:
        return ("no error found, but one was expected" if expect_error else
                f"errors: {errors[1]}; trail: cd {folder.relative_to(ROOT)} && ./pan -r"), count
    return None, count


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    passed = failed = 0
    for model in sorted((ROOT / "tests/model").glob("*.pml")):
        for name, defines, expect_error, full in checks_of(model):
            if full and not FULL or word not in f"{model.stem}-{name}":
                continue
            start = time.monotonic()
            problem, states = run_check(model, name, defines, expect_error)
            passed, failed = passed + (problem is None), failed + (problem is not None)
            print(f"{'FAIL' if problem else 'PASS'} {model.stem}: {name}, {states} states "
                  f"({time.monotonic() - start:.1f} s)" + (f"\n     {problem}" if problem else ""))
            sys.stdout.flush()
    print(f"model: {passed} passed, {failed} failed")
    write_result("model", passed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
