"""Power cuts on the host (host.py): short workloads by enumeration, long ones by chance, with kills of the server."""
import os
import re
import subprocess
import sys
from pathlib import Path

from framework import ROOT, case

SEED = os.environ.get("POWER_SEED") or "1"
# Set of workloads: options of host.py, then what FULL=1 takes.
SIZES = {
    "short1": (["--images", "5"], []),
    "short2": (["--share", "1/400", "--images", "10"], ["--share", "1/1", "--images", "40", "--seconds", "1800"]),
    "random": (["--share", "3/1000", "--images", "30"], ["--share", "200/1000", "--images", "200", "--seconds", "900"]),
    "long": (["--share", "1/1000", "--images", "30"], ["--share", "50/1000", "--images", "300", "--seconds", "900"]),
    "kill": (["--share", "8/1000", "--images", "20"], ["--share", "1000/1000", "--images", "100", "--seconds", "900"]),
}
# With a journal every image is judged, and each several times: fewer of them by default.
JOURNAL_QUICK = {"short1": ["--images", "2"], "short2": ["--share", "1/800", "--images", "8"],
                 "random": ["--share", "2/1000", "--images", "20"], "long": ["--share", "1/1000", "--images", "12"],
                 "kill": ["--share", "5/1000", "--images", "12"]}
BARE = ("ext2", "ext4-nojournal")  # without a journal
DEFAULT = ["ext2/short1", "ext4-nojournal/kill", "ext3/long", *(f"ext4/{kind}" for kind in SIZES)]
LONG = [f"{family}/{kind}" for family in (*BARE, "ext3", "ext4") for kind in SIZES if f"{family}/{kind}" not in DEFAULT]


def campaign(t, family, kind):
    """Runs host.py; its line of figures. A failed image fails the case."""
    sizes = JOURNAL_QUICK[kind] if family not in BARE and not t.full else SIZES[kind][t.full]
    command = [sys.executable, str(Path(__file__).parent / "host.py"), "--family", family, "--set", kind, "--seed", SEED,
               "--jobs", "2" if t.full else "1", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print("".join(f"     {line}\n" for line in done.stdout.splitlines()), end="")
    t.equal(done.returncode, 0, f"exit status of host.py ({done.stderr[-1500:]})")
    return dict((word, int(n)) for word, n in re.findall(r"(\w[\w -]*?) (\d+)", done.stdout))


def judged(t, what):
    family, kind = what.split("/")
    figures = campaign(t, family, kind)
    t.check(figures["judged"] > 0, "nothing was judged")
    if family in BARE:
        t.check(figures["of them unsound"] > 0, f"no cut inside a commit of {family} did harm: the harness is blind")


@case(what=DEFAULT)
def power_host(t, what):
    """Without a journal the states between commits are promised; that those inside are not must be seen."""
    judged(t, what)


@case(full=True, what=LONG)
def power_host_more(t, what):
    judged(t, what)
