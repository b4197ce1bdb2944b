"""`make run CMD=...`: commands are typed, the machine powers off, the last command's status comes back; and what make and
the tools say to words that mean nothing."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from framework import ROOT, case


def run_py(t, *words, **environment):
    done = subprocess.run([sys.executable, "tools/run.py", *words], cwd=ROOT, stdin=subprocess.DEVNULL, env=os.environ | environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def make(t, *words):
    """make as a user calls it, not as part of the make that runs us."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "T", "CMD")}
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, stdin=subprocess.DEVNULL, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


@case(command=["true", "false; true", "true; false", "nonsense"])
def run_status(t, command):
    expected = {"true": 0, "false; true": 0, "true; false": 1, "nonsense": 127}[command]
    code, output = run_py(t, "--disk", "none", "--cores", "2", "--command", command)
    t.equal(code, expected, f"exit status of CMD='{command}' ({output[-300:]!r})")
    t.check("\x1b" not in output, "colours without a terminal")


# Stands for QEMU: a shell that echoes what is typed, and others who print lines in the middle of that. The one that begins
# like the rest of what is typed is not it.
NOISY_SHELL = """#!{python}
import os
news = {{2: "lost is core 2\\nfs is back as epoch 2\\n", 3: "core 2 panics: it was asked to\\n", 16: "blk is back\\n"}}
typed = b""
def say(text):
    os.write(1, text.encode())
say("planaria> ")
while not typed.endswith(b"\\n"):
    typed += os.read(0, 1)
    say(typed[-1:].decode() + news.pop(len(typed), ""))
open({record!r}, "wb").write(typed)
say("exit status 3\\n")
"""


@case
def run_while_others_print(t):
    """A line that the supervisor's news interrupt came through whole: it is not waited for, and not typed again."""
    shell, record = t.folder / "shell", t.folder / "typed"
    shell.write_text(NOISY_SHELL.format(python=sys.executable, record=str(record)))
    shell.chmod(0o755)
    code, output = run_py(t, "--disk", "none", "--command", "false", QEMU=str(shell))
    t.equal(record.read_bytes(), b"color off; false; poweroff $?\n", "what was typed")
    t.equal(code, 3, f"exit status ({output[-300:]!r})")


@case
def run_through_make(t):
    """What is typed at the shell is not make's to expand, and make's own status is 0 or 2."""
    code, output = make(t, "run", "DISK=none", "CORES=2", "CMD=false; echo is $? 'a b' $(words; nonsense")
    t.check("\nis 1 a b $(words\n" in output, f"the commands say {output[-400:]!r}")
    t.check(re.search(r"Error 127$", output, re.M), f"make says {output[-300:]!r}")
    t.equal(code, 2, "exit status of make")


@case(command=["crash shell kill; echo not reached", "crash shell kill; false"])
def run_after_the_shell_was_killed(t, command):
    """The line that was typed is gone with the shell; the machine powers off all the same, and nobody calls it success."""
    code, output = run_py(t, "--disk", "none", "--command", command)
    t.check("exit status 126" in output, f"no power-off, or another status: {output[-300:]!r}")
    t.check("the shell died and was restarted: the rest of the line is lost" in output, f"it says {output[-300:]!r}")
    t.equal(code, 126, "exit status")
    order = [output.find(words) for words in ("shell (core", "shell is back as epoch 2")]
    t.check(0 <= order[0] < order[1], f"its death is told at {order[0]}, its return at {order[1]}")


WRONG = {"CORES=abc": "CORES=abc: it must be a number, 1 or more",
         "CORES=0": "CORES=0: it must be a number, 1 or more",
         "GUESTS=-1": "GUESTS=-1: it must be a number, 0 or more",
         "LIMIT=soon": "LIMIT=soon: it must be a number, 1 or more",
         "MEM=abc": "MEM=abc: it must be a number of MiB, or one with a unit: 512M, 2G",
         "MEM=0M": "MEM=0M: it must be a number of MiB",
         "SYSTEM=nope": "SYSTEM=nope: there is no systems/nope.toml; there are campaign crowd default",
         "SYSTEM=minimal": "the system 'minimal' has no shell (systems/minimal.toml), so nobody would take the commands"}


@case(word=list(WRONG))
def run_with_a_wrong_word(t, word):
    code, output = make(t, "run", "DISK=none", "CMD=true", word)
    t.check(WRONG[word] in output, f"it says {output[-300:]!r}")
    t.check("planaria>" not in output and code == 2, f"it booted, or make's status {code} is not 2")


@case(kind=["docs", "manifest", "unit", "fuzz", "system", "fault", "power", "model"])
def choosing_nothing_is_an_error(t, kind):
    """A typing mistake in T= is no success."""
    if kind == "model":  # make would write its counts down
        done = subprocess.run(["tests/model/run.sh", "nosuchcase"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        code, output = done.returncode, done.stdout
    else:
        code, output = make(t, kind, "T=nosuchcase")
    t.check(code != 0 and f"{kind}: no case holds 'nosuchcase'" in output, f"status {code}, it says {output[-300:]!r}")


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
