"""Traces (docs/trace.md): rings are read while the machine runs, after a crash and after its end; what Perfetto is given is sound;
the collector counts what it lost."""
import struct

import tracing
from framework import ROOT, case
from test_run import make
from tracing import EVENT, KINDS, Collector, Event, Recording, Ring, Trace, abi, check_file, memory_bytes


def traced(t, **options):
    """A machine that is traced, at its prompt, and its recording."""
    file = t.folder / "memory"
    recording = Recording(file, "512M")
    return t.boot(append="trace", memory_file=str(file), **options), recording


def sound(t, trace):
    """Writes the trace, checks the file; returns the names of its tracks."""
    tracks, flows, faults = check_file(trace.write())
    t.equal(faults, [], "faults of the file")
    t.check(any(n > 1 for n in flows.values()), "no flow has two ends")
    return tracks.values()


def event(ring, time, kind, subject=0, word=0, a=0, b=0):
    return Event(ring, time, KINDS.index(kind), subject, word, a, b)


def name(text):
    return dict(zip("ab", struct.unpack("<QQ", text.encode().ljust(16, b"\0"))))


def complete(trace, client, server):
    """Requests of which all steps were seen, in their order."""
    steps = ("submitted", "taken", "completed")
    return [r for r in trace.requests if r.get("client_name") == client and r.get("server_name") == server and
            all(s in r for s in steps) and [r[s] for s in steps] == sorted(r[s] for s in steps)]


@case
def trace_shows_a_restart_under_load(t):
    machine, recording = traced(t, cores=4)
    t.run(machine, "storm 1 --quiet --rate 0")
    t.run(machine, "crash fs")
    t.run(machine, "ls /")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    trace = recording.stop()
    tracks = sound(t, trace)
    for name in ("core 0", "domain fs on core 2", "restarts", "fs"):
        t.check(name in tracks, f"there is no track '{name}' in {sorted(set(tracks))}")
    wanted = ["stopped, not noticed", "decide", "stop", "quiesce", "unregister", "restore", "device", "start",
              "adopt and replay", "ready"]
    steps = trace.restarts["fs"]
    t.check(any(steps[i:i + len(wanted)] == wanted for i in range(len(steps))), f"phases of the restarts of fs: {steps}")
    t.check(any(s[:2] == (("core 2", "kernel"), "illegal instruction") for s in trace.spans), "what it died of is not among the traps")
    spans = [s for s in trace.spans if s[0] == ("restarts", "fs")]
    t.check(all(a[3] <= b[2] for a, b in zip(spans, spans[1:])), "phases of a restart overlap")
    t.check(complete(trace, "storm", "fs"), "no request of storm to fs is whole")
    t.check(complete(trace, "fs", "blk"), "no request of fs to blk is whole")


@case
def trace_outlives_a_kernel(t):
    """The ring of a kernel that died still holds what it did before, and its next incarnation goes on behind it."""
    machine, recording = traced(t, cores=4, disk=None)
    t.run(machine, "crash core 2")
    t.run(machine, "ls /")
    collector = Collector(t.folder / "memory", "512M")  # one that comes late: only what stands in the rings now
    collector.look()
    late = collector.trace()
    life = [(e.kind, e.word) for e in late.events if e.ring == (2, None) and e.kind in ("START", "ONLINE", "PANIC")]
    t.equal(life, [("START", 1), ("ONLINE", 1), ("PANIC", 1), ("START", 2), ("ONLINE", 2)], "life of the kernel of core 2")
    first = next(i for i, e in enumerate(late.events) if e.kind == "PANIC")
    before = [e for e in late.events[:first] if e.ring == (2, None)]
    t.check(any(e.kind == "TURN" for e in before), "its ring does not hold what it ran before it died")
    sound(t, late)
    t.check(any(s[:2] == (("core 2", "life"), "dead") for s in late.spans), "there is no span of its death")
    machine.kill()  # QEMU is gone, the memory is not
    trace = recording.stop()
    t.check(len(trace.events) >= len(late.events), f"{len(trace.events)} events at the end, {len(late.events)} before")


@case
def trace_shows_calls_without_a_channel(t):
    """Of endpoints on the fast path, and from a domain's ring of calls."""
    machine, recording = traced(t, cores=1, disk=None)
    t.run(machine, "ls /")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    trace = recording.stop()
    sound(t, trace)
    served = {s[2] for s in trace.spans if s[:2] == (("core 0", "domains"), "fs")}
    calls = [e.time for e in trace.events if e.kind == "FAST_CALL" and e.time in served]
    t.check(calls, "nobody called fs by its endpoint, or it did not have the core from then on")
    ended = {s[3] for s in trace.spans if s[:2] == (("core 0", "domains"), "fs")}
    t.check(any(e.kind == "FAST_ANSWER" and e.time in ended for e in trace.events), "no answer of fs ends its turn")
    ring = [s for s in trace.spans if s[0][0] == "domain supervisor on core 0" and s[0][1].startswith("calls by ring")]
    t.check({"domain_create", "domain_load"} <= {s[1] for s in ring}, f"calls of the supervisor by its ring: {ring}")
    t.check(all("unfinished" not in s[1] for s in ring), "they do not end")
    t.check(any(s[1] == "domain_load" and s[2] < s[3] for s in ring), "none of them takes time")


@case
def trace_shows_requests_within_a_domain(t):
    machine, recording = traced(t, cores=2, boot=str(ROOT / "build/boot-one-domain.img"))
    t.run(machine, "bench echo --count 3")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    trace = recording.stop()
    tracks = sound(t, trace)
    for client, server in (("bench", "echo"), ("fs", "blk")):
        found = complete(trace, client, server)
        t.check(found and all(r["client"] == r["server"] for r in found), f"no request of {client} to {server} is whole")
        t.check({f"asks {server}", f"{server} serves"} <= set(tracks), f"tracks: {sorted(set(tracks))}")


@case
def trace_by_make(t):
    out = t.folder / "a.pftrace"
    code, output = make(t, "trace", "DISK=none", "CORES=2", f"OUT={out}", "CMD=ls /")
    t.equal(code, 0, f"exit status ({output[-300:]!r})")
    t.check("open it at ui.perfetto.dev" in output, f"it says {output[-300:]!r}")
    tracks, _, faults = check_file(out.read_bytes())
    t.equal(faults, [], "faults of the file")
    t.check("domain shell on core 1" in tracks.values(), f"tracks: {sorted(set(tracks.values()))}")
    code, output = make(t, "trace")
    t.check(code == 2 and "CMD='...' says what is to be traced" in output, f"without CMD: {code} {output[-200:]!r}")


@case
def trace_is_off_without_its_word(t):
    """No memory is taken, and the collector says why there is nothing."""
    file = t.folder / "memory"
    collector = Collector(file, "512M")
    machine = t.boot(cores=2, disk=None, memory_file=str(file))
    try:
        collector.look()
        said = "nothing"
    except tracing.TraceError as error:
        said = str(error)
    t.equal(said, "the machine was booted without the boot argument `trace`", "what the collector says")
    t.check("traced" not in machine.text, "the machine speaks of traces")


@case
def top_shows_each_domain(t):
    machine = t.boot(cores=2)
    output = t.run(machine, "top 2")
    t.equal(output.count("domain          core  index    busy  switches     traps doorbells  requests"), 2, "headings")
    t.check("\nfs " in output and "\nsupervisor " in output, f"it says {output!r}")
    machine.type("top\n")
    machine.expect("requests: served.*requests: served".replace(".*", r"[\s\S]*"))
    machine.type("\x03")
    machine.prompt()


# ---- without a machine

def ring_memory(events, next_=None):
    """Memory with a ring of 8 places at 0."""
    memory = bytearray(abi["TRACE_HEADER_BYTES"] + 8 * EVENT.size)
    for n, (time, kind, word) in enumerate(events):
        EVENT.pack_into(memory, abi["TRACE_HEADER_BYTES"] + n % 8 * EVENT.size, time, KINDS.index(kind) if kind in KINDS else 999, 0, word, 0, 0)
    struct.pack_into("<Q", memory, 8, len(events) if next_ is None else next_)
    return memory


@case
def collector_counts_what_it_lost(t):
    ring = Ring((0, None), 0, 8)
    ring.look(ring_memory([(n, "RAISE", n) for n in range(5)]))
    t.equal(([e.word for e in ring.kept], ring.lost), ([0, 1, 2, 3, 4], 0), "the first five")
    ring.look(ring_memory([(n, "RAISE", n) for n in range(20)]))  # 7 places are sure: the eighth is being written
    t.equal(([e.word for e in ring.kept[5:]], ring.lost), (list(range(13, 20)), 8), "of fifteen more")
    ring.look(ring_memory([(n, "RAISE", n) for n in range(20)]))
    t.equal(len(ring.kept), 12, "nothing is new")
    ring = Ring((0, None), 0, 8)
    ring.look(ring_memory([(5, "RAISE", 0), (4, "RAISE", 1), (6, "no kind", 2), (7, "RAISE", 3)]))
    t.equal(([e.word for e in ring.kept], ring.nonsense), ([0, 3], 2), "time that goes backwards, and a kind that is none")
    ring = Ring((0, None), 0, 8)
    ring.look(ring_memory([], next_=1 << 60))  # a domain can write there what it likes
    t.equal((len(ring.kept), ring.nonsense), (0, 7), "a ring that says it came round for ever")


@case
def collector_forgets_the_oldest(t):
    """Of all rings together, and counts it as lost."""
    before, tracing.EVENTS_KEPT = tracing.EVENTS_KEPT, 12
    try:
        collector = Collector.__new__(Collector)
        collector.rings = [Ring((0, None), 0, 8), Ring((1, None), 0, 8)]
        for begin in range(0, 20, 5):
            collector.memory = ring_memory([(begin + n, "RAISE", begin + n) for n in range(5)], 5)
            for ring in collector.rings:
                ring.read = 0
            collector.look()
    finally:
        tracing.EVENTS_KEPT = before
    t.equal([[e.word for e in ring.kept] for ring in collector.rings], [list(range(15, 20))] * 2, "events that are kept")
    t.equal([ring.lost for ring in collector.rings], [15, 15], "events that are gone")


@case
def converter_shows_restarts(t):
    """One that was noticed late, one of a core that died (nobody told of a stop), one that died of its restart."""
    supervisor, kernel = (0, 0), (1, None)

    def named(ring, time, kind, text, subject, word):
        return Event(ring, time, KINDS.index(kind), subject, word, *struct.unpack("<QQ", text.encode().ljust(16, b"\0")))

    def phase(time, subject, epoch):
        return named(supervisor, time, "PHASE", "fs", subject, epoch)

    def halt(time, epoch):
        return Event(kernel, time, KINDS.index("HALT"), 3, epoch, 1, 0)
    detect, ready = abi["TRACE_PHASE_DETECT"], abi["TRACE_PHASE_READY"]
    events = [named(kernel, 1, "NAME", "fs", 3, 1), halt(10, 1), phase(12, detect, 1), phase(14, 0, 1), phase(16, ready, 2),
              phase(20, detect, 2), phase(22, 5, 2), halt(24, 3), phase(26, detect, 3), phase(27, 6, 3), phase(29, ready, 4)]
    trace = Trace(events, 1000, {})
    tracks, _, faults = check_file(trace.write())
    t.equal(faults, [], "faults of the file")
    t.equal(trace.restarts["fs"], ["stopped, not noticed", "decide", "stop", "ready", "decide", "start (unfinished)", "stopped, not noticed",
                                   "decide", "adopt and replay", "ready"], "phases")
    spans = [s[2:] for s in trace.spans if s[0] == ("restarts", "fs")]
    t.equal(spans, [(10, 12), (12, 14), (14, 16), (20, 22), (22, 24), (24, 26), (26, 27), (27, 29)], "spans")


@case
def converter_finds_who_rang(t):
    """No doorbell of a channel is written down: the claim names the channel, the requests say what it was for."""
    client, server = (0, 1), (1, 2)
    events = [event(client, 1, "CHANNEL", 3, 0 | 8 << 8, 77, 1 << 48 | 2 << 32), event(server, 1, "CHANNEL", 5, 1 | 9 << 8, 77, 1 << 32),
              event(server, 12, "CLAIM", a=1 << 9), event(server, 13, "TAKE", 5, 1, 4, 10), event(server, 14, "TAKE", 5, 2, 4, 11),
              event(server, 20, "COMPLETE", 5, 1, 4 << 32, 10), event(server, 21, "COMPLETE", 5, 2, 4 << 32, 11),
              event(client, 25, "CLAIM", a=1 << 8), event(server, 33, "TAKE", 5, 3, 4, 30), event(server, 34, "CLAIM", a=1 << 9),
              event(client, 40, "CLAIM", a=1 << 8 | 1 << 60)]
    trace = Trace(events, 1000, {})
    t.equal([(e.time, e.ring, e.subject, e.word) for e in trace.events if e.kind == "RING"],
            [(10, client, 3, 9), (20, server, 5, 8), (30, client, 3, 9)], "rings: the first of each burst, and none for the claim in vain")
    sound(t, trace)


@case
def converter_shows_calls_without_a_channel(t):
    """Turns in no time; calls by a ring of which one is answered, one was taken by who dies, one is under way at the end."""
    kernel = (0, None)
    null, load = tracing.CALLS.index("null"), tracing.CALLS.index("domain_load")
    garbage = {"word": 0xffffffff, "a": 1 << 60, "b": 1 << 60}  # of the event that stood there before
    events = [event(kernel, 10, "TURN", 0xff | 1 << 8), event(kernel, 20, "FAST_CALL", 1 | 2 << 8, **garbage),
              event(kernel, 30, "FAST_ANSWER", 2 | 1 << 8, **garbage), event(kernel, 40, "CALL", 1, null, 7), event(kernel, 41, "CALL", 1, load, 8),
              event(kernel, 42, "CALLED", 1, 0, 7, null), event(kernel, 43, "CALL", 2, load, 8),
              event(kernel, 50, "HALT", 1, 1, 1), event(kernel, 60, "TURN", 1 | 0xff << 8, 10, 55)]
    trace = Trace(events, 1000, {(0, 1): "asker", (0, 2): "helper"})
    t.equal(check_file(trace.write())[2], [], "faults of the file")
    on = {path: [s[1:] for s in trace.spans if s[0] == path] for path in {s[0] for s in trace.spans}}
    t.equal(on["core 0", "domains"], [("asker", 10, 20), ("helper", 20, 30), ("asker", 30, 55)], "who had the core")
    t.equal([s[0] for s in on["core 0", "kernel"]], ["endpoint_call", "endpoint_receive", "null"], "traps")
    t.equal(on["domain asker on core 0", "calls by ring"], [("null", 40, 42)], "an answered one")
    t.equal(on["domain asker on core 0", "calls by ring (2)"], [("domain_load (unfinished)", 41, 50)], "one of the dead")
    t.equal(on["domain helper on core 0", "calls by ring"], [("domain_load (unfinished)", 43, 60)], "one at the end")


@case
def converter_shows_requests_within_a_domain(t):
    """Where a vault's slot is a mate's, nobody rings."""
    both, supervisor = (0, 1), (1, 0)
    events = [event(both, 1, "OPEN", **name("fs")), event(supervisor, 1, "OPEN", **name("supervisor")),
              event(both, 2, "CHANNEL", 3, 0 | 9 << 8, 77, 1 << 48), event(supervisor, 2, "CHANNEL", 4, 1 | 8 << 8, 77, 1 << 32),
              event(both, 3, "MATE", 3, **name("blk")), event(both, 10, "TAKE", 3, 1, 5, 10), event(supervisor, 11, "CLAIM", a=1 << 8),
              event(both, 14, "COMPLETE", 3, 1, 5 << 32, 10)]
    trace = Trace(events, 1000, {})
    t.equal([e for e in trace.events if e.kind == "RING"], [], "rings")
    tracks, _, faults = check_file(trace.write())
    t.equal(faults, [], "faults of the file")
    t.equal(len(complete(trace, "fs", "blk")), 1, "whole requests")
    t.check({"asks blk", "blk serves"} <= set(tracks.values()), f"tracks: {sorted(tracks.values())}")


@case
def converter_makes_sound_files(t):
    """Requests that overlap, that never end, and of which one side was lost."""
    client, server = (0, 1), (1, 2)
    events = [event(client, 1, "OPEN", **name("asker")), event(server, 1, "OPEN", **name("helper")),
              event(client, 2, "CHANNEL", 3, 0, 77, 1 << 48 | 2 << 32), event(server, 2, "CHANNEL", 5, 1, 77, 1 << 32)]
    for seq in range(20):  # all under way at once
        events += [event(server, 20, "TAKE", 5, seq, 9, 10), event(server, 30 + seq, "COMPLETE", 5, seq, 9 << 32, 10)]
    events += [event(server, 90, "COMPLETE", 5, 500, 9 << 32, 15), event(server, 91, "TAKE", 5, 501, 9, 1 << 50),
               event((0, None), 92, "TURN", 1 | 2 << 8, 10, 1 << 50), event((0, None), 93, "PANIC", 0, 1), event((0, None), 94, "TURN", 0xffff)]
    trace = Trace(events, 1000, {})
    tracks = sound(t, trace)
    whole = complete(trace, "asker", "helper")
    t.equal(len(whole), 20, "requests of which everything is known")
    t.equal(len(trace.requests), 22, "requests in all")
    t.equal([(r["seq"], "client" in r, "taken" in r) for r in trace.requests[20:]], [(500, True, False), (501, False, True)],
            "one that was adopted, and one whose client lies about the time")
    t.check("asks helper (8)" in tracks and "asks helper (9)" not in tracks, f"tracks: {sorted(tracks)}")


@case
def converter_reads_sizes(t):
    for text, expected in {"512M": 512 << 20, "2G": 2 << 30, "64": 64 << 20, "8k": 8 << 10}.items():
        t.equal(memory_bytes(text), expected, text)
    t.check((ROOT / "include/abi/trace.h").exists() and len(KINDS) > 20 and KINDS[0] == "NOTHING", f"kinds: {KINDS}")
