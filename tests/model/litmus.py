#!/usr/bin/env python3
"""Checks litmus tests against RVWMO (RISC-V unprivileged specification, chapter "RVWMO Memory Consistency Model").

usage: litmus.py FILE...
For each file: the outcome named by `exists` must never happen; and with any one of its fences taken out it must be
possible, or that fence would not be needed. The files are in the format of herd7, and a small part of it is known here:
lw, sw, fence, beq, bne, labels. It enumerates all global memory orders, so tests must be small (about ten accesses).
"""
import itertools
import re
import sys
from pathlib import Path


class Access:
    """One load or store of a trace. `control`: loads that branches before it depended on."""

    def __init__(self, thread, place, kind, address, value, data, control):
        self.thread, self.place, self.kind = thread, place, kind
        self.address, self.value, self.data, self.control = address, value, data, control


def parse(text):
    """Returns (registers of each thread, memory, programs, condition)."""
    registers, memory = {}, {}
    inits = re.search(r"\{(.*?)\}", text, re.S)[1]
    for name, value in re.findall(r"([\w:]+)\s*=\s*(\w+)\s*;", inits):
        value = int(value) if value.isdigit() else value
        if ":" in name:
            thread, register = name.split(":")
            registers.setdefault(int(thread), {})[register] = value
        else:
            memory[name] = value
    body, condition = re.search(r"\}\s*(P0.*?)exists\s*(.*)", text, re.S).groups()
    rows = [[cell.strip() for cell in row.split("|")] for row in body.split(";")[1:] if row.strip()]
    threads = len(body.split(";")[0].split("|"))
    programs = [[row[t] for row in rows if t < len(row) and row[t]] for t in range(threads)]
    return registers, memory, programs, condition


def traces(thread, program, registers, values):
    """All traces of one thread, its loads returning any value: (accesses, fences, registers)."""
    labels = {line[:-1]: i for i, line in enumerate(program) if line.endswith(":")}

    def run(i, regs, sources, control, accesses, fences):
        while i < len(program):
            op, *args = re.split(r"[\s,]+", program[i])
            if op == "fence":
                fences = fences + [(len(accesses), args[0], args[1])]
            elif op in ("lw", "sw"):
                address = regs[re.search(r"\((\w+)\)", args[1])[1]]
                if op == "sw":
                    data = sources.get(args[0], frozenset())
                    access = Access(thread, len(accesses), "w", address, regs.get(args[0], 0), data, control)
                    accesses = accesses + [access]
                else:
                    for value in values:
                        access = Access(thread, len(accesses), "r", address, value, frozenset(), control)
                        yield from run(i + 1, {**regs, args[0]: value},
                                       {**sources, args[0]: frozenset([len(accesses)])}, control,
                                       accesses + [access], fences)
                    return
            elif op in ("beq", "bne"):
                left, right = regs.get(args[0], 0), regs.get(args[1], 0)
                control = control | sources.get(args[0], frozenset()) | sources.get(args[1], frozenset())
                if (left == right) == (op == "beq"):
                    i = labels[args[2]]
            elif not op.endswith(":"):
                raise ValueError(f"unknown instruction {program[i]}")
            i += 1
        yield accesses, fences, regs

    yield from run(0, {"x0": 0, **registers}, {}, frozenset(), [], [])


def preserved(a, b, accesses, fences):
    """True when program order from a to b (same thread) is preserved: rules 1, 4, 10, 11. Rule 2 needs values."""
    if a.address == b.address and b.kind == "w":
        return True
    if any(a.place < at <= b.place and a.kind in before and b.kind in after for at, before, after in fences):
        return True
    if b.kind == "w" and (a.place in b.data or a.place in b.control):
        return True
    # rule 12: the load b returns what a store between wrote, whose data came from a
    return b.kind == "r" and any(
        m.kind == "w" and m.address == b.address and a.place in m.data and a.place < m.place < b.place
        for m in accesses)


def orders(accesses, before):
    """All total orders of the accesses in which before[i] come before i."""

    def extend(done, rest):
        if not rest:
            yield done
        for i in rest:
            if not before[i] & rest:
                yield from extend(done + [i], rest - {i})

    yield from extend([], frozenset(range(len(accesses))))


def source(i, accesses, order, memory):
    """Load value axiom: the store that the load i returns, or None for the initial value."""
    at = {k: n for n, k in enumerate(order)}
    load = accesses[i]
    visible = [k for k, a in enumerate(accesses) if a.kind == "w" and a.address == load.address and
               (at[k] < at[i] or (a.thread == load.thread and a.place < load.place))]
    return max(visible, key=lambda k: at[k]) if visible else None


def consistent(accesses, order, memory):
    at = {k: n for n, k in enumerate(order)}
    sources = {}
    for i, a in enumerate(accesses):
        if a.kind == "r":
            sources[i] = source(i, accesses, order, memory)
            if a.value != (memory.get(a.address, 0) if sources[i] is None else accesses[sources[i]].value):
                return False
    for i, j in itertools.permutations(sources, 2):  # rule 2: loads of one address from different stores keep order
        a, b = accesses[i], accesses[j]
        if (a.thread, a.address) == (b.thread, b.address) and a.place < b.place and sources[i] != sources[j]:
            between = any(m.kind == "w" and m.thread == a.thread and m.address == a.address and
                          a.place < m.place < b.place for m in accesses)
            if not between and at[i] > at[j]:
                return False
    return True


def holds(condition, registers):
    def value(match):
        return str(registers[int(match[1])].get(match[2], 0) == int(match[3]))

    text = re.sub(r"(\d+):(x\d+)\s*=\s*(\d+)", value, condition)
    return eval(text.replace("/\\", " and ").replace("\\/", " or "))  # numbers, True, False and brackets only


def possible(test):
    registers, memory, programs, condition = test
    numbers = [v for v in memory.values()] + [v for r in registers.values() for v in r.values() if isinstance(v, int)]
    values = sorted({0, *numbers})
    all_traces = [list(traces(t, p, registers.get(t, {}), values)) for t, p in enumerate(programs)]
    for chosen in itertools.product(*all_traces):
        if not holds(condition, [regs for _, _, regs in chosen]):
            continue
        accesses = [a for trace, _, _ in chosen for a in trace]
        before = [frozenset(
            i for i, a in enumerate(accesses) if a.thread == b.thread and a.place < b.place and
            preserved(a, b, chosen[b.thread][0], chosen[b.thread][1])) for b in accesses]
        if any(consistent(accesses, order, memory) for order in orders(accesses, before)):
            return True
    return False


def without_fence(test, thread, line):
    registers, memory, programs, condition = test
    programs = [[row for i, row in enumerate(p) if (t, i) != (thread, line)] for t, p in enumerate(programs)]
    return registers, memory, programs, condition


def check(path):
    test = parse(re.sub(r"\(\*.*?\*\)", "", path.read_text(), flags=re.S))
    complaints = ["the outcome is possible"] if possible(test) else []
    fences = [(t, i, row) for t, p in enumerate(test[2]) for i, row in enumerate(p) if row.startswith("fence")]
    for thread, line, row in fences:
        if not possible(without_fence(test, thread, line)):
            complaints.append(f"`{row}` of P{thread} is not needed")
    if complaints:
        print(f"FAIL litmus {path.stem}: {', '.join(complaints)}")
    else:
        print(f"PASS litmus {path.stem}: never, and possible without any one of its {len(fences)} fences")
    return not complaints


if __name__ == "__main__":
    sys.exit(0 if all([check(Path(name)) for name in sys.argv[1:]]) else 1)
