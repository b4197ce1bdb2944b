"""Counts of passed and failed tests, one file for each kind in build/results/, so that `make test` can add them up."""
from pathlib import Path

FOLDER = Path("build/results")


def write_result(kind, passed, failed):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / kind).write_text(f"{passed} {failed}\n")


def read_result(kind):
    """(passed, failed), or None where that kind left no counts."""
    try:
        passed, failed = (FOLDER / kind).read_text().split()
        return int(passed), int(failed)
    except (OSError, ValueError):
        return None
