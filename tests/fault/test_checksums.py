"""The code of CRC-32C in a running fs is changed, one instruction at a time: what it then seals must not reach the disk.

Whoever makes a sum with it makes the same wrong one again, so no comparison finds it; only sums that are known do (`servers/fs/guard.c`).
"""
from campaign import begin, finish, functions_of, poke, storm, text_at
from framework import FULL, ROOT, case

ELF = ROOT / "build/images/fs.elf"
FUNCTIONS = ["row_differs", "checksum_rows", "checksum_join", "checksum_join_two", "checksum_zeros", "checksum_word", "crc_zeros", "crc_pieces",
             "checksum_crc32c"]
PICKED = 8  # of some 1,000; FULL=1 takes all
NOPS = {2: 0x0001, 4: 0x00000013}


def instructions():
    """(function, address, mask that makes a nop of it) of those that lie in one word, which is what one poke reaches."""
    known = functions_of(ELF)
    for function in FUNCTIONS:
        address, size = known[function]
        end = address + size
        while address < end:
            length = 4 if text_at(ELF, address, 2)[0] & 3 == 3 else 2
            mask = int.from_bytes(text_at(ELF, address, length), "little") ^ NOPS[length]
            if mask and address % 8 + length <= 8:
                yield function, address, mask
            address += length


@case
def checksum_code_is_known(t):
    """An instruction of it is dropped below a storm, which reads all from the disk at its end: no error, no wrong byte, and the image is sound."""
    image, campaign = begin(t, kind="ext4")
    dropped = list(instructions())
    for number, (function, address, mask) in enumerate(dropped if FULL else dropped[len(dropped) // PICKED // 2::len(dropped) // PICKED]):
        poke(t, campaign.machine, "fs", address, mask)
        storm(t, campaign.machine, f"1 --rate 0 --quiet --seed {number}")
    campaign.problems += campaign.workload()
    finish(t, image, campaign)
