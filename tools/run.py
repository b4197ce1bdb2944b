#!/usr/bin/env python3
"""Boots Planaria in QEMU: interactive, with commands, or for gdb. `make run` and `make gdb` call it.

Interactive: the terminal is the console, Ctrl-A x quits. --command 'a; b': types that line at the prompt, powers off,
and ends with the exit status of the last command (1 also when an option is wrong, or the line did not end in time). The
whole console goes to build/log/.
"""
import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from disk import default_disk  # noqa: E402
from manifest import ManifestError, read_system  # noqa: E402
from qemu import (ANSI, EXIT_LINE, PROMPT, RESTARTED, Machine, MachineError, Options, qemu_command,  # noqa: E402
                  tied)
import tracing  # noqa: E402

LOGS_KEPT = 20
LIMIT_SECONDS = "1800"


class OptionError(Exception):
    """An option that cannot be; nothing was started."""


def log_path():
    folder = Path("build/log")
    folder.mkdir(parents=True, exist_ok=True)
    old = sorted(folder.glob("run-*.log"))
    for path in old[:max(0, len(old) - LOGS_KEPT + 1)]:
        path.unlink(missing_ok=True)
    return folder / time.strftime(f"run-%Y%m%d-%H%M%S-{os.getpid()}.log")


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", default="4")
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--disk")
    parser.add_argument("--system", default="default")
    parser.add_argument("--guests", default="7")
    parser.add_argument("--flags", default="", help="more words for QEMU")
    parser.add_argument("--command")
    parser.add_argument("--limit", default=os.environ.get("LIMIT") or LIMIT_SECONDS,
                        help="seconds that the commands may take")
    parser.add_argument("--gdb", action="store_true")
    parser.add_argument("--trace", help="file for a trace of what the command does; Perfetto opens it")
    return parser.parse_args()


def number(name, text, least):
    if not re.fullmatch(r"[0-9]+", text) or int(text) < least:
        raise OptionError(f"{name}={text}: it must be a number, {least} or more")
    return int(text)


def memory(text):
    if not re.fullmatch(r"0*[1-9][0-9]*[KMGT]?", text, re.I):
        raise OptionError(f"MEM={text}: it must be a number of MiB, or one with a unit: 512M, 2G")
    return text


def disk(text):
    path = text or str(default_disk())
    if path != "none" and not path.startswith("blkdebug:") and not Path(path).exists():
        raise OptionError(f"the disk {path} does not exist (DISK=none boots without one)")
    return None if path == "none" else path


def boot_image(system, command):
    """Built before; for commands, with a shell in it that can take them."""
    image = Path(f"build/boot-{system}.img")
    if not image.exists():
        raise OptionError(f"there is no {image}; `make SYSTEM={system}` builds it")
    services = read_system(f"systems/{system}.toml", None)["services"]
    if command is not None and "shell" not in (s["image"] for s in services):
        raise OptionError(f"the system '{system}' has no shell (systems/{system}.toml), so nobody would take the commands")
    return str(image)


def make_options(arguments):
    return Options(cores=number("CORES", arguments.cores, 1), memory=memory(arguments.memory),
                   disk=disk(arguments.disk), boot=boot_image(arguments.system, arguments.command),
                   guests=number("GUESTS", arguments.guests, 0), flags=shlex.split(arguments.flags))


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
        start = machine.mark
        # A prompt instead of the end: the shell was restarted, or the line ended in a comment.
        if machine.expect(re.escape(PROMPT), limit, f"the end of '{text}'", or_end=True):
            if RESTARTED.search(machine.text, start):
                print("\nthe shell died and was restarted: the rest of the line is lost", file=sys.stderr)
            machine.enter("poweroff $?")
        machine.wait_end(limit)
        codes = EXIT_LINE.findall(machine.text)
        if not codes:
            raise MachineError("the machine ended without an exit status")
        return int(codes[-1]) & 0xff


def run_traced(options, log, text, limit, out):
    """The machine's memory is a file, so the trace can be had after the end of QEMU too, whatever it died of."""
    with tempfile.TemporaryDirectory(prefix="planaria-", dir=tracing.memory_folder()) as folder:
        options.memory_file, options.append = f"{folder}/memory", "trace"
        recording = tracing.Recording(options.memory_file, options.memory)
        try:
            code = run_command(options, log, text, limit)
        finally:
            trace = recording.stop()
            data = trace.write()
            Path(out).write_bytes(data)
            print(f"{out}: {trace.says()}, {len(data) // 1024} KiB; open it at ui.perfetto.dev")
    return code


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
        options, limit = make_options(arguments), number("LIMIT", arguments.limit, 1)
        if arguments.gdb:
            return run_gdb(options, log)
        if arguments.command is None:
            return run_interactive(options, log)
        if arguments.trace:
            return run_traced(options, log, arguments.command, limit, arguments.trace)
        return run_command(options, log, arguments.command, limit)
    except (OptionError, ManifestError) as error:
        print(error, file=sys.stderr)
        return 1
    except (MachineError, RuntimeError) as error:
        print(f"\n{error}; the console's log is {log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
