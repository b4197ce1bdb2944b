"""Bad input: each gives one clear sentence, and what can run runs."""
import os
import re
import struct
import zlib

from framework import ROOT, case

BOOT = ROOT / "build/boot-default.img"
MAGIC, VERSION, CRC, BYTES = 0, 8, 12, 16  # offsets in struct boot_image
MANIFEST_OFFSET = 24


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
        struct.pack_into("<I", data, CRC, zlib.crc32(data[4096:]))
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


@case
def bad_cpu_no_hypervisor(t):
    refused(t, "has no H extension (hypervisor)", cpu="rv64,h=off")


@case(aia=["", "aplic"])
def bad_no_imsic(t, aia):
    refused(t, "this machine has no supervisor-level IMSIC", aia=aia)


@case
def bad_memory_small(t):
    refused(t, "too little memory", memory="32M", cores=8)


@case(full=True)
def bad_too_many_cores(t):
    machine = t.start(cores=66, memory="4G")
    machine.expect("66 harts, but this image holds 64 cores: the others stay parked", 300)
    machine.prompt(600)


@case
def bad_disk_none(t):
    machine = t.boot(disk=None)
    t.run(machine, "cores")
    t.run(machine, "ls /")


@case
def bad_disk_noise(t):
    path = t.folder / "noise-disk.img"
    path.write_bytes(os.urandom(8 << 20))
    machine = t.boot(disk=path)
    t.run(machine, "ls /")
    t.equal(path.read_bytes()[:16] != bytes(16), True, "the noise is untouched")


@case
def bad_disk_feature(t):
    machine = t.boot(disk=t.disk(kind="ext4", name="ext4.img"))
    t.run(machine, "ls /")


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
