"""`make run CMD=...`: commands are typed, the machine powers off, the last command's status comes back."""
import os
import subprocess
import sys
import time
from pathlib import Path

from framework import ROOT, case


def run_py(t, *words):
    done = subprocess.run([sys.executable, "tools/run.py", *words], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


@case(command=["true", "false; true", "true; false", "nonsense"])
def run_status(t, command):
    expected = {"true": 0, "false; true": 0, "true; false": 1, "nonsense": 127}[command]
    code, output = run_py(t, "--disk", "none", "--cores", "2", "--command", command)
    t.equal(code, expected, f"exit status of CMD='{command}' ({output[-300:]!r})")
    t.check("\x1b" not in output, "colours without a terminal")


@case
def run_after_the_shell_was_killed(t):
    """The line that was typed is gone with the shell; the machine powers off all the same."""
    code, output = run_py(t, "--disk", "none", "--command", "crash shell kill; echo not reached")
    t.check("exit status" in output, f"no power-off: {output[-300:]!r}")


@case
def run_without_its_disk(t):
    code, output = run_py(t, "--disk", "no-such-file", "--command", "true")
    t.equal(code, 1, "exit status")
    t.check("the disk no-such-file does not exist" in output, f"it says {output!r}")


@case
def run_past_its_limit(t):
    code, output = run_py(t, "--disk", "none", "--limit", "2", "--command", "sleep 60000")
    t.equal(code, 1, "exit status")
    t.check("the end of 'sleep 60000' did not appear within 2 s" in output, f"it says {output[-300:]!r}")


@case
def run_that_is_killed_takes_its_machine_along(t):
    command = [sys.executable, "tools/run.py", "--disk", "none", "--cores", "1", "--command", "echo begun; sleep 600000"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as runner:
        for line in runner.stdout:
            if line.startswith("begun"):
                break
        machine = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
        t.equal(len(machine), 1, "machines that it runs")
        runner.kill()
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{machine[0]}/exe") and time.monotonic() < end:
        time.sleep(0.01)
    t.check(not os.path.exists(f"/proc/{machine[0]}/exe"), "QEMU goes on")
