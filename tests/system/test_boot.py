"""Boot: the prompt appears on machines of every size, and the banner says what is there."""
import re

from framework import case


@case(cores=[1, 2, 4, 8])
def boot_prompt(t, cores):
    machine = t.boot(cores=cores)
    output = t.run(machine, "cores")
    online = re.findall(r"\bonline\b", output)
    t.equal(len(online), cores, "cores that are online")
    t.run(machine, "services")
    t.equal(machine.poweroff(), 0, "code of QEMU")


@case(cores=[1, 4], guests=[0, 1])
def boot_few_guest_files(t, cores, guests):
    """Domains beyond the guest files are reached through the kernels; nobody sees a difference."""
    machine = t.boot(cores=cores, guests=guests)
    t.run(machine, "ls /; cat /empty; services")


@case(cores=[16], memory=["128M", "4G"])
def boot_many_cores(t, cores, memory):
    machine = t.boot(cores=cores, memory=memory)
    output = t.run(machine, "cores")
    t.equal(len(re.findall(r"\bonline\b", output)), cores, "cores that are online")
    t.run(machine, "ls /")


@case(cores=[1, 4])
def boot_crowd(t, cores):
    """Two dozen services are loaded at once, on all cores; each is up."""
    machine = t.start(boot="build/boot-crowd.img", disk=None, cores=cores)
    machine.expect(r"up after \d+\.\d{3} ms", what="the banner")
    machine.expect(r"echo-23 .* up\n", what="its end")
    machine.type("\n")  # a prompt may have come before it
    machine.prompt()
    services = t.services(machine)
    crowd = [s for name, s in services.items() if name.startswith("echo-")]
    t.equal([s["state"] for s in crowd], ["up"] * 24, "states")
    t.check(len({s["core"] for s in crowd}) == cores, f"not all cores have some: {services}")


@case
def boot_reboots(t):
    """`reboot` starts the machine again; what was synced is there."""
    machine = t.boot(disk=t.disk())
    t.run(machine, "write /before some words; sync")
    machine.type("reboot\n")
    machine.expect("OpenSBI")
    machine.prompt()
    t.check("some words" in t.run(machine, "cat /before"), "/before does not hold what was written")
    t.equal(len(re.findall(r"^ *\d+ +\d+ online ", t.run(machine, "cores"), re.M)), 4, "cores that are there again")


@case
def boot_tells_why_it_died(t):
    """The line of a crash names the true reason: the assertion and its place, the stack that overflowed, a fiber's too."""
    machine = t.boot(disk=None)
    reasons = {"console assert": r"assertion failed at runtime/inject\.c:\d+ \(\S+\), pc 0x[0-9a-f]+ inject_fire\+",
               "fs assert": r"assertion failed at runtime/inject\.c:\d+ \(\S+\), pc 0x[0-9a-f]+ inject_fire\+",
               "console stack": r"stack overflow, 0x[0-9a-f]+ is below its stack at pc 0x[0-9a-f]+ exhaust_stack\+",
               "fs stack": r"stack overflow, 0x1[0-9a-f]{8} is below its stack at pc 0x[0-9a-f]+ exhaust_stack\+"}
    for how in list(reasons)[:3]:
        t.run(machine, f"crash {how}")
    t.run(machine, "inject fs fs.op stack 1; ls /")  # operations run in fibers, and their stacks lie in the heap
    told = t.run(machine, "log")
    for how, reason in reasons.items():
        t.check(re.search(rf"^{how.split()[0]} \(core .* died: {reason}", told, re.M), f"crash {how}: no line says {reason}")
        t.check(re.search(rf"passage \d+: {how.split()[1]}", told), f"no line says what was injected: {how}")
