"""Reads constants, enums and structs out of include/abi/*.h, so that no number or layout is written twice.

Understands what those headers use: `#define NAME number-expression`, `enum x { A, B }` without values, and structs of
fixed-width fields and arrays. A layout is checked against the header's own `_Static_assert(sizeof(struct x) == N`.
"""
import re
import struct
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent.parent / "include" / "abi"
CODES = {"uint8_t": "B", "char": "c", "uint16_t": "H", "uint32_t": "I", "uint64_t": "Q"}


class Abi:
    def __init__(self, *headers):
        self.constants = {}
        self.text = ""
        for header in headers:
            text = re.sub(r"//[^\n]*|/\*.*?\*/", "", (INCLUDE / header).read_text(), flags=re.S)
            self.text += text
            self._read_defines(text)
            self._read_enums(text)

    def _read_defines(self, text):
        for name, value in re.findall(r"^#define +(\w+) +([^\n(\\]+)$", text, re.M):
            try:
                self.constants[name] = self.value(value)
            except (NameError, SyntaxError):
                pass

    def _read_enums(self, text):
        for _, body in re.findall(r"enum (\w+) \{([^}#]*)\}", text):
            for number, name in enumerate(n.strip() for n in body.split(",") if n.strip()):
                if "=" not in name:
                    self.constants[name] = number

    def value(self, expression):
        plain = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]*\b", r"\1", expression.strip())
        if not re.fullmatch(r"[\w\s+*/<>()-]+", plain):
            raise SyntaxError(expression)
        return int(eval(plain.replace("/", "//"), {"__builtins__": {}}, dict(self.constants)))  # header's own numbers

    def __getitem__(self, name):
        return self.constants[name]

    def struct(self, name):
        return Struct(self, name)


class Struct:
    """One struct of a header; pack() makes its bytes, unnamed fields are zero."""

    def __init__(self, abi, name):
        self.name = name
        self.fields = {}
        self.size, align = 0, 1
        body = re.search(r"struct " + name + r" \{(.*?)\n\}", abi.text, re.S).group(1)
        for kind, field, dimensions in re.findall(r"((?:struct )?\w+) (\w+)((?:\[[^\]]+\])*);", body):
            counts = [abi.value(d) for d in re.findall(r"\[([^\]]+)\]", dimensions)]
            inner = Struct(abi, kind[7:]) if kind.startswith("struct ") else None
            unit = inner.size if inner else struct.calcsize(CODES[kind])
            unit_align = inner.align if inner else unit
            count = 1
            for c in counts:
                count *= c
            self.size = -(-self.size // unit_align) * unit_align
            self.fields[field] = (self.size, inner or CODES[kind], counts, unit)
            self.size += unit * count
            align = max(align, unit_align)
        self.align = align
        self.size = -(-self.size // align) * align
        stated = re.search(r"sizeof\(struct " + name + r"\) == ([^,]+),", abi.text)
        if stated and abi.value(stated.group(1)) != self.size:
            raise ValueError(f"struct {name} has {self.size} bytes here, its header says {stated.group(1)}")

    def pack(self, **values):
        out = bytearray(self.size)
        for field, value in values.items():
            offset, kind, counts, unit = self.fields[field]
            self._put(out, offset, kind, counts, unit, value)
        return bytes(out)

    def _put(self, out, offset, kind, counts, unit, value):
        if isinstance(kind, Struct):
            for i, item in enumerate(value if counts else [value]):
                out[offset + i * unit:offset + (i + 1) * unit] = kind.pack(**item)
        elif kind == "c" and isinstance(value, str):
            data = value.encode()
            if len(data) > counts[-1]:
                raise ValueError(f"{value!r} does not fit into {counts[-1]} bytes")
            out[offset:offset + len(data)] = data
        elif isinstance(value, (list, tuple)):
            step = unit * (counts[-1] if len(counts) > 1 else 1)
            for i, item in enumerate(value):
                self._put(out, offset + i * step, kind, counts[1:], unit, item)
        else:
            struct.pack_into("<" + kind, out, offset, value)

    def unpack(self, data, at=0):
        """Scalar fields and char arrays as a dict; for tools that look into what they made."""
        result = {}
        for field, (offset, kind, counts, unit) in self.fields.items():
            if isinstance(kind, Struct) or len(counts) > 1:
                continue
            if kind == "c":
                raw = data[at + offset:at + offset + counts[0]]
                result[field] = raw.split(b"\0")[0].decode(errors="replace")
            elif not counts:
                result[field] = struct.unpack_from("<" + kind, data, at + offset)[0]
        return result
