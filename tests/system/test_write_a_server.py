"""docs/write-a-server.md: its blocks are the files that they name, and what it builds runs, dies and comes back."""
import re

from framework import ROOT, case

DOC = ROOT / "docs/write-a-server.md"
BLOCK = re.compile(r"^`([^`\n]+)`:\n\n```c\n(.*?)^```$", re.M | re.S)
MANIFEST = re.compile(r"^```toml\n(.*?)^```$", re.M | re.S)


@case
def example_is_the_files(t):
    blocks = BLOCK.findall(DOC.read_text())
    t.equal(len(blocks), 3, "blocks of code that name a file")
    for path, text in blocks:
        t.equal((ROOT / path).read_text() == text, True, f"the block of {path} is that file")


@case
def example_runs_and_comes_back(t):
    lines = MANIFEST.search(DOC.read_text())[1]
    system = (ROOT / "systems/default.toml").read_text()
    shell = 'uses = ["console", "fs", "supervisor", "block0"'
    t.check(shell in system, "the default system's shell uses what this test thinks")
    boot = t.image(system.replace(shell, shell + ', "echo"') + "\n" + lines)
    machine = t.boot(boot=str(boot))
    t.check("echo (epoch 1): hello there" in t.run(machine, "run ask hello there"), "the first answer")
    t.run(machine, "crash echo illegal")
    t.run(machine, "inject echo echo.request wild 1")
    t.check("echo (epoch 3): again" in t.run(machine, "run ask again"), "the answer after two crashes")
    t.equal(t.services(machine)["echo"]["faults"], 2, "faults of echo")
