#!/usr/bin/env python3
"""`make test`: every kind of test, each to its end, then the sum over all.

usage: test_all.py MAKE KIND...
A kind that ends badly without counts of its own (it did not build, say) counts as one failure.
"""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from results import FOLDER, read_result  # noqa: E402


def run_kind(make, kind):
    (FOLDER / kind).unlink(missing_ok=True)
    print(f"== {kind}")
    sys.stdout.flush()
    start = time.monotonic()
    # A build of its own width: the jobs of an outer make do not reach through here.
    flags = re.sub(r"\s-j\d*|--jobserver-\S+", "", " " + os.environ.get("MAKEFLAGS", ""))
    code = subprocess.call([make, "--no-print-directory", f"-j{os.cpu_count() or 1}", kind],
                           env={**os.environ, "MAKEFLAGS": flags.strip()})
    passed, failed = read_result(kind) or (0, 0)
    if code and not failed:
        failed = 1
    return kind, passed, failed, time.monotonic() - start


def main():
    make, kinds = sys.argv[1], sys.argv[2:]
    rows = [run_kind(make, kind) for kind in kinds]
    print("== all")
    for kind, passed, failed, seconds in rows:
        print(f"{kind:10} {passed:6} passed {failed:4} failed {seconds:7.1f} s")
    failed = sum(row[2] for row in rows)
    print(f"{sum(row[1] for row in rows)} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
