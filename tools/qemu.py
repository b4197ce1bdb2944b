"""QEMU as Planaria uses it: the command line, and a running machine that one can type to and wait for.

Waiting is always for an event (a text on the console, the end of QEMU); limits are failsafes with a sentence that says
what was waited for. The console's whole output goes to a log file.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PROMPT = "planaria> "
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RESTARTED = re.compile(r"the shell was restarted")
EXIT_LINE = re.compile(r"^exit status (\d+)\s*$", re.M)
BOOT_SECONDS = 60      # failsafe: prompt after power-on; 1 s on a quiet host
COMMAND_SECONDS = 180  # failsafe: one command; callers of long ones (storm, bench) give their own
ECHO_SECONDS = 5       # then a typed line counts as lost, and is typed again
ECHO_TRIES = 6
ERASE_LINE = "\x15\x0b"  # Ctrl-U, Ctrl-K


class MachineError(Exception):
    """A failsafe limit was passed, or QEMU ended when it should not."""


@dataclass
class Options:
    cores: int = 4
    memory: str = "512M"
    disk: str | None = None       # path of a raw image; None: no disk
    boot: str | None = "build/boot-default.img"
    kernel: str = "build/kernel.elf"
    guests: int = 7
    aia: str = "aplic-imsic"
    cpu: str = "rv64"
    append: str = ""
    flags: list = field(default_factory=list)
    drive: str = "cache=writeback"  # more of -drive, for blkdebug and the like
    snapshot: bool = False        # writes to the disk are dropped at the end
    memory_file: str | None = None  # the machine's memory, shared with us (tools/tracing.py)
    write_log: str | None = None  # existing file for a record of all writes and flushes (tests/power/recording.py)


def qemu_program():
    return os.environ.get("QEMU") or "qemu-system-riscv64"


def qemu_version():
    try:
        text = subprocess.run([qemu_program(), "--version"], capture_output=True, text=True).stdout
    except OSError as error:
        raise MachineError(f"{qemu_program()} cannot be run: {error.strerror}") from error
    return text.splitlines()[0] if text else "unknown QEMU"


def escape(path):
    """A path as the value of a QEMU option."""
    return str(path).replace(",", ",,")


def qemu_command(options):
    """Everything but the console."""
    aia = f",aia={options.aia}" if options.aia else ""
    guests = f",aia-guests={options.guests}" if options.aia == "aplic-imsic" else ""
    memory = ",memory-backend=memory0" if options.memory_file else ""
    command = [qemu_program(), "-machine", f"virt{aia}{guests}{memory}", "-cpu", options.cpu, "-smp", str(options.cores),
               "-m", options.memory, "-display", "none", "-kernel", options.kernel]
    if options.memory_file:
        command += ["-object", f"memory-backend-file,id=memory0,size={options.memory},share=on,"
                               f"mem-path={escape(options.memory_file)}"]
    if options.boot:
        command += ["-initrd", options.boot]
    if options.append:
        command += ["-append", options.append]
    if options.disk:
        snapshot = ",snapshot=on" if options.snapshot else ""
        drive = options.disk if options.disk.startswith("blkdebug:") else escape(options.disk)
        drive = f"file={drive},format=raw"
        if options.write_log:
            drive = (f"driver=blklogwrites,file.driver=file,file.filename={escape(options.disk)},log.driver=file,"
                     f"log.filename={escape(options.write_log)}")
        command += ["-drive", f"{drive},if=none,id=disk0,{options.drive}{snapshot}",
                    "-device", "virtio-blk-pci,drive=disk0,disable-legacy=on"]
    return command + list(options.flags)


def tied(command):
    """The command, such that it ends when we do, however that comes: a machine that nobody sees goes on for ever."""
    if not shutil.which(command[0]):
        raise MachineError(f"{command[0]} cannot be run: there is no such program")
    return ["setpriv", "--pdeathsig", "KILL"] + command


class Echo:
    """Finds a typed line where it comes back, for Machine.expect. Others may print whole lines into it, which may begin like
    the rest of it, so all ways to read the text are followed at once: bit i of a set says that i characters have come back."""

    def __init__(self, line):
        self.pattern = line
        self.places = {c: sum(1 << i for i, other in enumerate(line) if other == c) for c in line}
        self.whole = 1 << len(line)
        self.here = 0     # the last one just now
        self.earlier = 0  # the last one before a line that somebody else has not ended yet
        self.at = 0

    def search(self, text, start):
        """Goes on where it stopped: the text only grows."""
        self.at = max(self.at, start)
        while self.at < len(text):
            character = text[self.at]
            self.at += 1
            self.earlier |= self.here
            self.here = ((self.here | 1) & self.places.get(character, 0)) << 1
            if self.here & self.whole:
                return self
            if character == "\n":
                self.here, self.earlier = self.here | self.earlier, 0
        return None

    def end(self):
        return self.at


class Machine:
    """A running QEMU whose console we read and write. Use as a context manager; leaving kills it."""

    def __init__(self, options, log, on_text=None, control=False):
        """control: also QMP and gdb sockets (qmp(), gdb_socket)."""
        self.options = options
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="planaria-")
        self.gdb_socket = f"{self.folder}/gdb"
        self.command_line = qemu_command(options) + [
            "-chardev", f"stdio,id=console,signal=off,logfile={escape(self.log)}", "-serial", "chardev:console",
            "-monitor", "none"]
        if control:
            self.command_line += ["-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
                                  "-gdb", f"unix:{self.gdb_socket},server=on,wait=off"]
        self._text, self._parts = "", []
        self.mark = 0         # where the next expect() starts
        self.commands = 0     # typed so far
        self.on_text = on_text
        self._changed = threading.Condition()
        self._ended = False
        self._qmp = None
        try:
            self.process = subprocess.Popen(tied(self.command_line), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise MachineError(f"{self.command_line[0]} cannot be run: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _read(self):
        pending = ""
        while data := os.read(self.process.stdout.fileno(), 65536):
            pending += data.decode(errors="replace")
            cut = pending.rfind("\x1b", max(0, len(pending) - 12))  # an escape sequence that has not ended
            if cut < 0 or ANSI.match(pending[cut:]):
                cut = len(pending)
            raw, pending = pending[:cut], pending[cut:]
            with self._changed:
                self._parts.append(ANSI.sub("", raw).replace("\r", ""))
                self._changed.notify_all()
            if self.on_text:
                self.on_text(raw)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self):
        """All output so far, without colours. Put together when it is asked for: QEMU writes a few characters at a time."""
        with self._changed:
            if self._parts:
                self._text += "".join(self._parts)
                self._parts = []
            return self._text

    def expect(self, pattern, seconds=BOOT_SECONDS, what=None, or_end=False):
        """Waits for the pattern after the last match; returns the match. MachineError by the failsafe or by QEMU's end
        (or_end: None at QEMU's end)."""
        regex = re.compile(pattern) if isinstance(pattern, str) else pattern
        what = what or f"'{regex.pattern}'"
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                match = regex.search(self.text, self.mark)
                if match:
                    self.mark = match.end()
                    return match
                if self._ended and or_end:
                    return None
                if self._ended:
                    raise MachineError(f"QEMU ended before {what} appeared")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MachineError(f"{what} did not appear within {seconds} s")
                self._changed.wait(left)

    def prompt(self, seconds=BOOT_SECONDS):
        self.expect(re.escape(PROMPT), seconds, "the prompt")

    def type(self, text):
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise MachineError("QEMU ended while something was typed") from error

    def enter(self, line):
        """Types a line of the shell and waits for its echo: what a console server had taken from the UART when it died
        is lost, so a line that does not come back whole is erased and typed again."""
        for _ in range(ECHO_TRIES):
            self.type(line)
            if self._echoed(line):
                break
            with self._changed:
                self.mark = len(self.text)
            self.type(ERASE_LINE)
        else:
            raise MachineError(f"the shell did not echo '{line}'")
        for _ in range(ECHO_TRIES):
            self.type("\n")
            if self._echoed("\n"):
                return
        raise MachineError(f"the shell did not take '{line}'")

    def _echoed(self, text):
        try:
            self.expect(Echo(text), ECHO_SECONDS, or_end=True)
            return True
        except MachineError:
            return False

    def command(self, text, seconds=COMMAND_SECONDS):
        """Runs a line of the shell; returns (its output, exit status). Status None: the shell died under it."""
        # Numbered: a console server that is restarted may print the end of its text twice.
        self.commands += 1
        self.enter(f'{text}; echo "[{self.commands} status $?]"')
        start = self.mark
        match = self.expect(re.compile(rf"\[{self.commands} status (\d+)\]|{RESTARTED.pattern}"), seconds,
                            f"the end of '{text}'")
        output = self.text[start:match.start()]
        self.prompt()
        return output, None if match[1] is None else int(match[1])

    def wait_end(self, seconds=BOOT_SECONDS):
        """Waits until QEMU ends; returns its code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"QEMU did not end within {seconds} s") from error
        self._reader.join(10)
        return code

    def poweroff(self):
        self.enter("poweroff")
        return self.wait_end()

    def qmp(self, command, **arguments):
        """One QMP command; returns its result."""
        if self._qmp is None:
            connection = socket.socket(socket.AF_UNIX)
            deadline = time.monotonic() + 10
            while True:
                try:
                    connection.connect(f"{self.folder}/qmp")
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise MachineError("QEMU opened no QMP socket within 10 s") from None
                    time.sleep(0.02)
            self._qmp = connection.makefile("rw")
            self._qmp.readline()
            self._qmp_send({"execute": "qmp_capabilities"})
        return self._qmp_send({"execute": command, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}})

    def _qmp_send(self, message):
        self._qmp.write(json.dumps(message) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise MachineError(f"QMP {message['execute']}: {answer['error']['desc']}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)
