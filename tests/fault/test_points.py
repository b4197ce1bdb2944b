"""Fault campaign: each injection point of each server fires on its next passages, one after another, under a workload.

The workload sees no error and the right bytes each time; the service is back with a new epoch; at the end e2fsck finds
nothing on the image. "Fail the N-th passage until none fires": N grows until a workload passes the point fewer than N times.
A failure prints SERVICE:POINT:ACTION:N, which `make fault T='points_of[service=SERVICE]' ONLY='...'` repeats alone.
"""
import hashlib
import os

from framework import FULL, TestFailure, case

ACTIONS = ("illegal", "wild", "stack", "assert", "exit", "reply", "hang") if FULL else ("illegal", "hang")
PASSAGES_MAX = 200 if FULL else 2  # of one point and action
ONLY = os.environ.get("ONLY", "")
BYTES_FROM = "/all.txt"


def workload(t, machine, digest):
    """Writes, reads back, renames, removes, syncs; through console, shell, fs and blk."""
    t.run(machine, f"cp {BYTES_FROM} /fault-a; mv /fault-a /fault-b; sync")
    output = t.run(machine, "sha256 /fault-b")
    t.check(digest in output, f"sha256 of /fault-b is {output.split()[:1]}, not {digest}")
    t.run(machine, "mkdir /fault-d; write /fault-d/x some text; cat /fault-d/x; rm -r /fault-d /fault-b; sync")


def fire(t, machine, service, point, action, number, digest):
    """Arms one fault, runs the workload; True if it fired."""
    before = t.services(machine)[service]
    passages = t.points(machine, service).get(point, 0)
    t.run(machine, f"inject {service} {point} {action} {passages + number}")
    workload(t, machine, digest)
    after = t.services(machine)[service]
    t.equal(after["state"], "up", f"state of {service}")
    return after["epoch"] > before["epoch"]


def campaign(t, service):
    image = t.disk(size="48M", tree=small_tree(t))
    digest = hashlib.sha256((small_tree(t) / "all.txt").read_bytes()).hexdigest()
    machine = t.boot(disk=image)
    workload(t, machine, digest)
    fired = 0
    for point in sorted(t.points(machine, service)):
        for action in ACTIONS:
            for number in range(1, PASSAGES_MAX + 1):
                name = f"{service}:{point}:{action}:{number}"
                if ONLY and ONLY != name:
                    continue
                try:
                    if not fire(t, machine, service, point, action, number, digest):
                        break
                except TestFailure as failure:
                    raise TestFailure(f"{name}: {failure}\n     this one alone: ONLY='{name}' make fault "
                                      f"T='{t.case.name}'") from failure
                fired += 1
    t.check(fired > 0, f"no fault of {service} ever fired")
    t.run(machine, "sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)


def small_tree(t):
    """A tree with one file of 300 KiB of the real content."""
    tree = t.folder / "tree"
    if not tree.is_dir():
        tree.mkdir()
        (tree / "all.txt").write_bytes((t.tree / "all.txt").read_bytes()[:300 << 10])
    return tree


@case(service=["blk", "fs", "console"])
def points_of(t, service):
    campaign(t, service)
