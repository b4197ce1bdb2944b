"""Thousands of fibers in one domain: they wait, end and begin again, in a program and in a server; each stack has its guard."""
import re

from framework import ROOT, case

FIBERS = """
[[service]]
name = "crowd"
image = "fibers"
core = 2
memory = "32M"
serves = ["crowd"]
restart = { burst = 10, window_ms = 1000, delay_ms = 0, delay_max_ms = 0 }
watch = { hang_ms = 2000, request_ms = 20000 }

[[service]]
name = "fibers"
app = true
core = 3
memory = "80M"
uses = ["*"]
watch = { hang_ms = 0, request_ms = 20000 }
"""
STACK = 0x8000
PAGE = 0x1000


def boot(t):
    text = (ROOT / "systems/default.toml").read_text().replace('"supervisor", "block0"]', '"supervisor", "block0", "crowd"]')
    return t.boot(boot=str(t.image(text + FIBERS)), cores=4)


@case
def fibers_wait_by_thousands(t):
    """2,000 fibers sleep and wait in a program, twice, on the same stacks; 2,000 wait for a server, where each has one too. The same
    with a server that dies before all of them are there."""
    machine = boot(t)
    output = t.run(machine, "run fibers sleep")
    t.equal(output.count("fibers: 2000 wait, 0 have ended"), 2, f"turns in which all waited ({output!r})")
    t.check("fibers: 2000 have ended, 0 pages more at the second time" in output, f"it says {output!r}")
    for epoch, point in ((1, ""), (2, "runtime.take wild 1900")):
        if point:
            t.run(machine, f"inject crowd {point}")
        output = t.run(machine, "run fibers ask")
        t.check(f"fibers: 2000 waited at epoch {epoch}, 2000 were answered" in output, f"after {point or 'no fault'} it says {output!r}")
    t.equal(t.services(machine)["crowd"]["faults"], 1, "deaths of the server")


@case
def fibers_have_guards(t):
    """A fiber among 2,000 that comes to the end of its stack dies there, wherever its stack lies in its block; also when the kernel
    below has died and come back meanwhile, which maps the block anew."""
    machine = boot(t)
    for deaths, words in enumerate(("0", "700", "1999", "700 reborn", "1999 reborn"), 1):
        output, status = machine.command(f"run fibers fall {words}")
        t.check(status not in (0, None), f"fall {words}: status {status}")
        place = re.search(r"fibers: 2000 wait, the stack of number \d+ ends in the page of 0x([0-9a-f]+)", output)
        t.check(place, f"fall {words}: it says {output!r}")
        bottom = int(place[1], 16) // PAGE * PAGE + PAGE - STACK
        died = re.findall(r"^fibers \(core 3, .*\) died: stack overflow, 0x([0-9a-f]+) is below its stack at pc 0x[0-9a-f]+ fall\+",
                          t.run(machine, "log"), re.M)
        t.equal(len(died), deaths, f"stack overflows after fall {words}")
        t.equal(int(died[-1], 16) // PAGE, bottom // PAGE - 1, f"fall {words}: page below the stack at {bottom:#x}")
