#!/usr/bin/env python3
"""Makes the boot image of include/abi/boot_image.h: header, the first domain's segments, manifest, cpio.

usage: boot_image.py SYSTEM.toml -o OUT [--fallback FOLDER] IMAGE.elf...
Images go into the cpio under their names without `.elf`, files of FOLDER under fs/. The output depends on the inputs
alone: no times, owners or inode numbers of this machine get into it.
"""
import argparse
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from abi import Abi  # noqa: E402
from manifest import ManifestError, make_blob, read_system  # noqa: E402

ABI = Abi("layout.h", "info.h", "manifest.h", "boot_image.h", "call.h")
HEADER = ABI.struct("boot_image")
PAGE = ABI["PAGE_SIZE"]
CRC_OFFSET = 12
MACHINE_RISCV = 243
PT_LOAD = 1
ELF_FLAGS = ((4, "PROT_READ"), (2, "PROT_WRITE"), (1, "PROT_EXEC"))


class ImageError(Exception):
    pass


def align(data, boundary=PAGE):
    return data + bytes(-len(data) % boundary)


def read_segments(name, elf):
    """(entry, [(gpa, pages, prot, content)]) of a static RISC-V ELF whose segments share no page."""
    if elf[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", elf, 18)[0] != MACHINE_RISCV:
        raise ImageError(f"image '{name}' is no 64-bit RISC-V ELF")
    entry, table = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    segments = []
    for i in range(count):
        kind, flags, offset, gpa, _, length, memory, _ = struct.unpack_from("<IIQQQQQQ", elf, table + i * size)
        if kind != PT_LOAD or memory == 0:
            continue
        if gpa % PAGE or not ABI["GPA_IMAGE"] <= gpa < gpa + memory <= ABI["GPA_IMAGE_END"]:
            raise ImageError(f"image '{name}': the segment at {gpa:#x} is not page-aligned inside "
                             f"{ABI['GPA_IMAGE']:#x} to {ABI['GPA_IMAGE_END']:#x}")
        prot = sum(ABI[p] for bit, p in ELF_FLAGS if flags & bit)
        segments.append((gpa, -(-memory // PAGE), prot, elf[offset:offset + length]))
    for (a, pages, _, _), (b, *_) in zip(segments, segments[1:]):
        if a + pages * PAGE > b:
            raise ImageError(f"image '{name}': the segments at {a:#x} and {b:#x} share a page")
    if not 1 <= len(segments) < ABI["BOOT_SEGMENT_MAX"]:
        raise ImageError(f"image '{name}' has {len(segments)} segments; the first domain may have 1 to "
                         f"{ABI['BOOT_SEGMENT_MAX'] - 1} and its stack")
    return entry, segments


def cpio_entry(number, name, data, mode):
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return align(head, 4) + align(data, 4)


def make_cpio(files):
    """files: [(name, data or None for a folder)]"""
    out = b""
    for number, (name, data) in enumerate(files, 1):
        out += cpio_entry(number, name, data or b"", 0o040755 if data is None else 0o100644)
    return align(out + cpio_entry(0, "TRAILER!!!", b"", 0), 512)


def fallback_files(folder):
    if folder is None or not folder.is_dir():
        return []
    files = [("fs", None)]
    for path in sorted(folder.rglob("*")):
        files.append((f"fs/{path.relative_to(folder)}", None if path.is_dir() else path.read_bytes()))
    return files


def seal(image):
    """The image with its checksum made right."""
    crc = zlib.crc32(image[ABI["BOOT_IMAGE_SUMMED"]:])
    return image[:CRC_OFFSET] + struct.pack("<I", crc) + image[CRC_OFFSET + 4:]


def make_boot_image(system, images, fallback):
    index = next(i for i, s in enumerate(system["services"]) if s["flags"] & ABI["SERVICE_FLAG_FIRST"])
    first = system["services"][index]
    entry, segments = read_segments(first["image"], images[first["image"]])
    body, described = b"", []
    for gpa, pages, prot, content in segments:
        described.append({"gpa": gpa, "pages": pages, "prot": prot, "offset": PAGE + len(body),
                          "length": len(content)})
        body += align(content)
    stack = first["stack_pages"]
    described.append({"gpa": ABI["GPA_STACK_TOP"] - stack * PAGE, "pages": stack,
                      "prot": ABI["PROT_READ"] | ABI["PROT_WRITE"], "offset": PAGE, "length": 0})
    manifest = make_blob(system)
    manifest_offset = PAGE + len(body)
    body += align(manifest)
    cpio = make_cpio([(name, images[name]) for name in sorted(images)] + fallback_files(fallback))
    cpio_offset = PAGE + len(body)
    body += align(cpio)
    image = HEADER.pack(
        magic=ABI["BOOT_IMAGE_MAGIC"], version=ABI["BOOT_IMAGE_VERSION"], crc32=0,
        bytes=PAGE + len(body), manifest_offset=manifest_offset, manifest_bytes=len(manifest),
        cpio_offset=cpio_offset, cpio_bytes=len(cpio), first_entry=entry, first_quota_pages=first["memory_pages"],
        first_service=index, first_segments=len(described), first_priority=first["priority"], first=described,
        core_weight=system["core_weights"]) + body
    return seal(image)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("system")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--fallback", type=Path)
    parser.add_argument("images", nargs="+", type=Path)
    arguments = parser.parse_args()
    images = {path.stem: path.read_bytes() for path in arguments.images}
    try:
        system = read_system(arguments.system, set(images))
        image = make_boot_image(system, images, arguments.fallback)
    except (ManifestError, ImageError) as error:
        print(f"{arguments.system}: {error}", file=sys.stderr)
        return 1
    Path(arguments.output).write_bytes(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
