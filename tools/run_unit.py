#!/usr/bin/env python3
"""Runs CMocka programs, counts their tests, prints one line for each program and the sum.

usage: run_unit.py PROGRAM...
A program that dies (sanitizer, signal) counts as one failure more. Output is kept in build/log/unit/.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from results import write_result  # noqa: E402

LIMIT_SECONDS = 600  # failsafe for one program; the longest takes some 20 s on a quiet host


def run_program(program):
    log = Path("build/log/unit") / (str(Path(program).relative_to("build/unit")).replace("/", "-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"})
        output, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace") + f"\nno end within {LIMIT_SECONDS} s\n"
        code = -1
    log.write_text(output)
    begun = len(re.findall(r"^\[ RUN", output, re.M))
    passed = len(re.findall(r"^\[ +OK \]", output, re.M))
    skipped = len(re.findall(r"^\[  SKIPPED \] \w+$", output, re.M))
    failed = max(begun - passed - skipped, 0)
    if code != 0 and failed == 0 or begun == 0:
        failed = max(failed, 1)
    return passed, failed, time.monotonic() - start, log, output


def main():
    passed = failed = 0
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)
    for program, result in zip(sys.argv[1:], pool.map(run_program, sys.argv[1:])):
        p, f, seconds, log, output = result
        passed, failed = passed + p, failed + f
        name = "tests/" + str(Path(program).relative_to("build"))
        print(f"{'FAIL' if f else 'PASS'} {name}: {p} passed, {f} failed ({seconds:.1f} s)", flush=True)
        if f:
            bad = re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M)
            telling = [line for line in output.splitlines() if not re.match(r"\[ (RUN|      OK)", line)]
            print("\n".join("     " + line for line in telling[-40:]))
            print(f"     failed: {' '.join(dict.fromkeys(bad)) or 'the program itself'}; log {log}; again: {program}")
    print(f"unit: {passed} passed, {failed} failed")
    write_result("unit", passed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
