#!/usr/bin/env python3
"""Runs a command, passes its output on, and leaves its counts for `make test`.

usage: counted.py KIND COMMAND...
Counts come from the last line `N passed, N failed` of the output, or else from its lines that begin with PASS or FAIL.
"""
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from results import write_result  # noqa: E402


def main():
    kind, command = sys.argv[1], sys.argv[2:]
    passed = failed = 0
    stated = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            passed += line.startswith("PASS")
            failed += line.startswith("FAIL")
            match = re.search(r"(\d+) passed, (\d+) failed", line)
            stated = (int(match[1]), int(match[2])) if match else stated
    passed, failed = stated or (passed, failed)
    if process.returncode and not failed:
        failed = 1
    if not stated:
        print(f"{kind}: {passed} passed, {failed} failed")
    write_result(kind, passed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
