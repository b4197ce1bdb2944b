"""Kernels die: panic, wild jump, wild store; their harts are started again, and clients elsewhere see nothing but time."""
import re

from framework import FULL, ROOT, case

SERVED = re.compile(r"^core [\d,]+: \w+, served after ([\d.]+) (us|ms|s)", re.M)
CORE_ROW = re.compile(r"^ *(\d+) +(\d+) (\w+) +(\d+) +\d+ +\d+ ", re.M)


def cores(t, machine):
    """Core -> (state, incarnation)."""
    return {int(m[1]): (m[3], int(m[4])) for m in CORE_ROW.finditer(t.run(machine, "cores"))}


def system(t, more="", used="", **placed):
    """The default system, with some services on other cores, and more, which the shell may use."""
    text = (ROOT / "systems/default.toml").read_text()
    text = text.replace('"supervisor", "block0"]', f'"supervisor", "block0", "{used}"]') if used else text
    for name, core in placed.items():
        text = re.sub(rf'(name = "{name}"\n(?:image = .*\n)?)((?:app = true\n)?)(?:core = \d+\n)?', rf"\1\2core = {core}\n", text,
                      count=1)
    return str(t.image(text + more))


@case(how=["panic", "jump", "store"])
def reboot_each_core(t, how):
    """The kernel of each core but the supervisor's in turn; the shell runs beside the supervisor."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, shell=0), cores=4)
    t.run(machine, "write /kept before")
    times = []
    for round_ in range(2):
        for core in (1, 2, 3):
            before = cores(t, machine)
            times.append(milliseconds(t.run(machine, f"crash core {core} {how}")))
            t.check(times[-1], "no time was printed")
            t.run(machine, f"append /kept {round_}{core}")
            after = cores(t, machine)
            t.equal(after[core], ("online", before[core][1] + 1), f"core {core}")
            t.equal({c: s for c, s in after.items() if c != core}, {c: s for c, s in before.items() if c != core},
                    "the other cores")
    t.equal(words(t, machine, "/kept"), ["before", "01", "02", "03", "11", "12", "13"], "/kept")
    all_up(t, machine)
    ends_sound(t, machine, image)
    print(f"     {t.case.name}: fault to served request {' '.join(f'{x:.0f}' for x in times)} ms")


def milliseconds(text):
    match = SERVED.search(text)
    return match and float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]]


@case(full=True, rounds=[40])
def reboot_times_long(t, rounds):
    """Fault to served request, over many deaths: of blk's kernel, of fs's, and of one below nobody."""
    machine = t.boot(disk=t.disk(), boot=system(t, shell=0), cores=4)
    times = {core: [] for core in (1, 2, 3)}
    for round_ in range(rounds):
        for core, all_ in times.items():
            all_.append(milliseconds(t.run(machine, f"crash core {core} {('panic', 'jump', 'store')[round_ % 3]}")))
            t.run(machine, "append /kept x")
    for name, all_ in [*times.items(), ("all", sum(times.values(), []))]:
        all_ = sorted(all_)
        print(f"     core {name}: {len(all_)} deaths, median {all_[len(all_) // 2]:.0f} ms, p99 "
              f"{all_[min(len(all_) - 1, len(all_) * 99 // 100)]:.0f} ms, max {all_[-1]:.0f} ms")


@case(full=True, seconds=[60], storm=[0, 2])
def reboot_storm_long(t, seconds, storm):
    kernels_die_under_load(t, seconds, storm)


@case
def reboot_under_load(t):
    kernels_die_under_load(t, 6, 2)


def kernels_die_under_load(t, seconds, storm):
    """storm runs beside the supervisor, or beside fs, while the kernels below blk and fs die: no error, no wrong byte, a sound disk.
    A program goes on when the kernel below it dies."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, storm=storm), cores=4)
    output = t.run(machine, f"storm {seconds} --only blk,fs --actions core --rate 2 --seed 1 --quiet", seconds=900)
    match = re.search(r"^STORM ops_per_s (\d+) .*injected (\d+) restarts (\d+) errors 0 wrong 0$", output, re.M)
    t.check(match, f"the storm says {output[-800:]!r}")
    now = cores(t, machine)
    t.check(all(state == "online" for state, _ in now.values()), f"cores are {now}")
    t.equal((now[0][1], now[3][1]), (1, 1), "incarnations of the cores that nobody killed")
    t.check(now[1][1] + now[2][1] - 2 >= seconds // 2, f"too few kernels died: {now}")
    ends_sound(t, machine, image)
    print(f"     {t.case.name}: {match[1]} operations/s, {now[1][1] + now[2][1] - 2} kernels died")


EVERYTHING = "--only blk,fs,console,supervisor,echo3 --actions illegal,wild,stack,assert,kill,core"
# A victim on each core of a program, and a second storm, beside the shell, for what the first cannot kill: the kernel below itself.
VICTIM = """
[[service]]
name = "echo{core}"
image = "echo"
core = {core}
serves = ["echo{core}"]
restart = {{ burst = 1000, window_ms = 1000, delay_ms = 0, delay_max_ms = 0 }}
watch = {{ hang_ms = 50, request_ms = 1000 }}
"""
SECOND_STORM = """
[[service]]
name = "storm2"
image = "storm"
app = true
autostart = true
core = 3
memory = "16M"
uses = ["*"]
argument = "100000 --only echo4 --actions core,kill --rate {rate} --seed 5 --keep --quiet"
watch = {{ hang_ms = 0, request_ms = 4000 }}
"""


def deaths(t, machine):
    """How often each service died (a restart of the supervisor forgets the others' counts: epochs do not), and each kernel."""
    return ({name: s["epoch"] - 1 for name, s in t.services(machine).items() if name not in ("shell", "storm2")} |
            {f"kernel {core}": incarnation - 1 for core, (_, incarnation) in cores(t, machine).items()})


@case
def reboot_of_everything(t):
    """Every service but the shell, the supervisor, and the kernels of all five cores die in two storms, in each other's recovery
    too, below the storms and the shell as well, which go on. Full size: each 1,000 times."""
    image = t.disk(kind="ext4", block=4096)
    more = "".join(VICTIM.format(core=core) for core in (3, 4)) + SECOND_STORM.format(rate=6 if FULL else 3)
    machine = t.boot(disk=image, boot=system(t, more, shell=3, storm=4), cores=5)
    dead, operations = {}, 0
    for turn in range(60 if FULL else 1):
        output = t.run(machine, f"storm {60 if FULL else 12} {EVERYTHING} --rate {40 if FULL else 20} --seed {6 + turn} --quiet", seconds=900)
        match = re.search(r"^STORM ops_per_s (\d+) .*injected (\d+) restarts (\d+) errors 0 wrong 0$", output, re.M)
        t.check(match, f"storm {turn} says {output[-800:]!r}")
        t.equal(re.findall(r"storm: worker .*", output), [], "errors of the second storm")
        operations += int(re.search(r"operations (\d+)", output)[1])
        all_up(t, machine)
        dead = deaths(t, machine)
        print(f"     {t.case.name}: {dead}, {operations} operations", flush=True)
        if min(dead.values()) >= 1000:
            break
    t.check(min(dead.values()) >= (1000 if FULL else 2), f"too few deaths: {dead}")
    t.equal(t.services(machine)["shell"]["epoch"], 1, "epoch of the shell")
    ends_sound(t, machine, image)


@case
def reboot_of_the_shell(t):
    """The core of a client: the shell goes on there, in the middle of its command, on the channels that it had."""
    machine = t.boot(cores=4)
    for round_ in range(3):
        t.run(machine, f"crash core 3 {('panic', 'jump', 'store')[round_]}")
        t.equal(cores(t, machine)[3], ("online", 2 + round_), "core 3")
        t.run(machine, "cat /empty")
    t.equal(t.services(machine)["shell"]["epoch"], 1, "epoch of the shell")


@case
def reboot_restarts_what_is_damaged(t):
    """A domain goes on when its kernel has died, unless its text is not what was loaded."""
    machine = t.boot(boot=system(t, shell=0), cores=4)
    t.run(machine, "crash core 2")
    t.equal(t.services(machine)["fs"]["epoch"], 1, "epoch of fs")
    t.run(machine, "flip fs 0x200000 1")  # its first instruction: not needed again, unless it starts
    t.run(machine, "crash core 2")
    all_up(t, machine)
    t.equal(t.services(machine)["fs"]["epoch"], 2, "epoch of fs")
    t.run(machine, "crash fs")  # and its text was restored
    t.run(machine, "cat /empty")


@case
def reboot_of_the_supervisor(t):
    """Core 0: another core starts it again, its kernel the supervisor, and that adopts what runs."""
    image = t.disk()
    machine = t.boot(disk=image, cores=4)
    t.run(machine, "write /kept before")
    machine.type("crash core 0\n")
    machine.expect(r"domains adopted", seconds=60)
    machine.type("\n")
    machine.prompt()
    before = cores(t, machine)
    t.equal({c: i for c, (_, i) in before.items()}, {0: 2, 1: 1, 2: 1, 3: 1}, "incarnations")
    t.run(machine, "crash core 1")
    t.equal(words(t, machine, "/kept"), ["before"], "/kept")
    all_up(t, machine)
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)


@case
def reboot_of_a_silent_core(t):
    """Kernels that hang with interrupts off, which no firmware stops: below fs, then below blk, fs and nobody at once. Their text is taken from them."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, shell=0), cores=4)
    t.run(machine, "write /kept before")
    lives = {1: 1, 2: 1, 3: 1}
    for which in ("2", "1,2,3"):
        t.run(machine, f"crash core {which} hang", seconds=120)
        lives.update({int(core): lives[int(core)] + 1 for core in which.split(",")})
        t.equal({core: cores(t, machine)[core] for core in lives}, {core: ("online", n) for core, n in lives.items()}, "cores")
        t.run(machine, f"append /kept {which}")
    t.equal(words(t, machine, "/kept"), ["before", "2", "1,2,3"], "/kept")
    all_up(t, machine)
    ends_sound(t, machine, image)


@case
def reboot_is_refused(t):
    """A damaged supervisor says under load, over and over, that healthy kernels are silent: they answer, and nothing is done to them."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, SECOND_STORM.format(rate=2).replace("echo4 --actions core", "blk,fs --actions illegal"),
                                             shell=0), cores=4)
    before = cores(t, machine)
    times = 2000 if FULL else 100
    output = t.run(machine, f"doubt 1,2,3 {times}", seconds=120)
    said, answers = map(int, re.search(r"said to be silent (\d+) times, (\d+) answers", output).groups())
    t.equal((said, answers), (times, 3 * times), "answers of the kernels")
    t.equal(cores(t, machine), before, "cores")
    t.equal(re.findall(r"(?m)^.*(?:found this one silent|is lost|panics).*$", t.run(machine, "log")), [], "lines of the log")
    all_up(t, machine, but=["storm2"])
    t.run(machine, "crash core 1 hang", seconds=120)  # who does not answer is believed to be silent
    t.equal(cores(t, machine)[1], ("online", 2), "core 1")
    ends_sound(t, machine, image)


@case
def reboot_of_a_deaf_core(t):
    """One that hangs outside of its text cannot be stopped: it is fenced off, and its clients are told."""
    machine = t.boot(cores=4)
    machine.command("crash core 1 deaf", seconds=60)
    t.equal(cores(t, machine)[1][0], "lost", "core 1")
    t.check("core 1 is fenced off" in t.run(machine, "log"), "the log does not say so")
    output, status = machine.command("sha256 /all.txt")
    t.check(status != 0, f"a file was read from a lost disk: {output!r}")
    t.equal(cores(t, machine)[3][0], "online", "core 3")


def ends_sound(t, machine, image):
    t.run(machine, "sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)


def words(t, machine, path):
    """The words of a file, without lines of the supervisor that came between."""
    return [word for line in t.lines_of(machine, path) for word in line.split()]


def all_up(t, machine, but=()):
    """Every service is up; those that are coming back are waited for."""
    for _ in range(200):
        states = {name: s["state"] for name, s in t.services(machine).items() if name not in but}
        if set(states.values()) == {"up"}:
            return
        machine.command("echo")
    t.check(False, f"services are {states}")


@case(step=["claim", "finish"])
def reboot_dies_in_its_rebirth(t, step):
    dies_in_its_rebirth(t, step)


@case(full=True, step=["meet", "online"])
def reboot_dies_later_in_its_rebirth(t, step):
    dies_in_its_rebirth(t, step)


def dies_in_its_rebirth(t, step):
    """The reborn kernel dies three times more on its way, below blk and then below fs: nothing is lost."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, shell=0), cores=4)
    t.run(machine, "write /kept before")
    for core in (1, 2):
        t.run(machine, f"crash core {core} panic {step} 3")
        t.run(machine, f"append /kept {core}")
        t.equal(cores(t, machine)[core], ("online", 5), f"core {core}")
    t.equal(words(t, machine, "/kept"), ["before", "1", "2"], "/kept")
    all_up(t, machine)
    ends_sound(t, machine, image)


@case(core=[1, 2])
def reboot_without_a_record(t, core):
    """What the dead kernel left of blk, or of fs, does not check out: it is made anew, and whoever had a channel to it finds its way."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, shell=0), cores=4)
    t.run(machine, "write /kept before; sync")
    machine.command(f"crash core {core} spoil")
    t.check(f"core {core}: the record of domain 0 does not check out" in t.run(machine, "log"), "the log does not say so")
    all_up(t, machine)
    t.run(machine, f"crash core {core}")  # and the new record does
    t.run(machine, "append /kept after; sync")
    t.equal(words(t, machine, "/kept"), ["before", "after"], "/kept")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)


@case(console=[0, 2])
def reboot_without_the_supervisors_record(t, console):
    """The supervisor itself, and the console beside it: a new one adopts what runs, instead of starting a second file system on the
    same disk, and what has lost its channel to the console or the supervisor begins anew."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, console=console, shell=3), cores=4)
    t.run(machine, "write /kept before")
    machine.type("crash core 0 spoil\n")
    machine.expect(r"supervisor: (\d+) domains adopted", seconds=60)
    machine.type("\n")
    machine.prompt()
    t.run(machine, "append /kept after; sync")
    t.equal(words(t, machine, "/kept"), ["before", "after"], "/kept")
    all_up(t, machine)
    machine.kill()
    t.image_is_sound(image)


@case
def reboot_restarts_all_after_short_lives(t):
    """A kernel may die of a domain that goes on: after eight lives in a row that ended as soon as it was online, it lets none go on. So
    many are no reason to give it up. (The life before may have been short, too: hence six. On a busy host one may be longer: hence 16.)"""
    machine = t.boot(boot=system(t, shell=0), cores=4)
    for lives, goes_on in ((6, True), (16, False)):
        before = cores(t, machine)[2][1]
        t.run(machine, f"crash core 2 panic young {lives}")
        t.equal(cores(t, machine)[2], ("online", before + lives + 1), "core 2")
        all_up(t, machine)
        t.equal(t.services(machine)["fs"]["epoch"] == 1, goes_on, "fs went on")
    t.run(machine, "cat /empty")


@case
def reboot_gives_up(t):
    """A kernel that dies in each of its rebirths is fenced off, and its clients are told; the other cores go on."""
    machine = t.boot(boot=system(t, shell=0), cores=4)
    output, status = machine.command("crash core 1 panic meet 100")
    t.check(status != 0, f"it came back: {output!r}")
    t.check("core 1 is fenced off: its kernel does not get online any more" in t.run(machine, "log"), "the log does not say so")
    t.equal(cores(t, machine)[1][0], "lost", "core 1")
    output, status = machine.command("sha256 /all.txt")
    t.check(status != 0, f"a file was read from a lost disk: {output!r}")
    t.run(machine, "crash core 2")  # a reborn kernel hears who is fenced off, and does not wait for it
    t.run(machine, "crash core 3")


@case
def reboot_gives_up_the_supervisors(t):
    """The same with the supervisor's kernel, whose page then tells nothing of it: the next one, elsewhere, knows that it is not the first."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, console=2, shell=3), cores=4)
    t.run(machine, "write /kept before")
    machine.command("crash core 0 panic meet 100", seconds=60)
    t.check("domains adopted" in t.run(machine, "log"), "nothing was adopted")
    t.equal(t.services(machine)["supervisor"]["core"], 1, "the supervisor's core")
    t.run(machine, "append /kept after")
    t.equal(words(t, machine, "/kept"), ["before", "after"], "/kept")
    ends_sound(t, machine, image)


@case(full=True)
def reboot_hangs_in_its_rebirth(t):
    """Once: it is stopped and started again. Each time: it is given up."""
    machine = t.boot(boot=system(t, shell=0), cores=4)
    t.run(machine, "crash core 2 panic hang", seconds=120)
    t.equal(cores(t, machine)[2], ("online", 3), "core 2")
    output, status = machine.command("crash core 1 panic hang 100", seconds=120)
    t.check(status != 0, f"it came back: {output!r}")
    t.check("core 1 is fenced off: its kernel hangs in its rebirth" in t.run(machine, "log"), "the log does not say so")
    t.equal(cores(t, machine)[1][0], "lost", "core 1")
    t.run(machine, "crash core 2")  # nobody waits for it any more
    t.check("did not come up" not in t.run(machine, "log"), "core 2 waited for core 1")


@case(full=True)
def reboot_hangs_while_others_die(t):
    """A rebirth that hangs is given up in its time, however often other kernels die meanwhile."""
    machine = t.boot(boot=system(t, shell=0, storm=3), cores=5)
    machine.type("crash core 4 panic hang 100\n")
    machine.expect(r"core 4 panics")
    machine.type("\x03")
    machine.prompt()
    t.run(machine, "storm 20 --only blk,fs --actions core --rate 2 --seed 1 --quiet", seconds=900)
    t.check("core 4 is fenced off: its kernel hangs in its rebirth" in t.run(machine, "log"), "the log does not say so")


@case(full=True, dead=["0,1", "2,3"])
def reboot_of_two(t, dead):
    reboot_together(t, dead, 10)


@case(dead=["1,2", "0,1,2", "0,3"])
def reboot_of_several(t, dead):
    reboot_together(t, dead, 3)


def reboot_together(t, dead, rounds):
    """Kernels that die at once: of blk and fs, of the supervisor and others, of the shell. Who lives starts them again."""
    image = t.disk()
    shell = next(core for core in range(4) if str(core) not in dead) if dead != "0,3" else 3
    machine = t.boot(disk=image, boot=system(t, shell=shell), cores=4)
    t.run(machine, "write /kept before")
    for round_ in range(rounds):
        t.run(machine, f"crash core {dead} {('panic', 'jump', 'store')[round_ % 3]}")
        t.run(machine, f"append /kept {round_}")
        all_up(t, machine)
        expected = {core: 2 + round_ if str(core) in dead else 1 for core in range(4)}
        t.equal({core: n for core, (_, n) in cores(t, machine).items()}, expected, "incarnations")
    t.equal(words(t, machine, "/kept"), ["before"] + [str(n) for n in range(rounds)], "/kept")
    ends_sound(t, machine, image)


@case(full=True)
def reboot_of_a_silent_supervisor(t):
    """Core 0 hangs: the others notice by themselves, stop it and start it again, and its kernel the supervisor."""
    machine = t.boot(boot=system(t, console=2, shell=3), cores=4)
    t.run(machine, "write /kept before")
    machine.command("crash core 0 hang", seconds=120)
    t.equal(cores(t, machine)[0], ("online", 2), "core 0")
    t.equal(t.services(machine)["supervisor"]["core"], 0, "the supervisor's core")
    t.run(machine, "crash blk")
    t.equal(words(t, machine, "/kept"), ["before"], "/kept")


@case(full=True)
def reboot_of_a_deaf_supervisor(t):
    """Core 0 cannot be stopped: the others notice by themselves, and the supervisor begins anew on the lowest of them."""
    image = t.disk()
    machine = t.boot(disk=image, boot=system(t, console=2, shell=3), cores=4)
    t.run(machine, "write /kept before")
    machine.command("crash core 0 deaf", seconds=120)
    t.check("core 0 is fenced off" in t.run(machine, "log"), "the log does not say so")
    t.equal(cores(t, machine)[0][0], "lost", "core 0")
    t.equal(t.services(machine)["supervisor"]["core"], 1, "the supervisor's core")
    t.run(machine, "run fpu")
    t.run(machine, "crash blk")
    t.run(machine, "crash core 2")
    t.run(machine, "crash supervisor")
    t.run(machine, "append /kept after")
    machine.command("crash core 1")  # the new supervisor's kernel, with blk
    t.run(machine, "append /kept again")
    t.equal(words(t, machine, "/kept"), ["before", "after", "again"], "/kept")
    all_up(t, machine)
    t.equal(cores(t, machine)[0][0], "lost", "core 0")
    ends_sound(t, machine, image)


@case
def reboot_of_a_sleeper(t):
    """The same with the console on core 0, which wakes up when it has been fenced off: it reads that it must stop, and comes
    back without a supervisor. The console began anew elsewhere, the shell with it."""
    machine = t.boot(cores=4)
    machine.type("crash core 0 nap\n")
    machine.expect(r"core 0 is back as incarnation 2", seconds=60)
    machine.type("\n")
    machine.prompt()
    machine.command("color off")
    now = cores(t, machine)
    t.equal({core: n for core, (_, n) in now.items()}, {0: 2, 1: 1, 2: 1, 3: 1}, "incarnations")
    services = t.services(machine)
    t.equal(services["supervisor"]["core"], 1, "the supervisor's core")
    t.check(services["console"]["core"] != 0, "the console did not move")
    all_up(t, machine)
    t.run(machine, "run fpu")
    t.run(machine, "crash supervisor")
    t.run(machine, "crash core 0")
    t.run(machine, "crash core 1")
    t.run(machine, "cat /empty")


SERVER = """
[[service]]
name = "{name}"
image = "{name}"
core = 2
serves = ["{name}"]
restart = {{ burst = 1000, window_ms = 1000, delay_ms = 0, delay_max_ms = 0 }}
watch = {{ hang_ms = 50, request_ms = 1000 }}
"""
CLIENT = """
[[service]]
name = "{name}"
image = "{image}"
app = true
core = {core}
uses = ["*"]
watch = {{ hang_ms = 0, request_ms = 4000 }}
"""
BY_ITSELF = "autostart = true\n"


def server_dies_in_every_way(t, machine, name, seed):
    output = t.run(machine, f"storm 6 --only {name} --actions illegal,wild,kill,hang,core --rate 20 --seed {seed} --quiet", seconds=300)
    t.check(re.search(r"errors 0 wrong 0", output), f"storm says {output[-400:]!r}")


DOORS = SERVER.format(name="doors") + CLIENT.format(name="caller", image="doors", core=2) + BY_ITSELF
DOORS_SAY = re.compile(r"doors: (\d+) restarts, (\d+) calls")


@case
def reboot_beside_endpoints(t):
    """A caller and its server on one core, a kernel of another dies that the caller had asked for something: that is no end of its call."""
    beside = DOORS.replace("core = 2", "core = 0") + 'argument = "0 fs"\n'
    machine = t.boot(boot=system(t, beside), cores=4)
    for _ in range(12):
        t.run(machine, "crash core 2 panic")
    t.check("doors: " not in machine.text, "the caller met a restart or has ended")
    t.equal(cores(t, machine)[0], ("online", 1), "core 0")
    t.equal(t.services(machine)["caller"]["epoch"], 1, "epoch of the caller")
    t.check("store to unmapped" not in machine.text, "fs went on without the memory of a client that had closed its channel")


@case
def reboot_below_endpoints(t):
    """A server and its caller on one core: the server dies in every way, the kernel below both does; the caller goes on."""
    machine = t.boot(boot=system(t, DOORS + 'argument = "0"\n'), cores=4)
    server_dies_in_every_way(t, machine, "doors", seed=3)
    t.run(machine, "crash core 2 panic")
    said = [(int(restarts), int(calls)) for restarts, calls in DOORS_SAY.findall(machine.text)]
    t.check(said and said[-1][0] >= 16, f"the caller met too few restarts: {said}")
    t.check(said[-1][1] > said[0][1], f"the caller did not go on: {said}")
    t.check("doors: well" not in machine.text and len(re.findall(r"doors: \D", machine.text)) == 0, "the caller has ended")
    print(f"     {t.case.name}: {said[-1][0]} restarts and {said[-1][1]} calls at least")


LENDER = SERVER.format(name="lender") + CLIENT.format(name="asker", image="lender", core="{core}")
LENDER_SAY = re.compile(r"lender: (\d+) rounds, (\d+) epochs")


@case(core=[2, 3])
def reboot_below_grants(t, core):
    """A client that lends in fair ways and foul ones, on the server's core or another: the server dies in every way and at every step,
    and so do both kernels; no answer is wrong, nobody else dies, and memory can still be lent at the end."""
    machine = t.boot(boot=system(t, LENDER.replace("{core}", str(core)) + BY_ITSELF + 'argument = "0"\n', used="lender"), cores=4)
    server_dies_in_every_way(t, machine, "lender", seed=5)
    for point in ("take", "lent", "complete", "publish"):
        for passage in (1, 7):
            t.run(machine, f"inject lender runtime.{point} illegal {passage}")
    for point in ("sum", "share"):
        t.run(machine, f"inject lender lender.{point} wild 3")
    for victim in (core, 2):
        t.run(machine, f"crash core {victim} panic")
    t.run(machine, "run asker 300", seconds=300)  # what is still armed fires
    deaths = t.services(machine)["lender"]["faults"]
    output = t.run(machine, "run asker 300", seconds=300)
    t.check("lender: well after 300 rounds" in output, f"the last client says {output!r}")
    t.equal(t.services(machine)["lender"]["faults"], deaths, "deaths of the server that nobody ordered")
    said = [(int(rounds), int(epochs)) for rounds, epochs in LENDER_SAY.findall(machine.text)]
    t.check(max(epochs for _, epochs in said) >= 4, f"the client met too few incarnations: {said}")
    wrong = re.findall(r"lender: [^\d\n]*after \d+ rounds", machine.text.replace("lender: well after 300 rounds", ""))
    t.equal(wrong, [], "ends of clients")
    print(f"     {t.case.name}: {said[-1][0]} rounds and {max(epochs for _, epochs in said)} epochs at least")


def says(t, machine, text):
    """Somebody has said so, or says it while we wait."""
    for _ in range(1000):
        if text in machine.text:
            return
        t.run(machine, "cores")
    t.check(False, f"nobody says {text!r}")


def shares(core):
    """A client on that core that holds a share; nobody is restarted for being slow."""
    patient = re.sub(r"watch = .*", "watch = { hang_ms = 0, request_ms = 60000 }", LENDER.replace("{core}", str(core)))
    return patient + BY_ITSELF + 'argument = "hold"\n'


def goes_on(t, machine, epochs):
    t.check("lender: no more" not in machine.text, "the share has ended")
    services = t.services(machine)
    t.equal({name: services[name]["epoch"] for name in epochs}, epochs, "epochs")


@case(core=[2, 3])
def reboot_below_shares(t, core):
    """The server's kernel dies, and the client's, on the same core or another, while memory is shared, and while the server has clear
    pages in the place of what was taken back: both sides go on with what they had, and a share ends as any other."""
    machine = t.boot(boot=system(t, shares(core), used="lender"), cores=4)
    for number, victim in enumerate((2, core), 1):
        for phase in ("holds", "has taken back"):
            says(t, machine, f"lender: {phase} share {number}")
            t.run(machine, f"crash core {victim} panic")
    says(t, machine, "lender: holds share 3")
    goes_on(t, machine, {"lender": 1, "asker": 1})


@case
def reboot_below_both_sides_of_a_share(t):
    """The kernels of server and client die at once, and again before they have looked at what there was: whether the one is there in time
    to say what it has lent or not, and the server is restarted, the share goes on, can be taken back and ends."""
    machine = t.boot(boot=system(t, shares(3), used="lender"), cores=4)
    steps = ("", " claim 2", " claim 4")
    for number, step in enumerate(steps, 1):
        for phase in ("holds", "has taken back"):
            says(t, machine, f"lender: {phase} share {number}")
            t.run(machine, f"crash core 2,3 panic{step}")
    says(t, machine, f"lender: holds share {len(steps) + 1}")
    goes_on(t, machine, {"asker": 1})


@case
def reboot_below_both_sides_server_first(t):
    """The kernels of server and client die while the server has clear pages in the place of what was taken back, and the client's comes
    back last: a server that goes on keeps them, one that is restarted hears that the grant has ended."""
    machine = t.boot(boot=system(t, shares(3), used="lender", shell=0), cores=4)
    for number, (dooms, epoch) in enumerate((("claim 0,4", 1), ("meet,claim 1,4", 2)), 1):
        says(t, machine, f"lender: holds share {number}")
        t.run(machine, "crash core 2 panic")
        says(t, machine, f"lender: has taken back share {number}")
        t.run(machine, f"crash core 2,3 panic {dooms}")
        says(t, machine, f"lender: holds share {number + 1}")
        goes_on(t, machine, {"lender": epoch, "asker": 1})


@case
def reboot_of_a_deaf_core_with_grants(t):
    """A server's kernel dies with grants in its records that lie elsewhere, then with some of a size that no grant has: where they lie is
    heard of from the other side, and a share goes on. Its core is fenced off with memory of others: its owner hears that this will not
    come back, and lives, also when its own kernel's records are as bad."""
    machine = t.boot(boot=system(t, shares(3), used="lender", fs=1, shell=0), cores=4)
    for n in (1, 2):
        says(t, machine, f"lender: holds share {n}")
        t.run(machine, "crash core 2 grants")
        t.equal(cores(t, machine)[2], ("online", n + 1), "core 2")
        says(t, machine, f"lender: has taken back share {n}")
        goes_on(t, machine, {"lender": n, "asker": 1})  # what is told of a size is not believed before it is taken again
        t.run(machine, "crash core 1 panic")
    says(t, machine, "lender: holds share 3")
    machine.command("crash core 2 deaf", seconds=60)
    t.equal(cores(t, machine)[2][0], "lost", "core 2")
    gone = "the service is gone and its restart rule is exhausted"
    says(t, machine, f"lender: no more: {gone}; taken back: {gone}")
    t.equal(cores(t, machine)[3], ("online", 1), "core 3")
    t.run(machine, "crash core 3 grants")
    t.equal(cores(t, machine)[3], ("online", 2), "core 3")
    t.run(machine, "sha256 /all.txt")


RINGER = CLIENT.format(name="ringer", image="bells", core=3) + BY_ITSELF
BELLS = SERVER.format(name="bells") + RINGER + CLIENT.format(name="asker", image="bells", core=3)
BELLS_SAY = re.compile(r"bells: (\d+) incarnations, (\d+) rings")


@case
def reboot_below_notifications(t):
    """Two domains that wait for each other's signal and for no clock: the server dies in every way, its kernel and its client's kernel
    do; no signal is lost, for the first would be the last."""
    machine = t.boot(boot=system(t, BELLS, shell=0, storm=0), cores=4)
    said = machine.command("run asker fs")[0]
    t.check("bells: over" in said and "refused" in said, f"fs takes notifications: {said!r}")
    said = machine.command("run asker any")[0]
    t.check("100 signals, then the time, then the answer: its client took it back" in said, f"one wait for several things: {said!r}")
    first = len(machine.text)
    server_dies_in_every_way(t, machine, "bells", seed=4)
    for core in (2, 3, 2):
        t.run(machine, f"crash core {core} panic")
    at = len(machine.text)
    incarnations = t.services(machine)["bells"]["epoch"]
    for _ in range(4 * incarnations):  # until the ringer has met twice as many and says so
        t.run(machine, "crash bells kill")
        if BELLS_SAY.search(machine.text[at:]):
            break
    said = [(int(met), int(rings)) for met, rings in BELLS_SAY.findall(machine.text)]
    t.check(BELLS_SAY.search(machine.text[at:]) and said[-1][0] >= 16, f"the ringer does not go on: {said}")
    t.check("bells: over" not in machine.text[first:], "the ringer has ended")
    print(f"     {t.case.name}: {said[-1][0]} incarnations and {said[-1][1]} rings at least")


@case
def reboot_of_what_is_placed_together(t):
    """blk and shell on whatever core fs has: they work, they recover, also from the death of the kernel below all three."""
    text = (ROOT / "systems/default.toml").read_text()
    for name in ("blk", "shell"):
        text = re.sub(rf'(name = "{name}"\n)core = \d+\n', r'\1place = { same_core = "fs" }\n', text, count=1)
    image = t.disk()
    machine = t.boot(disk=image, boot=str(t.image(text)), cores=4)
    places = {name: s["core"] for name, s in t.services(machine).items()}
    t.equal({name: places[name] for name in ("blk", "shell")}, {"blk": places["fs"], "shell": places["fs"]}, "cores")
    output = t.run(machine, "storm 4 --seed 4 --quiet", seconds=300)
    t.check(re.search(r"errors 0 wrong 0", output), f"storm says {output[-400:]!r}")
    t.run(machine, f"crash core {places['fs']} panic")
    t.run(machine, "write /kept after")
    all_up(t, machine)
    ends_sound(t, machine, image)
