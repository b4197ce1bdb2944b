"""Programs in VU-mode below a library OS (apps/vu): what they do, what their end is, and the death of the kernel below."""
import re

from framework import ROOT, case

SHOWN = """vu: hello: a program says that it runs in VU-mode
vu: hello ended with code 0 after 0 page faults
vu: touch ended with code 136 after 16 page faults
"""
ENDS = [r"vu: illegal: cause 2 at pc 0x100[0-9a-f]{2}", r"vu: endless was killed at pc 0x100[0-9a-f]{2}"]
STAY = """
[[service]]
name = "stayer"
image = "vu"
class = "library-os"
app = true
autostart = true
core = {core}
uses = ["*"]
argument = "stay"
watch = {{ hang_ms = 1000 }}
"""
ROUNDS = re.compile(r"vu: (\d+) and (\d+) rounds")


@case(guests=[0, 7])
def library_os_runs_programs(t, guests):
    """Each of them is taken for what it does, and its end is not that of others; the library OS answers pings meanwhile (hang_ms)."""
    machine = t.boot(disk=None, cores=2, guests=guests)
    for _ in range(3):
        output = t.run(machine, "run vu")
        t.check(SHOWN in output, f"vu says {output!r}")
        for end in ENDS:
            t.check(re.search(end, output), f"no {end!r} in {output!r}")
    _, status = machine.command("run vu wild")
    t.check(status and status >= 128, f"vu wild ended with status {status}")
    died = r"vu \(core \d, domain \d, epoch 1\) died: store to unmapped 0x20000008, in a program of its own at pc 0x100[0-9a-f]{2}"
    if not re.search(died, machine.text):  # the supervisor's line may come behind the prompt
        machine.expect(died, 60, "the crash")


@case
def reboot_below_library_os(t):
    """Two programs that compute and fault without end, and their kernel dies again and again: they go on in their round."""
    text = (ROOT / "systems/default.toml").read_text()
    machine = t.boot(disk=None, boot=str(t.image(text + STAY.format(core=2))), cores=4)
    said = [(0, 0)]
    for _ in range(4):
        at = len(machine.text)
        while True:  # lines that were said after the crash
            found = [tuple(map(int, pair)) for pair in ROUNDS.findall(machine.text[at:])]
            if found and found[-1][0] > said[-1][0] and found[-1][1] > said[-1][1]:
                break
            machine.expect(ROUNDS, 60, "rounds of both programs")
        said.append(found[-1])
        t.run(machine, "crash core 2 panic")
    t.equal(t.services(machine)["stayer"]["epoch"], 1, "the library OS's epoch")
    t.check("vu: over" not in machine.text, "a program has ended")
    print(f"     {t.case.name}: {said[1:]} rounds")
