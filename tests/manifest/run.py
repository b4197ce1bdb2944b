#!/usr/bin/env python3
"""Manifest tests: each bad/*.toml must give exactly the sentence of its first line; each systems/*.toml must pass.

usage: run.py [WORD]     runs those whose file name holds the word
Also packs a manifest and reads it back by the layouts of include/abi.
"""
import struct
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from boot_image import ABI, HEADER, ImageError, make_boot_image, read_segments  # noqa: E402
from manifest import HEADER as MANIFEST, RECORD, ManifestError, make_blob, read_system  # noqa: E402
from results import write_result  # noqa: E402

IMAGES = {"supervisor", "console", "blk", "fs", "shell"}


def verdict(path, images):
    try:
        read_system(path, images)
    except ManifestError as error:
        return str(error)
    return "no error"


def tiny_elf(segments, machine=243):
    """A static ELF with the given (gpa, content, memory size) segments."""
    head = 64 + 56 * len(segments)
    table, data = b"", b""
    for gpa, content, memory in segments:
        table += struct.pack("<IIQQQQQQ", 1, 5, head + len(data), gpa, gpa, len(content), memory, 4096)
        data += content
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, segments[0][0], 64, 0, 0,
            64, 56, len(segments), 0, 0, 0) + table + data)


def image_error(elf):
    try:
        read_segments("x", elf)
    except ImageError as error:
        return str(error)
    return "no error"


def check_blob():
    """What the default system's blob says, read back."""
    system = read_system(ROOT / "systems/default.toml")
    blob = make_blob(system)
    header = MANIFEST.unpack(blob)
    records = [RECORD.unpack(blob, MANIFEST.size + i * RECORD.size) for i in range(header["service_count"])]
    first = records[0]
    return (header["magic"] == ABI["MANIFEST_MAGIC"] and header["bytes"] == len(blob) and first["name"] == "supervisor"
            and first["flags"] & ABI["SERVICE_FLAG_FIRST"] and [r["name"] for r in records] ==
            [s["name"] for s in system["services"]])


def check_boot_image():
    system = read_system(ROOT / "tests/manifest/good.toml", {"supervisor"})
    elf = tiny_elf([(ABI["GPA_IMAGE"], b"text", 4), (ABI["GPA_IMAGE"] + 4096, b"data", 9000)])
    image = make_boot_image(system, {"supervisor": elf}, None)
    header = HEADER.unpack(image)
    cpio = image[header["cpio_offset"]:header["cpio_offset"] + header["cpio_bytes"]]
    return (header["bytes"] == len(image) and header["crc32"] == zlib.crc32(image[16:])
            and header["first_segments"] == 3 and header["first_entry"] == ABI["GPA_IMAGE"]
            and image[4096:4100] == b"text" and cpio[:6] == b"070701" and b"TRAILER!!!" in cpio)


def cases():
    for path in sorted((ROOT / "tests/manifest/bad").glob("*.toml")):
        expected = path.read_text().splitlines()[0].removeprefix("# ")
        yield f"bad/{path.name}", expected, lambda path=path: verdict(path, IMAGES)
    for path in sorted((ROOT / "systems").glob("*.toml")):
        yield f"systems/{path.name}", "no error", lambda path=path: verdict(path, None)
    yield "blob", True, lambda: bool(check_blob())
    yield "boot-image", True, lambda: bool(check_boot_image())
    base = ABI["GPA_IMAGE"]
    yield "elf-text", "image 'x' is no 64-bit RISC-V ELF", lambda: image_error(b"hello")
    yield ("elf-machine", "image 'x' is no 64-bit RISC-V ELF",
           lambda: image_error(tiny_elf([(base, b"x", 1)], machine=62)))
    yield ("elf-low", "image 'x': the segment at 0x1000 is not page-aligned inside 0x200000 to 0xf000000",
           lambda: image_error(tiny_elf([(0x1000, b"x", 1)])))
    yield ("elf-shared", "image 'x': the segments at 0x200000 and 0x201000 share a page",
           lambda: image_error(tiny_elf([(base, b"x", 8192), (base + 4096, b"x", 1)])))
    yield ("elf-many", "image 'x' has 4 segments; the first domain may have 1 to 3 and its stack",
           lambda: image_error(tiny_elf([(base + i * 4096, b"x", 1) for i in range(4)])))


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    passed = failed = 0
    for name, expected, run in cases():
        if word not in name:
            continue
        got = run()
        if got == expected:
            passed += 1
        else:
            failed += 1
            print(f"FAIL manifest {name}\n     expected: {expected}\n     got:      {got}\n"
                  f"     again: python3 tests/manifest/run.py {name}")
    if passed + failed == 0:
        print(f"manifest: no case holds '{word}'")
        return 1
    print(f"manifest: {passed} passed, {failed} failed")
    write_result("manifest", passed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
