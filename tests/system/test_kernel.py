"""The kernel's own test (systems/kernel-test.toml): its program is the first domain and prints PASS or FAIL for each of
its tests, then the sums. FULL=1: 100,000 domains in the leak check, and all 100,000 doorbell round trips."""
import re
import subprocess

from framework import ROOT, case

SECONDS = 400        # failsafe; a quiet host needs about 60 s
FULL_SECONDS = 10800
SUMS = re.compile(r"kernel: (\d+) passed, (\d+) failed")
TESTS_AT_LEAST = 80


def begin(t, word, thousands=1, **options):
    toml = (ROOT / "systems/kernel-test.toml").read_text()
    toml = re.sub(r'^argument = .*$', f'argument = "{thousands} {word}"', toml, flags=re.M)
    return t.start(boot=str(t.image(toml)), disk=None, **options)


def run(t, word="", thousands=1, seconds=SECONDS, **options):
    machine = begin(t, word, thousands, **options)
    sums = machine.expect(SUMS, seconds, "the sums of the kernel's test")
    failures = re.findall(r"^FAIL .*$", machine.text, re.M)
    t.equal(failures, [], "failures")
    t.equal(sums[2], "0", "failed tests")
    passed = int(sums[1])
    t.check(passed >= (1 if word else TESTS_AT_LEAST), f"only {passed} tests ran")
    machine.wait_end()
    return machine.text


def supervisor_ends(t, word, why, cores):
    """A test that ends the supervisor: by its kernel, which says so, and starts the next one."""
    machine = begin(t, word, cores=cores)
    machine.expect(f"the supervisor stopped: {why}", SECONDS, "the end of the supervisor")
    machine.expect(r"FAIL start: epoch 2", SECONDS, "its next incarnation")
    return machine


@case(cores=[1, 2])
def kernel_ends_who_ignores_complaints(t, cores):
    """A supervisor that takes complaints about itself and lives on is ended by its kernel at the third."""
    machine = supervisor_ends(t, "alone.complaints", "kind 6, cause 2,", cores)
    t.check("a complaint is ignored" in machine.text, "it was ended at the first")  # the second is at times not said any more
    machine.wait_end()


@case(cores=[1, 2])
def kernel_ends_who_hears_no_complaints(t, cores):
    """The same for one that takes no events at all, though it lives. Its next incarnation does not hear of it."""
    machine = supervisor_ends(t, "alone.unheard", "kind 6, cause 2,", cores)
    machine.wait_end()
    t.check(cores > 1 or " 0 complaints" in machine.text, "a complaint about the former one reached the next")  # beside it they go on


@case(cores=[1, 2])
def kernel_outlives_a_ring_of_the_dead(t, cores):
    """A supervisor is ended by a call of its own ring, with others under way and behind it."""
    machine = supervisor_ends(t, "alone.ring", "kind 5,", cores)
    t.check("panics" not in machine.text, "a kernel died of it")
    machine.wait_end()


def figures(text, name):
    """[{word: number}] of the lines FIGURE name ..."""
    lines = re.findall(rf"^FIGURE {name} (.*)$", text, re.M)
    return [dict(re.findall(r"([a-z]+) (\d+)", line)) | {"line": line} for line in lines]


@case(cores=[1, 2, 4, 8], guests=[7])
@case(cores=[2, 4], guests=[1, 0])
@case(full=True, cores=[1, 8], guests=[1, 0])
def kernel_all(t, cores, guests):
    run(t, cores=cores, guests=guests)


@case(full=True, cores=[1, 4])
def kernel_leaks(t, cores):
    """100,000 domains with channels and mappings: every core has the frames that it had."""
    text = run(t, "leak", 100, FULL_SECONDS, cores=cores)
    t.check(any("domains 100000" in f["line"] for f in figures(text, "leaks")), "not 100,000 domains")


@case(full=True, cores=[2, 4])
def kernel_doorbells(t, cores):
    """100,000 round trips in spin and in sleep mode: neither kernel took a trap."""
    text = run(t, "doorbell.direct", 100, FULL_SECONDS, cores=cores)
    lines = [f["line"] for f in figures(text, "doorbell")]
    for mode in ("spin", "sleep"):
        t.check(any(re.match(rf"{mode} direct rounds 100000 ns \d+ traps 0 0$", line) for line in lines),
                f"no 100,000 {mode} rounds without traps in {lines}")


ATOMICS = {"named": ".option arch, +a; amoadd.w a0, a1, (a2)", "word": ".word 0x1005202f", "insn": ".insn 4, 0x00b5352f",
           "none": ".word 0x0000100f; .insn 4, 0xc0001073"}  # a fence, and a trap


@case(written=list(ATOMICS))
def kernel_check_sees_atomics(t, written):
    """The build's check of the linked kernel: an atomic instruction is found also where it is written as a number."""
    program = t.folder / "program.elf"
    subprocess.run(["riscv64-unknown-elf-gcc", "-march=rv64imc_zicsr_zifencei", "-mabi=lp64", "-nostdlib", "-Wl,-e,0", "-x",
                    "assembler", "-o", program, "-"], input=f".type inside, @function; inside: {ATOMICS[written]}; ret\n", text=True, check=True)
    done = subprocess.run(["tools/check-kernel.sh", program], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    atomic = written != "none"
    t.equal(done.returncode, int(atomic), f"exit status ({done.stderr!r})")
    t.equal("atomic instructions" in done.stderr and "<inside>" in done.stderr, atomic, "whether it says where")
