#!/usr/bin/env python3
"""Runs the system tests (or, with --kind fault, the fault campaign): one line PASS or FAIL for each case.

usage: run.py [--kind system|fault] [--jobs 2] [--list] [WORD]     WORD: cases whose name holds it
FULL=1 in the environment adds the long cases. A FAIL names the log and the command that runs that case again.
"""
import argparse
import concurrent.futures
import importlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import framework  # noqa: E402
from framework import CASES, FULL, ROOT, MachineError, Test, TestFailure, pristine_disk  # noqa: E402
from qemu import qemu_version  # noqa: E402
from results import write_result  # noqa: E402

TAIL_LINES = 15
printing = threading.Lock()


def load(kind):
    folder = ROOT / "tests" / kind
    sys.path.insert(0, str(folder))
    for path in sorted(folder.glob("test_*.py")):
        importlib.import_module(path.stem)


def run_case(case):
    """The sentence that says what failed, or None; and the test with its logs."""
    test = Test(case)
    problem = None
    try:
        case.function(test, **case.values)
    except (TestFailure, MachineError) as error:
        problem = str(error)
    except Exception:  # a bug in the test itself: show where
        problem = traceback.format_exc()
    finally:
        test.close()
    return problem, test


def report(case, problem, test, seconds):
    log = os.path.relpath(test.logs[-1], ROOT) if test.logs else "no log"
    with printing:
        print(f"{'FAIL' if problem else 'PASS'} {case.name} ({seconds:.1f} s) {log}")
        if problem:
            print(f"     {problem}")
            for machine in test.machines[-1:]:
                print("".join(f"     | {line}\n" for line in machine.text.splitlines()[-TAIL_LINES:]), end="")
            print(f"     again: make {case.kind} T='{case.name}'{' FULL=1' if case.full else ''}")
        sys.stdout.flush()


def nothing_chosen(kind, word):
    long_ones = sum(word in c.name for c in CASES)
    print(f"{kind}: no case holds '{word}'" + (f" but {long_ones} long ones: FULL=1 runs them" if long_ones else ""))
    return 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="system")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("word", nargs="?", default="")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    load(arguments.kind)
    chosen = [c for c in CASES if arguments.word in c.name and (FULL or not c.full or arguments.word == c.name)]
    if arguments.list:
        print("\n".join(c.name for c in chosen))
        return 0
    if not chosen:
        return nothing_chosen(arguments.kind, arguments.word)
    print(f"{arguments.kind}: {len(chosen)} cases on {qemu_version()}")
    sys.stdout.flush()
    pristine_disk()
    failed = 0

    def one(case):
        start = time.monotonic()
        problem, test = run_case(case)
        report(case, problem, test, time.monotonic() - start)
        return problem is not None

    pool = concurrent.futures.ThreadPoolExecutor(arguments.jobs)
    try:
        failed = sum(pool.map(one, chosen))
    except KeyboardInterrupt:
        for machine in list(framework.machines):
            machine.kill()
        os._exit(130)
    passed = len(chosen) - failed
    print(f"{arguments.kind}: {passed} passed, {failed} failed")
    write_result(arguments.kind, passed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
