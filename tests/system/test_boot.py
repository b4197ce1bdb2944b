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
