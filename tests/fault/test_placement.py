"""A component in the domain of another (docs/placement.md): what a crash takes is both, and what clients see of it is time."""
from campaign import begin, storm
from framework import FULL, ROOT, case

SYSTEM = "one-domain"
BOOT = str(ROOT / f"build/boot-{SYSTEM}.img")


def end(t, image, machine):
    t.run(machine, "sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)


@case
def one_domain_storm(t):
    """Faults of all kinds at points of both components, and kills."""
    image, campaign = begin(t, boot=BOOT)
    seconds = 120 if FULL else 6
    figures = storm(t, campaign.machine, f"{seconds} --only fs --seed 5 --quiet")
    t.check(figures["restarts"] >= seconds, f"{figures['restarts']} restarts are too few")
    points = t.points(campaign.machine, "fs")
    t.check({"blk.submit", "blk.complete", "fs.op"} <= set(points), f"points of one domain: {sorted(points)}")
    print(f"     {t.case.name}: {figures['injected']} injected, {figures['restarts']} restarts, {figures['ops']} operations/s")
    end(t, image, campaign.machine)


@case
def one_domain_killed_under_load(t):
    count = 1000 if FULL else 25
    image, campaign = begin(t, boot=BOOT)
    figures = storm(t, campaign.machine, f"3600 --only fs --count {count} --rate 20 --actions kill,hang --seed 3 --quiet")
    t.check(figures["restarts"] >= count, f"{figures['restarts']} restarts of {count}")
    end(t, image, campaign.machine)


@case
def one_domain_survives_what_it_stands_on(t):
    """The kernel below it dies, and the supervisor, which holds the other end of its vault."""
    image, campaign = begin(t, boot=BOOT)
    machine = campaign.machine
    t.run(machine, "write /kept before")
    core = t.services(machine)["fs"]["core"]
    for crash in ("crash supervisor illegal", f"crash core {core} panic", "crash fs illegal", "crash core 0 panic", "crash fs hang"):
        t.run(machine, crash, seconds=120)
        t.check("before" in t.run(machine, "cat /kept", seconds=120), f"/kept after '{crash}'")
        t.equal(campaign.workload(), [], f"the workload after '{crash}'")
    t.check(t.services(machine)["fs"]["epoch"] >= 4, "incarnations of fs")
    end(t, image, machine)


@case
def one_domain_without_its_device(t):
    """The component that should have it is absent, and fs falls back to memory, in each incarnation."""
    patient = (ROOT / f"systems/{SYSTEM}.toml").read_text().replace("hang_ms = 10,", "hang_ms = 2000,")  # a false hang would empty it
    machine = t.start(disk=None, boot=str(t.image(patient)))
    machine.prompt()
    log = t.run(machine, "log")  # at boot fs writes at the same time, into the same line
    t.check("fs starts without one of its components: this machine has no block device 0" in log, f"the log has {log!r}")
    for epoch in (1, 2, 3):
        t.run(machine, f"write /in-memory {epoch}")
        t.check(str(epoch) in t.run(machine, "cat /in-memory"), "what was written is not read back")
        t.check("FALLBACK" in t.run(machine, "df"), "df does not tell of the fallback")
        t.equal(t.services(machine)["fs"]["epoch"], epoch, "epoch of fs")
        t.run(machine, ("crash fs illegal", "crash supervisor illegal; crash fs wild", "sync")[epoch - 1], seconds=120)
