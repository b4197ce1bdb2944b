"""bench runs to its end and prints every figure; the direct doorbells of two idle cores need no kernel."""
import re

from framework import case

FIGURE = re.compile(r"^BENCH (\S+) (\d+) (\S+)$", re.M)
EXPECTED = {"doorbell": ["poll.min", "doorbell.bare.min", "doorbell.spin.median", "doorbell.sleep.median",
                         "notify.sleep.median", "notify.handler.median"],
            "latency": ["latency.alone.min", "latency.compute.median", "latency.calls.max", "latency.memory.max"],
            "kernel": ["kernel.spin.min", "kernel.sleep.min"],
            "channel": ["call.null.median", "call.64.min", "call.64k.out.min", "call.64k.in.min", "pipelined.rate",
                        "pipelined.64.rate", "quick.fibers.48.min", "near.null.min"],
            "grants": ["copy.out.64k.min", "lend.out.64k.min", "take.256k.min", "near.lend.in.256k.median"],
            "switch": ["yield.round.min"],
            "fault": ["fault.skip.min", "fault.map.min", "fault.first.median", "program.call.min"],
            "sizes": ["write.4k.min", "write.1m.median", "read.64k.min", "read.cold.min", "sync.4k.min", "stat.min",
                      "open.close.min", "file.cycle.median"],
            "memory": ["page.one.min", "page.many.median"],
            "start": ["program.start.min"],
            "files": ["file.write", "file.read", "file.read.cold", "file.create.min", "file.unlink.min"]}
# The supervisor asks each kernel now and then whether it lives; that is a trap of that kernel, not of the doorbell.
ASKED = 20
BUSY_SECONDS = 1200  # failsafe: spinning sides of a busy host lose a slice in each round


def figures(output):
    return {name: int(value) for name, value, _ in FIGURE.findall(output)}


@case(topic=list(EXPECTED))
def bench_prints_figures(t, topic):
    machine = t.boot(cores=8)
    seen = figures(t.run(machine, f"bench {topic} --lines" + ("" if topic in ("fault", "files", "sizes", "memory", "start") else " --count 500")))
    for name in EXPECTED[topic]:
        t.check(name in seen, f"bench {topic} printed {sorted(seen)}, not {name}")


@case
def bench_prints_each_figure_once(t):
    """Without --lines a person reads the tables and nothing else."""
    machine = t.boot()
    output = t.run(machine, "bench switch channel --count 100")
    t.check("BENCH" not in output, f"it prints {output!r}")
    for name in ("yield.round", "pipelined.rate", "call.null"):
        t.equal(len(re.findall(rf"^{re.escape(name)} ", output, re.M)), 1, f"rows of {name} in {output!r}")


@case
def bench_doorbells_enter_no_kernel(t):
    machine = t.boot(cores=8)
    seen = figures(t.run(machine, "bench doorbell --lines --count 100000", seconds=BUSY_SECONDS))
    for name in ("doorbell.spin.traps", "doorbell.sleep.traps", "notify.sleep.traps", "notify.handler.traps"):
        t.check(seen[name] <= ASKED, f"{name}: {seen[name]} traps of both kernels in 100000 rounds")


@case
def bench_counts_a_grant(t):
    """Instructions are counted, so no load of the host is seen."""
    machine = t.boot(cores=2, flags=["-icount", "shift=0,sleep=off"])
    seen = figures(t.run(machine, "bench grants --lines --icount --count 50", seconds=BUSY_SECONDS))
    for name in ("grant.64k", "near.grant.64k"):
        t.check(0 < seen[name] <= 2500, f"{name}: {seen[name]} instructions for 16 pages")


MARKS = {"null.call": 40, "endpoint.0": 290, "endpoint.4": 300, "endpoint.8": 320, "fault.skip": 500, "fault.map": 500, "program.call": 200}


@case
def bench_counts_calls_and_faults(t):
    """The marks of calls on one core, and of a program's fault to its library OS and back, by the instruction."""
    machine = t.boot(cores=2, flags=["-icount", "shift=0,sleep=off"])
    seen = figures(t.run(machine, "bench endpoint fault --lines --icount", seconds=BUSY_SECONDS))
    for name, mark in MARKS.items():
        count = seen[f"{name}.instructions"]
        t.check(0 < count <= mark, f"{name}: {count} instructions, not at most {mark}")
