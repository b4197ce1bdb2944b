"""The journal: the machine is killed without notice; e2fsck and the next boot find what was synced, and no damage."""
import hashlib
import shutil
import subprocess

from framework import case
from test_content import host_hashes, inside_hashes


def journal_is_sound(t, image):
    """On a copy: e2fsck replays the journal, and finds nothing then."""
    copy = t.folder / "copy.img"
    shutil.copyfile(image, copy)
    done = subprocess.run(["/sbin/e2fsck", "-fy", "-E", "journal_only", str(copy)], capture_output=True, text=True)
    t.equal(done.returncode, 0, f"e2fsck -E journal_only:\n{done.stdout[-2000:]}")
    t.image_is_sound(copy)
    return copy


@case(block=[1024, 4096])
def journal_power_cut(t, block):
    """Killed twice in the middle of copies and removals, with a death of fs before the second cut."""
    image = t.disk(block=block, kind="ext3")
    tree = host_hashes(t.tree / "doc")
    for cut in (1, 2):
        machine = t.boot(disk=image)
        if cut == 2:
            t.check("replayed" in machine.text, "the second boot did not replay the journal")
        t.run(machine, f"cp -r /doc /kept{cut}; sync")
        if cut == 2:
            t.run(machine, "crash fs wild")
        machine.enter(f"cp -r /doc /half{cut}; echo the copy ends; rm -r /half{cut}; cp -r /doc /half{cut}; sync; rm -r /half{cut}")
        machine.expect("the copy ends\r?\n")
        machine.kill()
        copy = journal_is_sound(t, image)
        for path, digest in tree.items():
            there = hashlib.sha256(t.file_on(copy, f"/kept{cut}{path}")).hexdigest()
            t.equal(there, digest, f"sha256 of /kept{cut}{path} after the cut, as e2fsck replayed it")
    machine = t.boot(disk=image)
    for cut in (1, 2):
        inside = inside_hashes(t.run(machine, f"sha256 -r /kept{cut}"))
        for path, digest in tree.items():
            t.equal(inside.get(f"/kept{cut}{path}"), digest, f"sha256 of /kept{cut}{path}")
    t.run(machine, "rm -r /half1; rm -r /half2; rm -r /kept1; rm -r /kept2; sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    journal_is_sound(t, image)


@case
def fsync_power_cut(t):
    """`sync FILE` and `sync -d FILE` return, and the machine is killed: the file is there, with a name."""
    image = t.disk(block=1024, kind="ext3")
    for number, option in enumerate(("", "-d ")):
        machine = t.boot(disk=image)
        name = f"/synced{number}"
        t.run(machine, f"write {name} {number} this must stay")
        t.run(machine, f"sync {option}{name}; sync {option}/")
        machine.kill()
        copy = journal_is_sound(t, image)
        t.equal(t.file_on(copy, name), f"{number} this must stay\n".encode(), f"content of {name} after the cut")
    machine = t.boot(disk=image)
    t.check("no such name" in t.run(machine, "sync /missing; true"), "sync of a missing file says so")
    t.equal(machine.poweroff(), 0, "code of QEMU")
