"""A disk that refuses writes for good: the commit is given up, what was durable stays readable, also when the server dies then,
everybody is told, and the next boot with a good disk finds all that was synced.

QEMU's blkdebug refuses one block in the midst of the journal, or everything after a number of writes. What must be there is known by
the acknowledgements of sync alone. Nothing is committed but by a sync (commit=600000).
"""
import re
import shutil
import subprocess

from framework import ROOT, case

ROUNDS = 60
WRITES = 100  # that the disk takes in the case in which it refuses all that come later
LOST = "the outcome was lost"


def journal_sector(image, index, block):
    """Where the journal has its block of this number."""
    said = subprocess.run(["/sbin/debugfs", "-R", f"bmap <8> {index}", str(image)], capture_output=True, text=True).stdout
    return int(said.split()[0]) * block // 512


def refusals(what, image, block):
    """For blkdebug."""
    if what == "journal":
        return (f'[inject-error]\nevent = "none"\niotype = "write"\nerrno = "5"\nsector = "{journal_sector(image, 50, block)}"\n')
    text = "".join(f'[set-state]\nevent = "write_aio"\nstate = "{i}"\nnew_state = "{i + 1}"\n' for i in range(1, WRITES))
    for event, iotype in (("write_aio", "write"), ("flush_to_disk", "flush")):
        text += f'[inject-error]\nevent = "{event}"\nstate = "{WRITES}"\niotype = "{iotype}"\nerrno = "5"\n'
    return text


def until_refused(t, machine):
    """A file and a sync, until a sync fails; returns the files whose sync succeeded. fs dies of the first commit that fails, for it may be
    what is wrong; its successor is believed, and who asks for the sync is the one that hears of the loss."""
    kept = {}
    for number in range(ROUNDS):
        t.run(machine, f"write /kept{number} {number} is durable")
        output, status = machine.command("sync")
        if status != 0:
            t.check(LOST in output, f"the sync that failed says {output!r}")
            t.run(machine, "cat /kept0")  # nobody hears of it twice; and fs is back behind it, and has said what it had to say
            t.equal(machine.text.count("!refusal_is_doubted(error)"), 1, "deaths of commits that failed")
            return kept
        kept[f"/kept{number}"] = f"{number} is durable\n"
    return t.check(False, f"{ROUNDS} commits did not meet what the disk refuses")


def is_read_only(t, machine, kept):
    """What was durable is read; nothing is changed any more."""
    for path, text in kept.items():
        t.equal(t.lines_of(machine, path), text.splitlines(), f"content of {path}")
    for command in ("write /more x", "append /kept0 x", "mkdir /more", "mv /kept0 /more", "rm /kept0"):
        output, status = machine.command(command)
        t.check(status != 0 and "read-only" in output, f"'{command}' ended with {status}: {output!r}")
    for command in ("sync", "sync /kept0", "sync -d /kept0"):
        output, status = machine.command(command)
        t.check(status != 0 and "the device reported an error" in output, f"'{command}' ended with {status}: {output!r}")


def judge(t, image, kept, journal_notes, volume_notes):
    """e2fsck replays the journal on a copy, finds nothing, and all that was synced is there. What the superblocks say of errors."""
    copy = t.folder / "copy.img"
    shutil.copyfile(image, copy)
    said = subprocess.run(["/sbin/dumpe2fs", "-h", str(copy)], capture_output=True, text=True).stdout
    t.equal(bool(re.search(r"^Journal errno: +-5$", said, re.M)), journal_notes, "whether the journal's superblock notes the error")
    t.equal(bool(re.search(r"^Filesystem state: +clean with errors$", said, re.M)), volume_notes, "whether the volume's superblock does")
    t.equal(re.findall(r"^(?:FS Error count|First error err): +(\S+)$", said, re.M), ["1", "EIO"] if volume_notes else [], "errors that it counts")
    done = subprocess.run(["/sbin/e2fsck", "-fp", str(copy)], capture_output=True, text=True)
    t.check(done.returncode <= 1, f"e2fsck -fp ended with {done.returncode}:\n{done.stdout[-2000:]}")
    t.image_is_sound(copy)
    for path, text in kept.items():
        t.equal(t.file_on(copy, path), text.encode(), f"content of {path} after e2fsck")


@case(what=["journal", "everything", "everything of ext2"])
def device_refuses_for_good(t, what):
    kind = "ext2" if "ext2" in what else "ext4"
    image = t.disk(block=1024, kind=kind, size="24M")
    rules = t.folder / "rules.conf"
    rules.write_text(refusals(what, image, 1024))
    text = (ROOT / "systems/default.toml").read_text().replace('name = "fs"\n', 'name = "fs"\nargument = "commit=600000"\n', 1)
    boot = str(t.image(text))
    machine = t.boot(disk=f"blkdebug:{rules}:{image}", boot=boot)
    kept = until_refused(t, machine)
    t.check(kept, "not one commit succeeded")
    flagged = what == "journal"
    is_read_only(t, machine, kept)
    for death in ("kill", "wild"):
        t.run(machine, f"crash fs {death}")
        is_read_only(t, machine, kept)
    t.equal("nor does it let the volume be flagged" in t.run(machine, "log"), not flagged, "whether the log says that it could not be flagged")
    machine.kill()
    if kind == "ext4":
        judge(t, image, kept, flagged, flagged)
    machine = t.boot(disk=image, boot=boot)
    t.equal("the journal notes error" in machine.text, flagged, "whether the next boot says that the journal notes an error")
    for path, text in kept.items():
        t.equal(t.lines_of(machine, path), text.splitlines(), f"content of {path} after a boot with a good disk")
    t.run(machine, "write /more this disk takes it; sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    if kind == "ext4":
        judge(t, image, kept | {"/more": "this disk takes it\n"}, False, flagged)
