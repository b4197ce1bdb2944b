"""The supervisor itself dies, and what a restart rule does when it is used up: alternative image, hold, and back."""
import re

from campaign import begin, finish, lame, storm
from framework import FULL, ROOT, case

DEATHS = ["illegal", "wild", "stack", "assert", "exit", "hang"]
OTHERS = ["console", "blk", "fs", "shell"]


@case(action=DEATHS)
def supervisor_dies(t, action):
    """Its kernel starts it again; nobody else notices, and the next death of a service is mended as ever."""
    image, campaign = begin(t)
    for number in range(1, 4 if FULL else 2):
        before = t.services(campaign.machine)
        t.run(campaign.machine, f"crash supervisor {action}")
        after = t.services(campaign.machine)
        t.equal(after["supervisor"]["epoch"], number + 1, "epoch of the supervisor")
        for name in OTHERS:
            t.equal([after[name][k] for k in ("state", "domain", "epoch")], ["up", before[name]["domain"],
                    before[name]["epoch"]], f"state, domain and epoch of {name}")
        campaign.problems += campaign.workload()
        t.run(campaign.machine, "crash fs illegal")
        t.equal(t.services(campaign.machine)["fs"]["epoch"], before["fs"]["epoch"] + 1, "epoch of fs")
        campaign.problems += campaign.workload()
        t.check("supervisor is back as epoch" in t.run(campaign.machine, "log"), "the log tells of its return")
    finish(t, image, campaign)


@case
def storm_with_the_supervisor(t):
    """The supervisor is killed among those that it mends, under load: no error, no wrong byte."""
    image, campaign = begin(t)
    figures = storm(t, campaign.machine, f"{60 if FULL else 6} --seed 5 --quiet --only supervisor,blk,fs,console "
                                         "--actions illegal,wild,stack,assert,exit")
    t.check(figures["injected"] > 0, "nothing was injected")
    t.check(t.services(campaign.machine)["supervisor"]["epoch"] > 1, "the supervisor was never killed")
    finish(t, image, campaign)


def replaced(t, machine, before, words):
    """The supervisor has died of itself for that reason; the next one has mended what was left undone."""
    after = t.services(machine)
    t.equal(after["supervisor"]["epoch"], before["supervisor"]["epoch"] + 1, "epoch of the supervisor")
    t.check(re.search(words, t.run(machine, "log")), f"no line of the log says {words}")
    t.equal({s["state"] for s in after.values()}, {"up"}, "states")


@case(patched=["watch_check"])
@case(full=True, patched=["supervisor_event"])
def audit_finds_what_is_overlooked(t, patched):
    """A supervisor that answers pings and does nothing about events finds out by itself."""
    machine = t.boot()
    before = t.services(machine)
    lame(t, machine, "supervisor", patched)
    t.run(machine, "crash fs illegal")  # it comes back, but not from this supervisor
    replaced(t, machine, before, r"supervisor \(.*\) died: assertion failed, pc 0x\w+ audit_")
    t.equal(t.services(machine)["fs"]["epoch"], before["fs"]["epoch"] + 1, "epoch of fs")


@case(patched=["policy_decide"])
@case(full=True, patched=["services_by_name", "cores_ping"])
def audit_asks_what_is_known(t, patched):
    """One that would answer wrongly finds out before anybody asks."""
    machine = t.boot()
    before = t.services(machine)
    lame(t, machine, "supervisor", patched)
    machine.expect(r"supervisor is back as epoch 2", 60, "the end of the supervisor")
    replaced(t, machine, before, r"died: assertion failed, pc 0x\w+ audit_")


@case
def answer_against_the_kernels_is_doubted(t):
    """A supervisor says of a job that runs that there is none: it is complained about until it ends, and the next one says the truth."""
    machine = t.boot()
    before = t.services(machine)
    lame(t, machine, "supervisor", "jobs_result")
    t.check("STORM" in t.run(machine, "storm 1 --rate 0 --quiet"), "the job was not waited for")
    replaced(t, machine, before, r"supervisor \(.*\) died: (complaint|exit with code 76)")


def system_with(service, change):
    """The default system with one service's lines changed."""
    def edit(match):
        return change(match[0])
    text = (ROOT / "systems/default.toml").read_text()
    return re.sub(rf'\[\[service\]\]\nname = "{service}"\n.*?(?=\n\[\[|\Z)', edit, text, flags=re.S)


def rule(burst, more=""):
    """Changes the restart rule to a small burst in a long window."""
    return lambda lines: re.sub(r"^restart = .*$",
                                f"restart = {{ burst = {burst}, window_ms = 600000, delay_ms = 0{more} }}", lines,
                                flags=re.M)


@case
def rule_ends_in_a_hold(t):
    """Three deaths on a rule of two: held, and who asks gets an error at once; `restart` brings it back."""
    machine = t.boot(boot=str(t.image(system_with("blk", rule(2)))))
    digest = t.run(machine, "sha256 /all.txt").split()[0]
    for epoch in (2, 3):
        t.run(machine, "crash blk illegal")
        t.equal(t.services(machine)["blk"]["epoch"], epoch, "epoch of blk")
    machine.command("crash blk illegal")
    t.equal(t.services(machine)["blk"]["state"], "held", "state of blk")
    _, status = machine.command("crash blk illegal", seconds=20)
    t.check(status != 0, "a held service does not answer")
    t.check("blk has used up its restart rule: it is held" in t.run(machine, "log"), "the log says so")
    machine.command("sha256 -r /; sync", seconds=60)  # an error or what is cached, but an answer
    t.run(machine, "restart blk; restart fs")
    t.equal(t.services(machine)["blk"]["state"], "up", "state of blk")
    t.equal(t.run(machine, "sha256 /all.txt").split()[0], digest, "sha256 after the hold")
    t.run(machine, "crash blk illegal")
    t.equal(t.services(machine)["blk"]["state"], "up", "state of blk, its history forgotten")


@case
def rule_takes_the_alternative_image(t):
    """The clients' channels go over to the other image: no error, the same bytes; `restart` goes back to the first."""
    def change(lines):
        return rule(0)(lines) + 'alternative = "fs2"\n'
    other = (ROOT / "build/stripped/fs.elf").read_bytes()
    machine = t.boot(boot=str(t.image(system_with("fs", change), {"fs2": other})))
    digest = t.run(machine, "sha256 /all.txt")
    t.run(machine, "crash fs illegal")
    t.check('image "fs2" from now on' in t.run(machine, "log"), "the log names the other image")
    t.equal(t.run(machine, "sha256 /all.txt").split()[0], digest.split()[0], "sha256 by the other image")
    t.equal(t.services(machine)["fs"]["epoch"], 2, "epoch of fs")
    t.run(machine, "restart fs")
    t.equal(t.run(machine, "sha256 /all.txt").split()[0], digest.split()[0], "sha256 by the first image again")
