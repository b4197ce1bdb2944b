#!/usr/bin/env python3
"""Boots Planaria in QEMU: interactive, with commands, or for gdb. `make run` and `make gdb` call it.

Interactive: the terminal is the console, Ctrl-A x quits. --command 'a; b': types that line at the prompt, powers off,
and ends with the exit status of the last command. The whole console goes to build/log/.
"""
import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from disk import default_disk  # noqa: E402
from qemu import ANSI, EXIT_LINE, PROMPT, Machine, MachineError, Options, qemu_command, tied  # noqa: E402

LOGS_KEPT = 20


def log_path():
    folder = Path("build/log")
    folder.mkdir(parents=True, exist_ok=True)
    old = sorted(folder.glob("run-*.log"))
    for path in old[:max(0, len(old) - LOGS_KEPT + 1)]:
        path.unlink(missing_ok=True)
    return folder / time.strftime(f"run-%Y%m%d-%H%M%S-{os.getpid()}.log")


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--disk")
    parser.add_argument("--system", default="default")
    parser.add_argument("--guests", type=int, default=7)
    parser.add_argument("--flags", default="", help="more words for QEMU")
    parser.add_argument("--command")
    parser.add_argument("--limit", type=int, default=int(os.environ.get("LIMIT") or 1800),
                        help="seconds that the commands may take")
    parser.add_argument("--gdb", action="store_true")
    return parser.parse_args()


def make_options(arguments):
    disk = arguments.disk or str(default_disk())
    if disk != "none" and not disk.startswith("blkdebug:") and not Path(disk).exists():
        raise MachineError(f"the disk {disk} does not exist (DISK=none boots without one)")
    return Options(cores=arguments.cores, memory=arguments.memory, disk=None if disk == "none" else disk,
                   boot=f"build/boot-{arguments.system}.img", guests=arguments.guests,
                   flags=shlex.split(arguments.flags))


def run_interactive(options, log):
    command = qemu_command(options) + ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={log}",
                                       "-serial", "chardev:console", "-mon", "chardev=console"]
    print(f"Ctrl-A x quits; log: {log}")
    sys.stdout.flush()
    try:
        return subprocess.call(command)
    except OSError as error:
        raise MachineError(f"{command[0]} cannot be run: {error.strerror}") from error


def run_command(options, log, text, limit):
    colours = sys.stdout.isatty()

    def show(raw):
        sys.stdout.write(raw if colours else ANSI.sub("", raw).replace("\r", ""))
        sys.stdout.flush()

    with Machine(options, log, show) as machine:
        machine.prompt()
        machine.enter(("" if colours else "color off; ") + text + "; poweroff $?")
        # A prompt instead of the end: the shell was restarted, or the line ended in a comment.
        if machine.expect(re.escape(PROMPT), limit, f"the end of '{text}'", or_end=True):
            machine.enter("poweroff $?")
        machine.wait_end(limit)
        codes = EXIT_LINE.findall(machine.text)
        if not codes:
            raise MachineError("the machine ended without an exit status")
        return int(codes[-1]) & 0xff


def run_gdb(options, log):
    if not shutil.which("gdb-multiarch"):
        raise MachineError("gdb-multiarch is missing; its Debian package has the same name")
    port = 1234 + os.getpid() % 1000
    command = qemu_command(options) + ["-S", "-gdb", f"tcp:127.0.0.1:{port}", "-chardev",
                                       f"file,id=console,path={log}", "-serial", "chardev:console", "-monitor", "none"]
    machine = subprocess.Popen(tied(command), start_new_session=True)
    symbols = [f"add-symbol-file {path}" for path in sorted(Path("build/images").glob("*.elf"))]
    script = ["set confirm off", "set pagination off", f"target remote 127.0.0.1:{port}"]
    print(f"console: {log}; a domain's symbols: one of\n  " + "\n  ".join(symbols))
    try:
        return subprocess.call(["gdb-multiarch", "build/kernel.elf"] + [f"--eval-command={s}" for s in script])
    finally:
        machine.kill()


def main():
    arguments = read_arguments()
    log = log_path()
    try:
        options = make_options(arguments)
        if arguments.gdb:
            return run_gdb(options, log)
        if arguments.command is None:
            return run_interactive(options, log)
        return run_command(options, log, arguments.command, arguments.limit)
    except (MachineError, RuntimeError) as error:
        print(f"\n{error}; the console's log is {log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
