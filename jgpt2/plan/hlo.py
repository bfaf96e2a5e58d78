"""Scheduled HLO text as data: computations of instructions in the order in which they run.

Only what the estimate asks for is read: names, shapes, opcodes, operands and the attributes, these
as text. The grammar is that of XLA's printer (`xla/hlo/ir/hlo_instruction.cc`).
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_BITS = {
    "pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "s32": 32, "u32": 32,
    "s64": 64, "u64": 64, "bf16": 16, "f16": 16, "f32": 32, "f64": 64,
}  # fmt: skip
_ARRAY = re.compile(r"\b(pred|[su](?:4|8|16|32|64)|bf16|f16|f32|f64|f8\w+)\[([0-9,]*)\]")
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_START = re.compile(r"\s+(?:ROOT )?%[\w.\-]+ = ")
_NAMED = re.compile(r"\s+(ROOT )?%([\w.\-]+) = (.*)", re.DOTALL)
_OPERAND = re.compile(r"%([\w.\-]+)")


@dataclass(frozen=True)
class Array:
    """Type and extents of one array of a shape."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """As stored without padding."""
        return math.prod(self.dims) * _BITS.get(self.dtype, 8) // 8


@dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    """What stands behind the operands, as printed."""
    literal: str
    """What stands between the brackets of the operands: the value of a constant."""
    is_root: bool

    @property
    def arrays(self) -> list[Array]:
        """The arrays of its result."""
        return arrays(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of its result."""
        return sum(array.num_bytes for array in self.arrays)

    def called(self, attribute: str) -> str | None:
        """Name of the computation that an attribute such as `calls` or `body` names."""
        match = re.search(rf"\b{attribute}=\{{?%([\w.\-]+)", self.attributes)
        return match[1] if match else None

    @property
    def op_name(self) -> str:
        """Where in the program it comes from; its own name where that is not said."""
        match = re.search(r'op_name="([^"]*)"', self.attributes)
        return match[1] if match else self.name

    @property
    def estimated_cycles(self) -> int | None:
        """The compiler's own estimate of its cycles."""
        match = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(match[1]) if match else None

    @property
    def channel(self) -> str | None:
        """What the parts of one collective have in common."""
        match = re.search(r"channel_id=(\d+)", self.attributes)
        return match[1] if match else None


@dataclass(frozen=True)
class Computation:
    """Instructions in the order of the schedule."""

    name: str
    instructions: Sequence[Instruction]

    @functools.cached_property
    def by_name(self) -> Mapping[str, Instruction]:
        """Name -> instruction."""
        return {instruction.name: instruction for instruction in self.instructions}

    @property
    def root(self) -> Instruction:
        """The instruction whose result is that of the computation."""
        return next(line for line in self.instructions if line.is_root)

    def operand_bytes(self, instruction: Instruction) -> int:
        """Bytes of the operands of one of its instructions."""
        return sum(
            self.by_name[name].num_bytes for name in instruction.operands if name in self.by_name
        )


@dataclass(frozen=True)
class Module:
    """A compiled program."""

    computations: Mapping[str, Computation]
    entry: Computation

    def inside(self, name: str | None, depth: int = 6) -> Iterator[tuple[Computation, Instruction]]:
        """Every instruction of a computation, and of those that it calls."""
        computation = self.computations.get(name or "")
        if computation is None or depth == 0:
            return
        for instruction in computation.instructions:
            yield computation, instruction
            if instruction.opcode in ("fusion", "call"):
                callee = instruction.called("calls") or instruction.called("to_apply")
                yield from self.inside(callee, depth - 1)


def arrays(shape: str) -> list[Array]:
    """The arrays of a shape, a tuple's one after another.

    >>> [array.num_bytes for array in arrays("(bf16[8,128]{1,0:T(8,128)(2,1)S(1)}, u32[]{:S(2)})")]
    [2048, 4]
    """
    return [
        Array(dtype, tuple(int(extent) for extent in dims.split(",") if extent))
        for dtype, dims in _ARRAY.findall(shape)
    ]


def parse(text: str) -> Module:
    """The module of what `compiled.as_text()` gives."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in _logical_lines(text):
        if match := _HEAD.match(line):
            current = computations[match[2]] = []
            entry = match[2] if match[1] else entry
        elif current is not None and (instruction := _instruction(line)):
            current.append(instruction)
    named = {name: Computation(name, lines) for name, lines in computations.items()}
    return Module(named, named[entry])


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with what the printer broke off joined again: attributes may hold line breaks."""
    held: list[str] = []
    for line in text.splitlines():
        if _START.match(line) or _HEAD.match(line) or line == "}":
            if held:
                yield "".join(held)
            held = [] if line == "}" else [line]
        elif held:
            held.append(line)
    if held:
        yield "".join(held)


def _instruction(line: str) -> Instruction | None:
    match = _NAMED.match(line)
    if not match:
        return None
    body = match[3]
    shape_end = _closing(body) + 1 if body.startswith("(") else body.index(" ")
    opcode, bracket, rest = body[shape_end:].lstrip().partition("(")
    if not bracket or not re.fullmatch(r"[a-z][a-z0-9\-]*", opcode):
        return None
    end = _closing("(" + rest) - 1
    return Instruction(
        name=match[2],
        shape=body[:shape_end],
        opcode=opcode,
        operands=tuple(_OPERAND.findall(rest[:end])),
        attributes=rest[end + 1 :],
        literal=rest[:end],
        is_root=bool(match[1]),
    )


def _closing(text: str) -> int:
    """Place of the bracket that closes the one with which the text starts."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return len(text) - 1
