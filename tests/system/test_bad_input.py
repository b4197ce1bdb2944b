"""Bad input: each gives one clear sentence, and what can run runs."""
import os
import re
import struct
import zlib

from framework import ROOT, case

BOOT = ROOT / "build/boot-default.img"
MAGIC, VERSION, CRC, BYTES = 0, 8, 12, 16  # offsets in struct boot_image
MANIFEST_OFFSET = 24
FIRST_QUOTA = 64


def refused(t, sentence, **options):
    """The kernel says why it does not start, once, and nothing else happens."""
    machine = t.start(**options)
    machine.expect(re.escape(sentence) if isinstance(sentence, str) else sentence, 120)
    return machine


def changed_boot(t, change, crc=True):
    """A copy of the boot image with `change(bytearray)` applied; crc: the checksum is made right again."""
    data = bytearray(BOOT.read_bytes())
    data = change(data) or data
    if crc:
        struct.pack_into("<I", data, CRC, zlib.crc32(data[16:]))
    path = t.folder / "changed.img"
    path.write_bytes(data)
    return str(path)


@case
def bad_boot_none(t):
    refused(t, "there is no boot image", boot=None)


@case
def bad_boot_noise(t):
    path = t.folder / "noise.img"
    path.write_bytes(os.urandom(1 << 20))
    refused(t, "the boot image (-initrd) is not one of ours", boot=str(path))


@case
def bad_boot_version(t):
    refused(t, "the boot image has version 99, this kernel reads version",
            boot=changed_boot(t, lambda d: struct.pack_into("<I", d, VERSION, 99)))


@case(kept=[0.01, 0.5, 0.99])
def bad_boot_truncated(t, kept):
    boot = changed_boot(t, lambda d: d[:max(4096, int(len(d) * kept)) // 4096 * 4096], crc=False)
    refused(t, "the boot image is truncated", boot=boot)


@case
def bad_boot_corrupt(t):
    def flip(data):
        data[len(data) // 2] ^= 0x10
    refused(t, "the boot image is corrupt: its checksum is", boot=changed_boot(t, flip, crc=False))

    def flip_quota(data):
        data[FIRST_QUOTA] ^= 0x10
    refused(t, "the boot image is corrupt: its checksum is", boot=changed_boot(t, flip_quota, crc=False))


@case
def bad_cpu_no_hypervisor(t):
    refused(t, "has no H extension (hypervisor)", cpu="rv64,h=off")


@case(aia=["", "aplic"])
def bad_no_imsic(t, aia):
    refused(t, "this machine has no supervisor-level IMSIC", aia=aia)


@case
def bad_memory_none(t):
    # QEMU puts the boot image below the device tree, where on so small a machine there is no room for the programs of all tests.
    boot = t.image((ROOT / "systems/minimal.toml").read_text(), only=("supervisor", "console"))
    refused(t, re.compile(r"too little memory: \d+ KiB are free, a core needs \d+ KiB"), memory="9M", boot=str(boot))


@case
def bad_memory_small(t):
    machine = t.start(memory="32M", cores=8)
    cores = int(machine.expect(r"memory for (\d) of 8 cores: the others stay parked")[1])
    machine.prompt()
    t.run(machine, "ls /")
    output = t.run(machine, "cores")
    t.equal((len(re.findall(r"\bonline\b", output)), len(re.findall(r"\bparked\b", output))), (cores, 8 - cores),
            f"lines of cores that are online and parked in {output!r}")


@case(full=True)
def bad_too_many_cores(t):
    machine = t.start(cores=66, memory="4G")
    machine.expect("66 harts, but this image holds 64 cores: the others stay parked", 300)
    machine.prompt(600)


def fallback_runs(t, why, disk):
    """The reason is said loudly, and an empty file system in memory works."""
    machine = t.start(disk=disk)
    machine.expect("NO USABLE DISK: " + why)
    machine.prompt()
    t.run(machine, "write /in-memory some words")
    t.check("some words" in t.run(machine, "cat /in-memory"), "what was written is not read back")
    t.check("FALLBACK" in t.run(machine, "df"), "df does not tell of the fallback")


@case
def bad_disk_none(t):
    fallback_runs(t, "the block driver is given up or has no device", None)


@case
def bad_disk_noise(t):
    path = t.folder / "noise-disk.img"
    noise = os.urandom(8 << 20)
    path.write_bytes(noise)
    fallback_runs(t, "no ext2 file system: the magic number is 0x", path)
    t.check(path.read_bytes() == noise, "something was written onto a disk that is not ours")


@case
def bad_disk_feature(t):
    disk = t.disk(kind="ext4", name="ext4.img", extra=("-O", "inline_data"))
    before = disk.read_bytes()
    fallback_runs(t, "the volume needs features that are not supported: inline_data", disk)
    t.check(disk.read_bytes() == before, "something was written onto a disk that is not ours")


@case
def bad_disk_read_only(t):
    """What can be read is read, the reason is said once, and nobody promises commits."""
    disk = t.disk(kind="ext4", name="verity.img", extra=("-O", "verity"))
    before = disk.read_bytes()
    machine = t.boot(disk=disk)
    said = machine.text
    t.equal(said.count("fs: the volume has features that allow reading only: verity"), 1, "lines that tell why")
    t.check(re.search(r"fs: ext4, .* read-only; cache \d+ KiB\r?\n", said), "the line on the volume is another")
    t.check("ext4" in t.run(machine, "df"), "df calls it otherwise")
    t.check("read-only" in machine.command("write /x words")[0], "a write does not say that it is read-only")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.check(disk.read_bytes() == before, "something was written onto a disk that is to be read only")


@case
def bad_elf(t):
    toml = (ROOT / "systems/default.toml").read_text() + """
[[service]]
name = "broken"
image = "broken"
serves = ["broken"]
restart = { burst = 2, window_ms = 60000, delay_ms = 0, delay_max_ms = 0 }
"""
    machine = t.boot(boot=str(t.image(toml, {"broken": b"\x7fELF" + os.urandom(5000)})))
    output = t.run(machine, "services")
    t.check(re.search(r"broken.*held", output), "the broken service is not listed as held:\n" + output)
    t.run(machine, "ls /")


@case
def bad_manifest(t):
    """A right checksum over a wrong manifest: the supervisor looks again."""
    def spoil(data):
        offset = struct.unpack_from("<Q", data, MANIFEST_OFFSET)[0]
        struct.pack_into("<I", data, offset, 0x12345678)
    refused(t, re.compile("manifest.*magic", re.I), boot=changed_boot(t, spoil))
