"""The shell's sentences for what cannot be done: they say why, and what to do instead."""
import re

from framework import case

REFUSED = {
    "crash shell illegal": (1, "shell: it serves nobody, so only `crash shell kill` reaches it"),
    "hang shell": (1, "shell: it serves nobody, so only `crash shell kill` reaches it"),
    "points shell": (1, "shell: it serves nobody, so only `crash shell kill` reaches it"),
    "inject shell any illegal": (1, "shell: it serves nobody, so only `crash shell kill` reaches it"),
    "crash supervisor kill": (1, "supervisor: it does not end itself on request; `crash supervisor` and "
                                 "`hang supervisor` do it by a fault"),
    "restart supervisor": (1, "supervisor: only services are restarted on request, not apps and not the supervisor"),
    "crash nobody": (1, "nobody: no such name"),
    "inject fs fs.op illegal 0": (2, "inject: there is no passage 0; the next one is 1"),
    "info 9": (1, "info: there is no core 9, the machine has 2"),
    "info x": (2, "usage: info CORE"),
}


@case
def shell_refuses_with_a_sentence(t):
    machine = t.boot(cores=2)
    for command, (expected, sentence) in REFUSED.items():
        output, status = machine.command(command)
        t.check(sentence in output, f"'{command}' says {output!r}")
        t.equal(status, expected, f"exit status of '{command}'")


@case
def shell_reaches_the_supervisor_without_a_disk(t):
    """blk is held and has no domain; it is not taken for what runs as domain 0 on that core."""
    machine = t.boot(cores=2, disk=None)
    t.run(machine, "crash supervisor")
    services = t.services(machine)
    t.equal((services["supervisor"]["epoch"], services["blk"]["state"]), (2, "held"), "epoch of the supervisor, state of blk")


@case
def shell_says_which_points_wait(t):
    """A fault for a point that was not passed yet waits for it; for one that was passed nothing is said."""
    machine = t.boot(cores=2)
    output = t.run(machine, "inject fs fs.nothing illegal")
    t.check("fs: no point of the name fs.nothing was passed yet; the fault waits for it" in output, f"it says {output!r}")
    output = t.run(machine, "ls /; inject fs fs.op illegal 1000000; restart fs")
    t.check("passed yet" not in output, f"it says {output!r}")


@case
def shell_tells_idle_time_once(t):
    """`info` and `cores` count the same time as idle; the part of it that the kernel slept stands apart."""
    machine = t.boot(cores=2)
    output = t.run(machine, "info 0")
    t.check(" of it in the kernel; kernel entries" in output, f"info says {output!r}")


def storms(t, machine):
    """The directories of storms on the disk."""
    return sorted(re.findall(r"\b(storm\d+)/", t.run(machine, "ls /")))


@case
def shell_interrupts_a_storm(t):
    """^C ends the job at once; what it left goes at the next start, and what somebody wanted to keep stays."""
    image = t.disk()
    machine = t.boot(cores=2, disk=image)
    t.run(machine, "storm 1 --keep --quiet --rate 0")
    machine.type("storm 600 --quiet --rate 0\n")
    machine.expect(r"storm: 600 s in /storm1,")
    machine.type("\x03")
    machine.prompt()
    t.equal(storms(t, machine), ["storm0", "storm1"], "directories after ^C")
    output = t.run(machine, "storm 1 --quiet --rate 0")
    t.check("storm: 1 s in /storm1," in output, f"it says {output!r}")
    for command, begun in (("echo begun; sleep 600000000", r"\nbegun"), ("echo begun; top 600000", r"\ndomain +core")):
        machine.type(command + "\n")
        machine.expect(begun)
        machine.type("\x03")
        machine.prompt()
    t.equal(storms(t, machine), ["storm0"], "directories after the next storm")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)
