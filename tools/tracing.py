"""Trace: collects the events of a machine's rings (include/abi/trace.h) and writes them as a file that Perfetto opens.

The machine's memory is a file that QEMU shares (tools/qemu.py, Options.memory_file), so rings are read from outside: while
it runs, when kernels are dead, after QEMU's end. Nothing in the rings is believed: kinds that do not exist and times that
go backwards are counted and left out, and so is what was overwritten before anybody had read it.

usage: tracing.py FILE     says what is in a trace that was written: tracks, spans, flows
"""
import bisect
import mmap
import re
import struct
import sys
import threading
from collections import Counter, defaultdict, deque
from pathlib import Path

from abi import INCLUDE, Abi

RAM = 0x80000000            # where the virt machine's memory begins
LOOK_SECONDS = 0.01         # between two looks at the rings
EVENTS_KEPT = 1_000_000     # in memory; the oldest go first and count as lost
PARALLEL = 8                # lanes of requests of one domain that are shown as spans at a time; of more only the begin

abi = Abi("layout.h", "info.h", "channel.h", "error.h", "fault.h", "trace.h")
KINDS = re.findall(r"X\((\w+), \"", abi.text[abi.text.index("TRACE_TABLE"):])
EVENT = struct.Struct("<QHHIQQ")
SPAN_BEGIN, SPAN_END, INSTANT = 1, 2, 3


def table_words(header, table):
    """Names of an X(name, ...) table in their order."""
    text = (INCLUDE.parent / header).read_text()
    return re.findall(r"X\((\w+),", text[text.index(table):].split("\n\n")[0])


CALLS = table_words("abi/call.h", "CALL_TABLE")
STEPS = ["stop", "quiesce", "unregister", "restore", "device", "start", "watch"]
FAULTS = ["none", "exception", "hang", "exit", "quota", "killed", "complaint", "core lost"]
STATES = ["free", "created", "ready", "running", "blocked", "calling", "stopped", "dying"]
CAUSES = {2: "illegal instruction", 10: "call", 20: "fetch fault", 21: "load fault", 22: "wfi", 23: "store fault"}
INTERRUPTS = {5: "timer", 9: "external", 12: "guest interrupt"}


class TraceError(Exception):
    """There is nothing to read, with the reason."""


class Event:
    """One event; ring is (core, None) of a kernel or (core, place) of a domain."""
    __slots__ = ("time", "kind", "subject", "word", "a", "b", "ring")

    def __init__(self, ring, time, kind, subject, word, a, b):
        self.ring, self.time, self.subject, self.word, self.a, self.b = ring, time, subject, word, a, b
        self.kind = KINDS[kind] if kind < len(KINDS) else None

    def text(self):
        """Sixteen characters of a and b."""
        return struct.pack("<QQ", self.a, self.b).split(b"\0")[0].decode(errors="replace")


# ---- collecting

def memory_bytes(text):
    """Of a size as QEMU takes it."""
    unit = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1:].upper())
    return int(text[:-1]) << unit if unit else int(text) << 20


def memory_folder():
    """Where a file is memory: one on a disk would be written back all the time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Ring:
    """A ring in the machine's memory, and what was read of it. A look copies and does nothing else: a ring comes round in a twentieth of a
    second, and who looks has to be back by then, on a host with other work too."""

    def __init__(self, name, address, events):
        self.name, self.address, self.events = name, address, events
        self.read, self.lost, self.nonsense, self.last_time = 0, 0, 0, 0
        self.chunks = deque()  # bytes of whole events
        self.size = 0          # events in them
        self._kept = []        # and those that were looked into

    def next(self, memory):
        return struct.unpack_from("<Q", memory, self.address + 8)[0]

    def look(self, memory):
        """Takes what is new. The one that is being written stands where the oldest was: that is never taken."""
        end = self.next(memory)
        if end == self.read:
            return
        if end < self.read:  # cleared: the machine was switched on again
            self.read = 0
        begin = max(self.read, end - self.events + 1)
        base = self.address + abi["TRACE_HEADER_BYTES"]
        raw = self._bytes(memory, base, begin, end)
        sure = max(begin, self.next(memory) - self.events + 1)  # the others may have been overwritten meanwhile
        self.lost += min(sure, end) - self.read
        if sure < end:
            self.chunks.append(raw[(sure - begin) * EVENT.size:])
            self.size += end - sure
        self.read = end

    @property
    def kept(self):
        while self.chunks:
            for fields in EVENT.iter_unpack(self.chunks.popleft()):
                self._take(fields)
        self.size = 0
        return self._kept

    def oldest(self):
        return EVENT.unpack_from(self.chunks[0])[0]

    def forget(self):
        """The oldest chunk goes."""
        gone = len(self.chunks.popleft()) // EVENT.size
        self.size -= gone
        self.lost += gone

    def _bytes(self, memory, base, begin, end):
        first, last = begin % self.events, end % self.events
        if first < last:
            return memory[base + first * EVENT.size:base + last * EVENT.size]
        return (memory[base + first * EVENT.size:base + self.events * EVENT.size] +
                memory[base:base + last * EVENT.size])

    def _take(self, fields):
        event = Event(self.name, *fields)
        if not event.kind or event.kind == "NOTHING" or event.time < self.last_time:
            self.nonsense += 1
            return
        self.last_time = event.time
        self._kept.append(event)


class Collector:
    """Reads all rings of a machine whose memory is the file."""

    def __init__(self, path, size):
        with open(path, "a+b") as file:  # QEMU takes a file that is there as it is
            file.truncate(memory_bytes(size))
            self.memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.rings, self.info = [], []
        self.timebase = 0

    def word(self, address):
        return struct.unpack_from("<Q", self.memory, address - RAM)[0]

    def find(self):
        """Finds the rings, when there are any yet."""
        anchor = abi["TRACE_ANCHOR"]
        if self.word(anchor) != abi["TRACE_MAGIC"]:
            return False
        directory = self.word(anchor + 8)
        if not RAM < directory < RAM + len(self.memory) - 0x10000 or self.word(directory) != abi["TRACE_MAGIC"]:
            return False
        self.timebase, cores = self.word(directory + 8), self.word(directory + 16)
        for core in range(min(cores, abi["CORE_MAX"])):
            region, info = self.word(directory + 24 + core * 16), self.word(directory + 32 + core * 16)
            if not RAM < region <= RAM + len(self.memory) - abi["TRACE_REGION_BYTES"]:
                raise TraceError("the machine was booted without the boot argument `trace`")
            self._add(core, region - RAM)
            self.info.append(info - RAM)
        return True

    def _add(self, core, region):
        self.rings.append(Ring((core, None), region, abi["TRACE_KERNEL_EVENTS"]))
        for place in range(abi["DOMAIN_MAX"]):
            self.rings.append(Ring((core, place), region + abi["TRACE_KERNEL_BYTES"] + place * abi["TRACE_DOMAIN_BYTES"],
                                   abi["TRACE_DOMAIN_EVENTS"]))

    def look(self):
        """One look at all rings: so often that none comes round between two. Cheap when nothing is new."""
        if not self.rings and not self.find():
            return
        for ring in self.rings:
            ring.look(self.memory)
        while sum(r.size for r in self.rings) > EVENTS_KEPT:
            min((r for r in self.rings if r.chunks), key=Ring.oldest).forget()

    def names(self):
        """What the info pages say of the domains now: (core, place) -> name."""
        page, line = abi.struct("info_page"), abi.struct("info_domain")
        at, size = page.fields["domains"][0], line.size
        found = {}
        for core, info in enumerate(self.info):
            for place in range(abi["DOMAIN_MAX"]):
                name = line.unpack(self.memory, info + at + place * size)["name"]
                if name:
                    found[core, place] = name
        return found

    def trace(self):
        if not self.rings:
            raise TraceError("no trace was found in the machine's memory")
        return Trace([e for r in self.rings for e in r.kept], self.timebase, self.names(),
                     sum(r.lost for r in self.rings), sum(r.nonsense for r in self.rings))


class Recording:
    """Collects beside a running machine, until stop()."""

    def __init__(self, path, size):
        """Before the machine is started: path and size (512M) of its memory."""
        self.collector = Collector(path, size)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.wait(LOOK_SECONDS):
            self.collector.look()

    def stop(self):
        """After the end of the machine, or while it runs on: all that can be had by now."""
        self._end.set()
        self._thread.join()
        self.collector.look()
        return self.collector.trace()


# ---- protocol buffers: what Perfetto's trace_packet.proto, track_event.proto, track_descriptor.proto need here

def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """A field by the type of its value: int varint, str or bytes with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


class Writer:
    """Packets of a Perfetto trace. Tracks are made when they are first named."""

    def __init__(self, timebase):
        self.timebase = timebase
        self.tracks = {}
        self.descriptors = []
        self.events = []  # (ns, is no end, order, bytes)

    def track(self, *path):
        """The track of that path of names; each stands below the one before it."""
        if path not in self.tracks:
            parent = self.track(*path[:-1]) if len(path) > 1 else 0
            number = self.tracks[path] = len(self.tracks) + 1
            self.descriptors.append(field(1, number) + field(2, path[-1]) + (field(5, parent) if parent else b""))
        return self.tracks[path]

    def event(self, track, kind, ticks, name="", flows=(), ends=(), notes=None, later=0):
        body = field(9, kind) + field(11, track)
        if name:
            body += field(23, name)
        for key, value in (notes or {}).items():
            body += field(4, field(10, key) + (field(3, value) if isinstance(value, int) else field(6, value)))
        body += b"".join(fixed64(47, f) for f in flows) + b"".join(fixed64(48, f) for f in ends)
        ns = ticks * 1_000_000_000 // self.timebase + later
        self.events.append((ns, kind != SPAN_END, len(self.events), body))  # what ends makes room for what begins

    def span(self, track, begin, end, name, **more):
        self.event(track, SPAN_BEGIN, begin, name, **more)
        self.event(track, SPAN_END, max(begin, end), later=end <= begin)  # none is empty

    def instant(self, track, ticks, name, **more):
        self.event(track, INSTANT, ticks, name, **more)

    def bytes(self):
        out = bytearray()
        for number, body in enumerate(self.descriptors):
            flags = field(13, 1) if number == 0 else b""
            out += field(1, field(10, 1) + flags + field(60, body))
        for ns, _, _, body in sorted(self.events, key=lambda e: e[:3]):
            out += field(1, field(8, ns) + field(10, 1) + field(11, body))
        return bytes(out)


# ---- what the events say

class Doorbells:
    """Who rang whom, from what is known anyway: a claim says that a channel's identity was pending, and what the peer did on that channel
    just before is why: its first request since the claimer last did something, if the claimer serves, or else its first answer."""

    def __init__(self, events):
        self.channels = {}                  # (ring, identity) -> (slot, channel, role, peer)
        self.by_slot = {}                   # (ring, slot) -> the same
        self.slots = {}                     # (ring, channel) -> its slot there
        self.sent = defaultdict(list)       # (channel, role of who sent) -> times of its requests or answers
        self.active = defaultdict(list)     # ring -> times at which it did something
        for e in events:
            self.note(e)
        for times in (*self.sent.values(), *self.active.values()):
            times.sort()
        self.channels.clear()               # in their order once more

    def channel(self, e):
        slot = e.subject, e.a, e.word & 0xff, (e.b >> 48, e.b >> 32 & 0xffff)
        self.channels[e.ring, e.word >> 8] = self.by_slot[e.ring, e.subject] = slot
        self.slots[e.ring, e.a] = e.subject

    def note(self, e):
        if e.ring[1] is None:
            return
        if e.kind == "CHANNEL":
            self.channel(e)
        if e.kind == "MATE":  # in the place of a vault: nobody rings
            self.by_slot.pop((e.ring, e.subject), None)
        if e.kind != "TAKE":  # what the ring was for may be taken before the claim
            self.active[e.ring].append(e.time)
        if e.kind in ("TAKE", "COMPLETE") and (e.ring, e.subject) in self.by_slot:
            _, channel, _, client = self.by_slot[e.ring, e.subject]
            if e.b <= e.time:
                self.sent[channel, 0].append(e.b)
                self.active[client].append(e.b)
            if e.kind == "COMPLETE":
                self.sent[channel, 1].append(e.time)

    def rung(self, claim):
        """The rings that a claim answers, as events of those who rang."""
        bits = claim.a | claim.b << 64
        for identity in (i for i in range(128) if bits >> i & 1):
            _, channel, role, peer = self.channels.get((claim.ring, identity), (0, None, 0, None))
            times = self.sent.get((channel, 1 - role), ())
            active = self.active[claim.ring]
            before = bisect.bisect_left(active, claim.time)
            at = bisect.bisect_right(times, active[before - 1] if before else 0)
            if at < len(times) and times[at] <= claim.time:
                yield Event(peer, times[at], KINDS.index("RING"), self.slots.get((peer, channel), 0), identity, 0, 0)

    def all(self, events):
        """The events with those of doorbells that nobody wrote down."""
        found = []
        for e in events:
            if e.kind == "CHANNEL":
                self.channel(e)
            elif e.kind == "CLAIM":
                found += self.rung(e)
        return sorted([*events, *found], key=lambda e: e.time)


class Trace:
    """Events in the order of time, and the tracks, spans and flows that they make."""

    def __init__(self, events, timebase, names, lost=0, nonsense=0):
        self.events = sorted(events, key=lambda e: e.time)  # stable: the order of a ring stays
        self.written = len(self.events)
        self.events = Doorbells(self.events).all(self.events)
        self.timebase, self.lost, self.nonsense = timebase, lost, nonsense
        self.names = dict(names)  # (core, place) -> name now, while the events are gone through
        self.first_names()
        self.spans = []     # (track path, name, begin, end)
        self.requests = []  # dicts: client, server, seq, submitted, taken, completed
        self.restarts = defaultdict(list)

    def first_names(self):
        """Of who was there before the first event that names it."""
        seen = set()
        for e in self.events:
            if e.kind == "NAME" and e.ring[1] is None and (e.ring[0], e.subject) not in seen:
                seen.add((e.ring[0], e.subject))
                self.names[e.ring[0], e.subject] = e.text()
            elif e.kind == "OPEN" and e.ring not in seen:
                seen.add(e.ring)
                self.names[e.ring] = e.text()

    def who(self, core, place):
        return self.names.get((core, place), f"domain {place}")

    def count(self):
        return Counter(e.kind for e in self.events)

    def says(self):
        """In a sentence what there is."""
        return (f"{self.written} events, {len(self.requests)} requests, {sum('stop' in s for s in self.restarts.values())} services "
                f"restarted, "
                f"{self.lost} events lost, {self.nonsense} that make no sense")

    def write(self):
        """The bytes of the file."""
        return Build(self).done()


class Build:
    """One pass over the events, which writes spans as they end."""

    def __init__(self, trace):
        self.trace = trace
        self.out = Writer(trace.timebase)
        self.running = {}    # core -> (place, name, begin)
        self.channels = {}   # (ring, slot) -> (channel, role, peer)
        self.mates = {}      # (ring, slot) -> component of the same domain
        self.requests = {}   # (ring of the server, slot, seq) -> dict
        self.rings = {}      # core, place of the one who was rung -> flow
        self.phase = {}      # service -> (step name, begin)
        self.restart_end = {}  # service -> end of the last phase
        self.down = {}       # core -> time of its kernel's end
        self.mesh = {}
        self.halted = {}
        self.calls = {}      # (core, place, slot of its ring of calls) -> event that it was taken
        self.lanes = defaultdict(list)
        self.flow = 0
        self.now = 0

    def new_flow(self):
        self.flow += 1
        return self.flow

    def core_track(self, core, what):
        return self.out.track(f"core {core}", what)

    def domain_track(self, ring, what="events"):
        return self.out.track(f"domain {self.trace.who(*ring)} on core {ring[0]}", what)

    def span(self, path, begin, end, name, **more):
        self.trace.spans.append((path, name, begin, end))
        self.out.span(self.out.track(*path), begin, end, name, **more)

    def done(self):
        for core in sorted({e.ring[0] for e in self.trace.events}):
            for what in ("domains", "kernel", "mesh", "life"):
                self.core_track(core, what)
        for e in self.trace.events:
            self.now = e.time
            (self.kernel if e.ring[1] is None else self.domain)(e)
        self.finish()
        return self.out.bytes()

    def finish(self):
        for core in list(self.running):
            self.leave(core, self.now, "")
        for service, (step, begin) in list(self.phase.items()):
            self.span(("restarts", service), begin, self.now, f"{step} (unfinished)")
        for r in self.requests.values():
            self.request_end(r)
        self.calls_end(lambda core, place: True, self.now)
        if self.trace.lost or self.trace.nonsense:
            track = self.out.track("what is missing")
            self.out.instant(track, self.now, f"{self.trace.lost} events were overwritten before they were read, "
                                              f"{self.trace.nonsense} made no sense")

    # -- the kernel's ring

    def kernel(self, e):
        core = e.ring[0]
        handler = getattr(self, f"kernel_{e.kind.lower()}", None)
        if handler:
            handler(core, e)
        elif e.kind in ("BEGIN", "READY", "RESTORE", "RESTORED", "DESTROY"):
            self.out.instant(self.domain_track((core, e.subject)), e.time, e.kind.lower(), notes={"epoch": e.word})

    def kernel_name(self, core, e):
        self.trace.names[core, e.subject] = e.text()

    def kernel_fast_call(self, core, e):
        self.fast(core, e, "calling")

    def kernel_fast_answer(self, core, e):
        self.fast(core, e, "blocked")

    def fast(self, core, e, state):
        """A turn in no time."""
        call = CALLS.index("endpoint_call" if e.kind == "FAST_CALL" else "endpoint_receive")
        self.kernel_turn(core, Event(e.ring, e.time, KINDS.index("TURN"), e.subject, 10 | STATES.index(state) << 8, e.time, call << 32))

    def kernel_turn(self, core, e):
        """What the kernel did from a trap, or its sleep, until a domain ran or it slept again."""
        who, runs, begin = e.subject & 0xff, e.subject >> 8, e.time
        if e.a:
            begin = e.a if e.a <= e.time else e.time
            self.running.setdefault(core, (who, self.trace.who(core, who), begin))
            self.trap(core, e, who, begin)
        for woken in (i for i in range(abi["DOMAIN_MAX"]) if e.b >> i & 1):
            self.wake(core, woken, e.time)
        if self.running.get(core, (None,))[0] != runs:
            state = e.word >> 8 & 0xff
            self.leave(core, begin, STATES[state] if e.a and state < len(STATES) else "")
            if runs != abi["TRACE_NOBODY"]:
                self.running[core] = (runs, self.trace.who(core, runs), e.time)

    def leave(self, core, time, state):
        if core in self.running:
            place, name, begin = self.running.pop(core)
            self.span((f"core {core}", "domains"), begin, time, name, notes={"place": place, "then": state})

    def trap(self, core, e, who, begin):
        cause, interrupt, call = e.word & 0xff, e.word >> 31, e.b >> 32
        name = (INTERRUPTS if interrupt else CAUSES).get(cause, f"cause {cause}")
        if not interrupt and cause == 10 and call < len(CALLS):
            name = CALLS[call]
        self.span((f"core {core}", "kernel"), begin, e.time, name, notes={"domain": self.trace.who(core, who)})

    def wake(self, core, place, time):
        flow = self.rings.get((core, place))
        self.out.instant(self.core_track(core, "kernel"), time, f"wake {self.trace.who(core, place)}", flows=[flow] if flow else [])

    def kernel_raise(self, core, e):
        flow = self.rings.setdefault((core, e.subject), self.flow + 1)
        self.flow = max(self.flow, flow)
        self.out.instant(self.core_track(core, "kernel"), e.time, f"ring {self.trace.who(core, e.subject)}", flows=[flow],
                         notes={"identity": e.word})

    def kernel_call(self, core, e):
        self.calls[core, e.subject, e.a] = e

    def kernel_called(self, core, e):
        taken = self.calls.pop((core, e.subject, e.a), e)
        self.side((core, e.subject), "calls by ring", taken.time, e.time, self.call_name(e.b), notes={"error": e.word})

    def calls_end(self, whose, time):
        """Nobody answers those that are under way."""
        for core, place, slot in [key for key in self.calls if whose(*key[:2])]:
            taken = self.calls.pop((core, place, slot))
            self.side((core, place), "calls by ring", taken.time, time, f"{self.call_name(taken.word)} (unfinished)")

    def call_name(self, number):
        return CALLS[number] if number < len(CALLS) else f"call {number}"

    def kernel_halt(self, core, e):
        self.calls_end(lambda *whose: whose == (core, e.subject), e.time)
        why = FAULTS[e.a] if e.a < len(FAULTS) else "?"
        self.out.instant(self.domain_track((core, e.subject)), e.time, f"stopped: {why}", notes={"cause": e.b, "epoch": e.word})
        self.halted[self.trace.who(core, e.subject)] = e.word, e.time

    def kernel_sent(self, core, e):
        flow = self.mesh[core, e.subject, e.word, e.a, e.b] = self.new_flow()
        self.mesh_instant(core, e, f"to core {e.subject}", flows=[flow])

    def kernel_taken(self, core, e):
        flow = self.mesh.pop((e.subject, core, e.word, e.a, e.b), None)
        self.mesh_instant(core, e, f"from core {e.subject}", ends=[flow] if flow else [])

    def mesh_instant(self, core, e, where, **more):
        name = "answer" if e.b else CALLS[e.a] if e.a < len(CALLS) else f"notice {e.a - len(CALLS)}"
        self.out.instant(self.core_track(core, "mesh"), e.time, f"{name} {where}", notes={"request": e.word}, **more)

    def kernel_start(self, core, e):
        if core in self.down:
            self.span((f"core {core}", "life"), self.down.pop(core), e.time, "dead")
        self.down[core, "start"] = e.time

    def kernel_online(self, core, e):
        self.span((f"core {core}", "life"), self.down.pop((core, "start"), e.time), e.time, f"start of kernel {e.word}")

    def kernel_panic(self, core, e):
        self.leave(core, e.time, "its kernel died")
        self.down[core] = e.time
        self.out.instant(self.core_track(core, "life"), e.time, f"panic of kernel {e.word}")

    def kernel_reboot(self, core, e):
        self.out.instant(self.core_track(core, "life"), e.time, f"sees that core {e.subject} is dead")

    def kernel_launch(self, core, e):
        self.out.instant(self.core_track(core, "life"), e.time, f"starts core {e.subject} again")

    # -- a domain's ring

    def domain(self, e):
        handler = getattr(self, f"domain_{e.kind.lower()}", None)
        if handler:
            handler(e)

    def domain_open(self, e):
        self.trace.names[e.ring] = e.text()
        self.out.instant(self.domain_track(e.ring), e.time, "program begins", notes={"epoch": e.word})

    def domain_channel(self, e):
        self.channels[e.ring, e.subject] = (e.a, e.word & 0xff, (e.b >> 48, e.b >> 32 & 0xffff))
        self.mates.pop((e.ring, e.subject), None)

    def domain_mate(self, e):
        self.channels[e.ring, e.subject] = (None, 0, e.ring)
        self.mates[e.ring, e.subject] = e.text()

    def domain_ring(self, e):
        _, _, peer = self.channels.get((e.ring, e.subject), (0, 0, None))
        flow = self.new_flow()
        if peer in self.rings or peer is None:
            flow = self.rings.get(peer, flow)
        else:
            self.rings[peer] = flow
        self.out.instant(self.domain_track(e.ring), e.time, f"rings {self.trace.who(*peer) if peer else '?'}", flows=[flow],
                         notes={"slot": e.subject, "identity": e.word})

    def domain_claim(self, e):
        flow = self.rings.pop(e.ring, None)
        bits = e.a | e.b << 64
        self.out.instant(self.domain_track(e.ring), e.time, "claims " + ", ".join(str(i) for i in range(128) if bits >> i & 1),
                         ends=[flow] if flow else [])

    def domain_point(self, e):
        text = struct.pack("<QQI", e.a, e.b, e.word).split(b"\0")[0].decode(errors="replace")
        self.out.instant(self.domain_track(e.ring, "points"), e.time, text)

    def asked(self, e):
        """The request of a server's event, with what the client wrote into it: the time of its submission is not believed when it
        cannot be."""
        channel, _, client = self.channels.get((e.ring, e.subject), (None, 0, None))
        r = self.requests.setdefault((e.ring, e.subject, e.word), {"seq": e.word, "channel": channel})
        mate = self.mates.get((e.ring, e.subject))
        r.update(server=e.ring, server_name=mate or self.trace.who(*e.ring), serves=f"{mate} serves" if mate else "serves")
        if client and self.trace.events[0].time <= e.b <= e.time:
            r.update(client=client, client_name=self.trace.who(*client), submitted=e.b)
        return r

    def domain_take(self, e):
        self.asked(e).update(taken=e.time, operation=e.a)

    def domain_complete(self, e):
        r = self.asked(e)
        r.update(completed=e.time, operation=e.a >> 32, status=e.a & 0xffffffff)
        del self.requests[e.ring, e.subject, e.word]
        self.request_end(r)

    def lane(self, track, begin, end):
        """Requests overlap, spans of one track must not: the first lane that is free, None: there are too many."""
        ends = self.lanes[track]
        for number, busy in enumerate(ends):
            if busy <= begin:
                ends[number] = end
                return number
        if len(ends) < PARALLEL:
            ends.append(end)
            return len(ends) - 1
        return None

    def request_end(self, r):
        """Spans on both sides, and a flow from the client's to the server's. The client's ends when the server completes: when it
        looks is told by the doorbell's claim."""
        self.trace.requests.append(r)
        flow = self.new_flow()
        name = f"request {r['seq']} op {r.get('operation', '?')}"
        submitted, taken, completed = (r.get(k) for k in ("submitted", "taken", "completed"))
        if submitted is not None:
            end = completed or taken or submitted
            self.side(r["client"], f"asks {r.get('server_name', '?')}", submitted, end, name, flows=[flow])
        if taken is None and completed is not None:
            taken = completed  # adopted: the incarnation that took it died
        if taken is not None:
            self.side(r["server"], r["serves"], taken, completed or taken, f"{name} of {r.get('client_name', '?')}", ends=[flow])

    def side(self, ring, what, begin, end, name, **more):
        base = (f"domain {self.trace.who(*ring)} on core {ring[0]}", what)
        number = self.lane(base, begin, end)
        if number is None:
            self.out.instant(self.out.track(*base), begin, name, **more)
            return
        path = base if number == 0 else (base[0], f"{what} ({number + 1})")
        self.span(path, begin, end, name, **more)

    # -- the supervisor's phases

    def domain_phase(self, e):
        service = e.text()
        detect, ready = abi["TRACE_PHASE_DETECT"], abi["TRACE_PHASE_READY"]
        step, begin = self.phase.pop(service, (None, e.time))
        if e.subject == detect:
            self.domain_detected(service, e, step, begin)
            return
        if step:
            self.restart_step(service, begin, e.time, step)
        if e.subject == ready:
            self.trace.restarts[service].append("ready")
            self.out.instant(self.out.track("restarts", service), e.time, f"ready as epoch {e.word}")
        elif e.subject < len(STEPS):
            name = "adopt and replay" if STEPS[e.subject] == "watch" else STEPS[e.subject]
            self.phase[service] = (name, e.time)

    def domain_detected(self, service, e, step, begin):
        """The supervisor knows. Of that incarnation's end, that is: another's would be one that was told of long ago."""
        epoch, halted = self.halted.pop(service, (None, 0))
        known = epoch == e.word and halted <= e.time
        if step:  # it died of its restart
            self.restart_step(service, begin, max(begin, halted) if known else e.time, f"{step} (unfinished)")
        if known:
            self.restart_step(service, max(halted, self.restart_end.get(service, 0)), e.time, "stopped, not noticed")
        self.phase[service] = ("decide", e.time)

    def restart_step(self, service, begin, end, name):
        self.span(("restarts", service), begin, end, name)
        self.trace.restarts[service].append(name)
        self.restart_end[service] = end


# ---- reading what was written

def fields(data):
    """(number, value) of each field of a message."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        elif key & 7 == 1:
            yield key >> 3, struct.unpack_from("<Q", data, at)[0]
            at += 8
        elif key & 7 == 2:
            length = number()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            raise TraceError(f"a field of wire type {key & 7} at {at}")


def check_file(data):
    """Tracks, and the faults of a file: times that go backwards, spans that end without having begun, flows with one end."""
    tracks, open_spans, flows, faults, last = {}, Counter(), Counter(), [], 0
    for _, packet in fields(data):
        content = dict(fields(packet))
        if 60 in content:
            track = dict(fields(content[60]))
            tracks[track[1]] = track[2].decode()
            if track.get(5, track[1]) not in tracks:
                faults.append(f"track {track[1]} stands below one that is unknown")
        if 11 not in content:
            continue
        event = list(fields(content[11]))
        kind, track = dict(event)[9], dict(event)[11]
        if content[8] < last:
            faults.append(f"time goes backwards at {content[8]} ns")
        last = content[8]
        if track not in tracks:
            faults.append(f"an event on track {track}, which is unknown")
        open_spans[track] += {SPAN_BEGIN: 1, SPAN_END: -1, INSTANT: 0}[kind]
        if open_spans[track] < 0:
            faults.append(f"a span of track {track} ends that has not begun")
        flows.update(v for n, v in event if n in (47, 48))
    faults += [f"a span of track {t} does not end" for t, n in open_spans.items() if n > 0]
    return tracks, flows, faults


def main():
    data = Path(sys.argv[1]).read_bytes()
    tracks, flows, faults = check_file(data)
    for name in sorted(tracks.values()):
        print(name)
    print(f"{len(tracks)} tracks, {len(flows)} flows, {sum(n > 1 for n in flows.values())} of them with both ends")
    for fault in faults:
        print(fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
