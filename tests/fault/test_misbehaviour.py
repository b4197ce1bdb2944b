"""A lying server and a rogue client: nobody else notices, and the liar is restarted."""
import re

from campaign import begin, lame
from framework import ROOT, case

LIAR = """
[[service]]
name = "liar"
core = "any"
serves = ["liar"]
restart = { burst = 100, window_ms = 1000, delay_ms = 0 }
watch = { hang_ms = 500 }

[[service]]
name = "believer"
app = true
uses = ["*"]
watch = { hang_ms = 0, request_ms = 500 }
"""


@case
def liar_is_found_out(t):
    boot = t.image((ROOT / "systems/default.toml").read_text() + LIAR)
    machine = t.boot(boot=str(boot))
    output = t.run(machine, "run believer")
    lines = re.findall(r"^believer: (\S+) +the truth after", output, re.M)
    t.equal(len(lines), 11, f"lies that ended with the truth ({output!r})")
    t.equal(t.services(machine)["liar"]["state"], "up", "state of liar")


@case(service=["fs", "block0", "console"])
def rogue_harms_itself_only(t, service):
    image, campaign = begin(t)
    before = t.services(campaign.machine)
    t.run(campaign.machine, f"run rogue {service} 2000 1")
    got = re.search(r"(\d+) channels, then: (.*)", t.run(campaign.machine, f"run rogue {service} hoard"))
    t.equal(int(got[1]), 15 if service == "console" else 16, f"channels that one client gets, then: {got[2]}")  # it has one to the console
    campaign.problems += campaign.workload()
    after = t.services(campaign.machine)
    for name in ("blk", "fs", "console", "shell"):
        t.equal(after[name]["faults"], before[name]["faults"], f"faults of {name}")
    t.equal(campaign.machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)
    campaign.end()


def patient(t):
    """A machine in which a busy host is no death."""
    return t.boot(boot=str(t.image((ROOT / "systems/default.toml").read_text().replace("hang_ms = 10,", "hang_ms = 2000,"))))


@case
def doubted_answers(t):
    """The file system says what it never says while it is sane: it dies of that instead, and its next incarnation gives the true answer."""
    machine = patient(t)
    sums = re.findall(r"\b[0-9a-f]{64}\b", t.run(machine, "sha256 /all.txt"))
    for deaths, error in enumerate((2, 26, 31), 1):  # no such handle, stale, lost
        output = t.run(machine, f"inject fs fs.op error 1 {error}; sha256 /all.txt")
        t.equal(re.findall(r"\b[0-9a-f]{64}\b", output), sums, f"what sha256 says under error {error} ({output!r})")
        t.equal(t.services(machine)["fs"]["faults"], deaths, "deaths of fs")
    t.equal(machine.command("cat /nothing")[1], 1, "exit status of cat /nothing")
    t.equal(t.services(machine)["fs"]["faults"], 3, "deaths of fs after an answer that is true")


@case
def wrong_sum_is_no_record(t):
    """The code that sums what a client asks for is changed: no operation is acknowledged with such a record, which no successor would believe."""
    machine = patient(t)
    lame(t, machine, "fs", "digest_read")
    name = "/" + 90 * "n"
    t.run(machine, f"write {name} words")
    t.check(re.search(r"fs \(.*\) died: assertion failed at runtime/server\.c", t.run(machine, "log")), "nobody has noticed")
    t.run(machine, "crash fs illegal")
    t.check("words" in t.run(machine, f"cat {name}"), "what was written is not there")
    t.check("left out" not in t.run(machine, "log"), "an acknowledged operation was lost")


GREEDY = """
[[service]]
name = "greedy"
core = 2
serves = ["greedy"]
watch = { hang_ms = 2000 }
"""
GREEDY_CLIENT = """
[[service]]
name = "{way}"
image = "greedy"
app = true
autostart = true
core = {core}
uses = ["*"]
argument = "{way}"
watch = {{ hang_ms = 0, request_ms = 20000 }}
"""


def is_fair(shares):
    whole = sum(map(int, shares.values()))
    return all(0.2 * whole < int(share) < 0.3 * whole for share in shares.values())


@case
def greedy_gets_its_share(t):
    """Four clients with full rings: one claims that its requests are the oldest, one floods doorbells, one does both. Each gets a quarter."""
    ways = ("honest", "old", "loud", "both")
    text = (ROOT / "systems/default.toml").read_text() + GREEDY
    machine = t.boot(boot=str(t.image(text + "".join(GREEDY_CLIENT.format(way=way, core=core) for way, core in zip(ways, (1, 1, 3, 3))))))
    shares = {}
    for _ in range(1000):
        said = re.findall(r"^greedy: (\w+) (\d+)", t.run(machine, "log"), re.M)
        rounds = [dict(said[i:i + len(ways)]) for i in range(len(ways), len(said) - len(ways) + 1, len(ways))]  # the first has the beginnings in it
        shares = next(({way: int(n) for way, n in one.items()} for one in rounds if is_fair(one)), shares)
        if shares or len(rounds) >= 8:
            break
    t.check(set(shares) == set(ways), f"none of these rounds is fair: {rounds}")  # who can take more does so in each; a host that holds up a core, in some
    whole = sum(shares.values())
    print("     greedy_gets_its_share: " + ", ".join(f"{way} {100 * share / whole:.1f} %" for way, share in shares.items()))


@case
def crasher_dies_alone(t):
    _, campaign = begin(t)
    for way in ("illegal", "wild", "null", "text", "jump", "stack", "assert", "translate", "csr"):
        _, status = campaign.machine.command(f"run crasher {way}")
        t.check(status and status >= 128, f"crasher {way} ended with status {status}")
    for way in ("hang", "sleep"):  # nobody watches an app: the user's interrupt key ends it
        campaign.machine.type(f"run crasher {way}\n")
        campaign.machine.expect("from here on nothing happens")
        campaign.machine.type("\x03")
        campaign.machine.prompt()
    _, status = campaign.machine.command("run crasher exit 9")
    t.equal(status, 9, "exit status of crasher exit 9")
    for way in ("quota", "call"):
        t.run(campaign.machine, f"run crasher {way}")
    campaign.problems += campaign.workload()
    campaign.end()


@case
def floating_point_is_kept(t):
    machine = t.boot(cores=2)
    output = t.run(machine, "run fpu")
    t.equal(len(re.findall(r"20000 rounds, 0 wrong registers", output)), 2, f"domains that kept theirs ({output!r})")


CROWD = """
[[service]]
name = "crowd"
core = 2
serves = ["crowd"]
restart = { burst = 10, window_ms = 1000, delay_ms = 0, delay_max_ms = 0 }
watch = { hang_ms = 2000, request_ms = 20000 }

[[service]]
name = "asker"
image = "crowd"
app = true
core = 3
uses = ["*"]
watch = { hang_ms = 0, request_ms = 20000 }
"""
CROWD_SAYS = "crowd: 2048 in flight, 1024 taken back, 1025 answered of 1025, 0 early, {epochs} epochs: done"


@case
def thousands_wait_and_are_taken_back(t):
    """2048 requests of eight full rings wait at a server, and one more for a slot; half are taken back. Then the same with a
    server that dies in the middle of that, and with one that dies while all of them wait."""
    text = (ROOT / "systems/default.toml").read_text().replace('"supervisor", "block0"]', '"supervisor", "block0", "crowd"]')
    machine = t.boot(boot=str(t.image(text + CROWD)), cores=4)
    for point, epochs in (("", 1), ("crowd.cancelled illegal 300", 2), ("runtime.take wild 2040", 1)):  # before it is asked for its epoch
        if point:
            t.run(machine, f"inject crowd {point}")
        output = t.run(machine, "run asker")
        t.check(CROWD_SAYS.format(epochs=epochs) in output, f"after {point or 'no fault'} it says {output!r}")
    t.equal(t.services(machine)["crowd"]["faults"], 2, "deaths of the server")
