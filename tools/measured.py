"""What the scripts that measure share: a boot on a fresh copy of an image, the figures that it prints, builds or placements in turns."""
import re
import shutil
from pathlib import Path

from qemu import Machine, MachineError

ICOUNT = ("-icount", "shift=0,sleep=off")  # instructions are counted exactly, and the time that a system sees is made of them


def memory_folder():
    """Where files lie in memory, for tempfile; None: only on the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def boot_text(options, image, command, log, seconds=600):
    """The console of a boot on a copy of the image, at options.disk, that runs the command and powers off. `seconds`: failsafe."""
    shutil.copy(image, options.disk)
    with Machine(options, Path(log)) as machine:
        machine.prompt(seconds)
        machine.enter(f"color off; {command}; poweroff")
        machine.wait_end(seconds)
        return machine.text.replace("\r", "")


def need_all(names, found, who, log):
    missing = [name for name in names if name not in found]
    if missing:
        raise MachineError(f"{who}: no figure for {', '.join(missing)}; the console's log is {log}")


def read_figures(text, patterns, who, log):
    """Name -> the number that its pattern finds."""
    matches = ((name, re.search(pattern, text, re.M)) for name, pattern in patterns.items())
    found = {name: int(match[1]) for name, match in matches if match}
    need_all(patterns, found, who, log)
    return found


def in_turns(number, what, names, measured):
    """Name -> what was measured in each of so many rounds, one of each name in a round."""
    figures = {name: [] for name in names}
    for done in range(1, number + 1):
        for name in names:
            figures[name].append(measured(name))
        print(f"{what} {done} of {number}", flush=True)
    return figures
