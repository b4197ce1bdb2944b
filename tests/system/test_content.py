"""Content: what is read inside equals what the host wrote, and what is written inside is read by the host."""
import hashlib

from framework import case


def host_hashes(tree):
    return {"/" + str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}


def inside_hashes(output):
    lines = [line.split(None, 1) for line in output.splitlines()]
    return {words[1]: words[0] for words in lines if len(words) == 2 and len(words[0]) == 64}


@case(block=[1024, 2048, 4096])
def content_is_the_hosts(t, block):
    machine = t.boot(disk=t.disk(block=block))
    inside = inside_hashes(t.run(machine, "sha256 -r /"))
    for path, digest in host_hashes(t.tree).items():
        t.equal(inside.get(path), digest, f"sha256 of {path}")


@case(kind=["ext2", "ext4"])
def content_written_is_on_the_disk(t, kind):
    """Copies of a whole tree, renames, links, removals; then e2fsck and debugfs judge."""
    image = t.disk(block=1024 if kind == "ext4" else 4096, kind=kind)
    machine = t.boot(disk=image)
    t.run(machine, "mkdir /new; cp -r /doc /new/doc; mv /new/doc /new/moved; cp /all.txt /new/all.txt")
    t.run(machine, "ln /new/all.txt /new/hard; ln -s all.txt /new/soft; rm -r /doc; truncate /new/hard 1000000")
    t.run(machine, "append /new/log one; append /new/log two; sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)
    whole = (t.tree / "all.txt").read_bytes()
    t.equal(t.file_on(image, "/new/all.txt") == whole[:1000000], True, "content of /new/all.txt, cut by its hard link")
    t.equal(t.file_on(image, "/new/log"), b"one\ntwo\n", "content of /new/log")
    for path, digest in host_hashes(t.tree / "doc").items():
        t.equal(hashlib.sha256(t.file_on(image, "/new/moved" + path)).hexdigest(), digest, f"sha256 of {path}")


@case
def content_survives_power_off(t):
    """What was synced is there after the next power-on."""
    image = t.disk()
    machine = t.boot(disk=image)
    t.run(machine, "write /kept these words; sync")
    machine.kill()
    machine = t.boot(disk=image)
    output = t.run(machine, "cat /kept")
    t.check("these words" in output, f"/kept holds {output!r}")
