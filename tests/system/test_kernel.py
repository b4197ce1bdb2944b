"""The kernel's own test (systems/kernel-test.toml): its program is the first domain and prints PASS or FAIL for each of
its tests, then the sums. FULL=1: 100,000 domains in the leak check, and all 100,000 doorbell round trips."""
import re

from framework import ROOT, case

SECONDS = 400        # failsafe; a quiet host needs about 60 s
FULL_SECONDS = 10800
SUMS = re.compile(r"kernel: (\d+) passed, (\d+) failed")
TESTS_AT_LEAST = 80


def run(t, word="", thousands=1, seconds=SECONDS, **options):
    toml = (ROOT / "systems/kernel-test.toml").read_text()
    toml = re.sub(r'^argument = .*$', f'argument = "{thousands} {word}"', toml, flags=re.M)
    machine = t.start(boot=str(t.image(toml)), disk=None, **options)
    sums = machine.expect(SUMS, seconds, "the sums of the kernel's test")
    failures = re.findall(r"^FAIL .*$", machine.text, re.M)
    t.equal(failures, [], "failures")
    t.equal(sums[2], "0", "failed tests")
    passed = int(sums[1])
    t.check(passed >= (1 if word else TESTS_AT_LEAST), f"only {passed} tests ran")
    machine.wait_end()
    return machine.text


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
