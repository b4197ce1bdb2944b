"""The Linux side: an initramfs of Debian's modules and our static programs, and a machine that runs it.

`make linux-side` has put kernel, modules and programs into build/linux. The machine is the one that Planaria gets from
tools/qemu.py, with another kernel in it.
"""
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from boot_image import align, cpio_entry  # noqa: E402
from qemu import Machine, Options  # noqa: E402

FOLDER = ROOT / "build/linux"
# In the order of loading. A kernel that has one built in has no file of it.
MODULES = ("crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4", "virtio_blk")
MOUNT_POINTS = ("dev", "proc", "sys", "disk", "modules", "bench")
BOOT_SECONDS = 600     # failsafe: 3 s on a quiet host
SCRIPT_SECONDS = 1800  # failsafe: the programs of all rows; 40 s on a quiet host
DIRECTORY, PROGRAM, PLAIN = 0o040755, 0o100755, 0o100644


def entries(script):
    """(name, content, mode) of all that is in the initramfs."""
    yield from ((name, b"", DIRECTORY) for name in MOUNT_POINTS)
    yield "init", (FOLDER / "programs/init").read_bytes(), PROGRAM
    yield "script", "".join(f"{line}\n" for line in script).encode(), PLAIN
    for number, name in enumerate(MODULES):
        path = FOLDER / f"{name}.ko"
        if path.exists():
            yield f"modules/{number}-{name}.ko", path.read_bytes(), PLAIN
    for path in sorted((FOLDER / "programs").iterdir()):
        yield f"bench/{path.name}", path.read_bytes(), PROGRAM


def make_initramfs(target, script):
    parts = [cpio_entry(number, *entry) for number, entry in enumerate(entries(script), 1)]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(align(b"".join(parts) + cpio_entry(0, "TRAILER!!!", b"", 0), 512))


def linux_version():
    return (FOLDER / "version").read_text().strip()


def script(cores, icount):
    """The lines that init runs. Both sides of a ping-pong on core 0, or on the first and the last one."""
    far, rounds = cores - 1, 30
    lines = ["icount"] if icount else []
    lines += ["/bench/null"]
    for way in ("futex", "eventfd", "pipe", "unix"):
        lines.append(f"/bench/pingpong {way}.near {way} 0 0 64 {rounds}")
        if cores > 1:
            lines.append(f"/bench/pingpong {way}.far {way} 0 {far} 64 {rounds}")
    lines.append("/bench/message message.near 0 0 64 8000")
    if cores > 1:
        lines.append(f"/bench/message message.far 0 {far} 64 8000")
    lines += ["/bench/memory", "/bench/process /bench/nothing", "/bench/files /disk"]
    if not icount:  # what a driver does at its start is waiting: counts say nothing
        lines += ["umount", "/bench/rebind", "mount", "/bench/witness /disk"]
    return lines


def run_linux(disk, log, cores, memory, lines, flags=()):
    """Boots, runs the lines to their end; returns (console text, seconds to `ready`)."""
    initramfs = ROOT / "build/tmp/initramfs"
    make_initramfs(initramfs, lines)
    options = Options(cores=cores, memory=memory, disk=str(disk), aia="", boot=str(initramfs), kernel=str(FOLDER / "vmlinux"),
                      append="console=ttyS0 quiet panic=-1", flags=["-no-reboot", *flags])
    start = time.monotonic()
    with Machine(options, log) as machine:
        machine.expect(r"(?m)^ready$", BOOT_SECONDS, "the end of Linux's boot")
        boot = time.monotonic() - start
        machine.expect("script done", SCRIPT_SECONDS, "the end of Linux's programs")
        machine.wait_end(60)
        return machine.text, boot
