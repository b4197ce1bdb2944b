"""Framework of the tests that boot Planaria in QEMU.

A test is a function in tests/system/test_*.py or tests/fault/test_*.py:

    from framework import case

    @case(cores=[1, 2, 4, 8])              # one case for each; all parameters are combined
    def boot_prompt(t, cores):
        machine = t.boot(cores=cores)      # waits for the prompt
        output, status = machine.command("services")
        t.equal(status, 0, "exit status of services")

`full=True` keeps a case for FULL=1. A case passes when its function returns. It waits for events only; each wait has a
generous failsafe limit (tools/qemu.py). Every machine's console is kept in build/log/KIND/CASE*.log.
"""
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from boot_image import make_boot_image  # noqa: E402
from disk import default_tree, make_disk  # noqa: E402
from manifest import read_system  # noqa: E402
from qemu import Machine, MachineError, Options  # noqa: E402,F401

FULL = os.environ.get("FULL", "") not in ("", "0")
NEWS = re.compile(r"supervisor: |machine: |core \d|\S+ is back as |\S+ \(core \d")  # lines that come between a command's
# A row of `services`; crash lines may stand between the rows.
SERVICE_ROW = re.compile(r"^(\S+) +(\d+) +(\d+) +(\d+) (\w+) +(\d+) +(\d+) +(\d+) +\d+ \w+ ", re.M)
CASES = []
machines = set()  # running, so that an interrupted run leaves none behind


class TestFailure(Exception):
    pass


class Case:
    def __init__(self, function, values, full):
        self.function, self.values, self.full = function, values, full
        parameters = ",".join(f"{k}={v}" for k, v in values.items())
        self.name = function.__name__ + (f"[{parameters}]" if parameters else "")
        self.kind = Path(function.__code__.co_filename).parent.name


def case(function=None, full=False, **parameters):
    """Registers a test, once for each combination of the parameters' values."""
    def register(function):
        for values in itertools.product(*parameters.values()):
            CASES.append(Case(function, dict(zip(parameters, values)), full))
        return function
    return register(function) if function else register


class Test:
    """What a case works with: machines, disks, checks. Everything it makes is gone at its end but the logs."""

    def __init__(self, case):
        self.case = case
        self.full = FULL
        safe = "".join(c if c.isalnum() or c in "-_=." else "-" for c in case.name).strip("-")
        self.folder = ROOT / "build" / "tmp" / case.kind / safe
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log_stem = ROOT / "build" / "log" / case.kind / safe
        self.logs = []
        self.machines = []

    def start(self, disk="default", control=False, **options):
        """Powers a machine on, without waiting. disk: "default" (writes are dropped), None, or the path of an image.
        Other options: those of tools/qemu.py."""
        options = Options(**options)
        if disk == "default":
            options.disk, options.snapshot = str(pristine_disk()), True
        else:
            options.disk = None if disk is None else str(disk)
        log = f"{self.log_stem}{f'.{len(self.logs) + 1}' if self.logs else ''}.log"
        self.logs.append(log)
        machine = Machine(options, log, control=control)
        self.machines.append(machine)
        machines.add(machine)
        return machine

    def boot(self, **options):
        """Powers a machine on and waits for its prompt; colours off."""
        machine = self.start(**options)
        machine.prompt()
        machine.command("color off")
        return machine

    def disk(self, size="64M", block=None, kind="ext2", tree=None, extra=(), name="disk.img"):
        """A fresh disk image of this case's own. tree: folder of its content, default: build/disk-tree."""
        image = self.folder / name
        make_disk(image, size, block, kind, tree, extra)
        return image

    def image(self, toml, images=None, name="boot.img", only=None):
        """A boot image of the given manifest text; images: name -> ELF bytes that replace or add to the built ones; only: the built
        ones that it holds, all if None."""
        path = self.folder / (name + ".toml")
        path.write_text(toml)
        built = {p.stem: p.read_bytes() for p in (ROOT / "build/stripped").glob("*.elf") if only is None or p.stem in only}
        built.update(images or {})
        boot = self.folder / name
        boot.write_bytes(make_boot_image(read_system(path, set(built)), built, ROOT / "systems/fallback"))
        return boot

    def services(self, machine):
        """What `services` says: name -> {"core", "domain", "epoch", "state", "restarts", "faults", "hangs"}."""
        rows = {}
        for match in SERVICE_ROW.finditer(self.run(machine, "services")):
            name, core, domain, epoch, state, restarts, faults, hangs = match.groups()
            rows[name] = {"core": int(core), "domain": int(domain), "epoch": int(epoch), "state": state,
                          "restarts": int(restarts), "faults": int(faults), "hangs": int(hangs)}
        return rows

    def points(self, machine, service):
        """Injection points of a service that were passed: name -> passages."""
        rows = re.findall(r"^(\w+\.[\w.]+) +(\d+) ", self.run(machine, f"points {service}"), re.M)
        return {name: int(passages) for name, passages in rows}

    def image_is_sound(self, image):
        """e2fsck finds nothing on the image, after what each mount does first: on a copy, the journal is replayed. Whoever is still at
        work when the power goes off may be in the middle of a commit. Returns the copy."""
        copy = self.folder / "judged.img"
        shutil.copyfile(image, copy)
        subprocess.run(["/sbin/e2fsck", "-fy", "-E", "journal_only", str(copy)], capture_output=True)
        done = subprocess.run(["/sbin/e2fsck", "-fn", str(copy)], capture_output=True, text=True)
        self.equal(done.returncode, 0, f"e2fsck -fn:\n{done.stdout[-2000:]}")
        return copy

    def file_on(self, image, path):
        """The bytes of a file on an image, read by debugfs."""
        return subprocess.run(["/sbin/debugfs", "-R", f"cat {path}", str(image)], capture_output=True).stdout

    @property
    def tree(self):
        """The folder whose files are on the default disk."""
        return default_tree()

    def check(self, truth, sentence):
        if not truth:
            raise TestFailure(sentence)

    def equal(self, got, expected, what):
        if got != expected:
            raise TestFailure(f"{what}: expected {expected!r}, got {got!r}")

    def lines_of(self, machine, path):
        """The lines of a file that has no empty ones, without the supervisor's, which may come between."""
        return [line for line in self.run(machine, f"cat {path}").splitlines() if line and not NEWS.match(line)]

    def run(self, machine, text, **options):
        """A command that must end with status 0; returns its output."""
        output, status = machine.command(text, **options)
        self.equal(status, 0, f"exit status of '{text}' ({output.strip()[-300:]!r})")
        return output

    def close(self):
        for machine in self.machines:
            machine.kill()
            machines.discard(machine)
        shutil.rmtree(self.folder, ignore_errors=True)


def pristine_disk():
    """The default content, never written to: machines use it with snapshot=on."""
    image = ROOT / "build" / "disk-pristine.img"
    if not image.exists():
        make_disk(image)
    return image
