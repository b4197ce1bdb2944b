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
    "short1": (["--images", "20"], []),
    "short2": (["--share", "1/400", "--images", "20"], ["--share", "1/1", "--seconds", "1800"]),
    "random": (["--share", "4/1000", "--images", "40"], ["--share", "300/1000", "--images", "200"]),
    "kill": (["--share", "10/1000", "--images", "30"], ["--share", "1000/1000", "--images", "100"]),
}


def campaign(t, family, kind):
    """Runs host.py; its line of figures. A failed image fails the case."""
    command = [sys.executable, str(Path(__file__).parent / "host.py"), "--family", family, "--set", kind, "--seed", SEED,
               "--jobs", "2" if t.full else "1", *SIZES[kind][t.full]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print("".join(f"     {line}\n" for line in done.stdout.splitlines()), end="")
    t.equal(done.returncode, 0, f"exit status of host.py ({done.stderr[-1500:]})")
    return dict((word, int(n)) for word, n in re.findall(r"(\w[\w -]*?) (\d+)", done.stdout))


@case(family=["ext2"], kind=list(SIZES))
def power_host(t, family, kind):
    """Without a journal the states between commits are promised; that those inside are not must be seen."""
    figures = campaign(t, family, kind)
    t.check(figures["judged"] > 0, "nothing was judged")
    if family == "ext2":
        t.check(figures["of them unsound"] > 0, "no cut inside a commit of ext2 did harm: the harness is blind")
