"""What the fault campaigns share: a workload with known results, one injected fault, the counters around it.

A fault has an id, SERVICE:POINT:ACTION:PASSAGE (POINT `any`: the first that is passed). FAULT=id in the environment runs
that one alone, on every case that covers its service.
"""
import os
import re
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass

from framework import ROOT

ACTIONS = ["illegal", "wild", "stack", "assert", "exit", "hang", "reply"]
ONLY = os.environ.get("FAULT", "")
STATUS = re.compile(r"^=(\d+)$", re.M)
STORM = re.compile(r"^STORM ops_per_s (\d+) kib_per_s (\d+) injected (\d+) restarts (\d+) errors (\d+) wrong (\d+)$",
                   re.M)


@dataclass(frozen=True)
class Fault:
    service: str
    point: str
    action: str
    passage: int

    @property
    def id(self):
        return f"{self.service}:{self.point}:{self.action}:{self.passage}"


def chosen(faults):
    return [f for f in faults if not ONLY or f.id == ONLY]


class Campaign:
    """Injects faults one after another on one machine; each is followed by the workload and a look at the counters."""

    def __init__(self, t, machine):
        self.t, self.machine, self.number = t, machine, 0
        self.count = Counter()
        self.problems = []

    def workload(self):
        """Creates, appends, copies, renames, reads, removes, syncs; the words of everything that was wrong."""
        self.number += 1
        n = self.number
        folder, text = f"/fault{n}", f"text {n} of the campaign"
        commands = [f"mkdir {folder}", f"write {folder}/a {text}", f"append {folder}/a more", f"cp {folder}/a {folder}/b",
                    f"mv {folder}/b {folder}/c", "sync", f"cat {folder}/c", f"rm -r {folder}", f"sha256 {self.t.whole}"]
        output, status = self.machine.command("; ".join(f"{c}; echo =$?" for c in commands))
        wrong = []
        if status is None:
            return ["the shell died"]
        statuses = STATUS.findall(output)
        if statuses != ["0"] * len(commands):
            wrong.append(f"exit statuses {' '.join(statuses)}: {output.strip()[-300:]!r}")
        if f"{text}\nmore\n" not in output:
            wrong.append(f"the copy reads {output!r}")
        if self.t.whole_digest not in output:
            wrong.append(f"sha256 of {self.t.whole} is another")
        return wrong

    def inject(self, fault):
        before = self.t.services(self.machine)[fault.service]
        _, status = self.machine.command(f"inject {fault.service} {fault.point} {fault.action} {fault.passage}")
        wrong = [] if status == 0 else [f"inject gave status {status}"]
        wrong += self.workload()
        after = self.t.services(self.machine)[fault.service]
        fired = after["restarts"] > before["restarts"]
        self.count["injected"] += 1
        self.count["activated"] += fired
        if after["state"] != "up":
            wrong.append(f"{fault.service} is {after['state']}")
        if after["epoch"] - before["epoch"] != after["restarts"] - before["restarts"]:
            wrong.append(f"epoch went from {before['epoch']} to {after['epoch']}, restarts from {before['restarts']} "
                         f"to {after['restarts']}")
        if fired and not wrong:
            self.count["recovered"] += 1
        self.problems += [f"{fault.id}: {w} (again: FAULT={fault.id})" for w in wrong]
        return fired

    def disarm(self, service):
        """A fault that has not fired lies in the memory of the service: a restart removes it."""
        self.machine.command(f"restart {service}")

    def end(self):
        c = self.count
        print(f"     {self.t.case.name}: {c['injected']} injected, {c['activated']} activated, {c['recovered']} "
              f"recovered, {len(self.problems)} problems")
        self.t.check(not self.problems, "; ".join(self.problems[:5]))


def begin(t, kind="ext2", **options):
    """A machine with a disk of its own, and a campaign on it."""
    import hashlib
    t.whole = "/all.txt"
    t.whole_digest = hashlib.sha256((t.tree / "all.txt").read_bytes()).hexdigest()
    image = t.disk(kind=kind)
    return image, Campaign(t, t.boot(disk=image, **options))


def finish(t, image, campaign):
    """The disk is judged by others, then the counts."""
    t.equal(campaign.machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)
    campaign.end()


def functions_of(elf):
    """Name -> (address, bytes) of the functions of an image."""
    lines = subprocess.run(["riscv64-unknown-elf-nm", "-S", str(elf)], capture_output=True, text=True, check=True).stdout
    return {name: (int(address, 16), int(size, 16))
            for address, size, name in re.findall(r"^([0-9a-f]+) ([0-9a-f]+) [tT] (\S+)$", lines, re.M)}


def text_at(elf, address, size):
    """Bytes of an image's text."""
    data = elf.read_bytes()
    at, header, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    for i in range(count):
        _, _, offset, gpa, _, length = struct.unpack_from("<IIQQQQ", data, at + i * header)
        if gpa <= address and address + size <= gpa + length:
            return data[offset + address - gpa:][:size]
    raise ValueError(f"{elf}: nothing lies at 0x{address:x}")


def poke(t, machine, service, address, mask):
    """Flips those bits of the running service."""
    t.run(machine, f"flip {service} 0x{address - address % 8:x} 0x{mask << address % 8 * 8:x}")


def storm(t, machine, words, limit=900):
    """Runs storm; returns its figures. A client error or a wrong byte fails the case."""
    output, status = machine.command(f"storm {words}", seconds=limit)
    match = STORM.search(output)
    t.check(match, f"storm {words} printed no result: {output[-600:]!r}")
    figures = dict(zip(("ops", "kib", "injected", "restarts", "errors", "wrong"), map(int, match.groups())))
    t.equal((status, figures["errors"], figures["wrong"]), (0, 0, 0),
            f"exit status, client errors, wrong bytes of storm {words} ({output[-1500:]!r})")
    return figures


C_RET = 0x8082


def lame(t, machine, service, function):
    """That function of the running service returns at once from now on."""
    elf = ROOT / f"build/images/{service}.elf"
    address, _ = functions_of(elf)[function]
    poke(t, machine, service, address, int.from_bytes(text_at(elf, address, 2), "little") ^ C_RET)
