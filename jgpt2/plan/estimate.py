"""Seconds of a compiled step, from its schedule: each thing priced, loops by how often they run.

The compiler writes the cycles that it expects beside every fusion, matrix product and copy. Loops
are printed once and paid for each time; collectives and copies that run beside other work cost only
what is left of them when their result is waited for. Never asked are XLA's `optimal_seconds`
(loops once, links and Pallas kernels at nothing) and the FLOPs of its `cost_analysis`.
"""

import collections
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from jgpt2.plan import hlo, interconnect, kernels, loops

CLASSES = ("matmul", "vector", "attention_kernel", "collective", "copy", "no_estimate")
"""matmul: fusions with a matrix product. vector: other fusions. attention_kernel: Pallas kernels.
collective: what is waited for of communication. copy: copies, and transfers that are waited for.
no_estimate: operations without cycles, at their result read and written once from memory."""
_COLLECTIVES = re.compile(f"({'|'.join(interconnect.KINDS)})(-start|-done)?")
_TRANSFERS = re.compile(
    r"(copy|slice|dynamic-slice|dynamic-update-slice|async)-(start|done|update)"
)
_OFFLOADS = re.compile(r"(?:custom-)?call-(start|update|done)")
_OFFLOADED = " (SparseCore)"
_UNPRICED = {
    "fusion", "copy", "convolution", "sort", "scatter", "gather", "dynamic-update-slice",
    "rng-bit-generator", "reduce",
}  # fmt: skip
_MOST_COSTLY = 12
_COPIES = ("copy", "transpose")
_IN_VMEM = "S(1)"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a step is made of."""

    seconds: float
    classes_s: dict[str, float]
    """Class -> seconds; they sum to `seconds`."""
    collectives: list[dict[str, Any]]
    """By kind: how many, bytes sent and received of one device, time on the wire, time waited."""
    kernels: list[dict[str, Any]]
    """By name: how many calls, seconds, and how they were priced."""
    costliest: list[dict[str, Any]]
    """The places of the program that take longest."""
    remarks: list[str]
    """What could not be read and was guessed."""


def estimate(module: hlo.Module, network: interconnect.Network) -> Estimate:
    """The estimate of a compiled program on one device of a topology."""
    walk = _Walk(module, network)
    seconds = walk.run(module.entry, 1)
    return Estimate(
        seconds=seconds,
        classes_s={name: walk.classes_s[name] for name in CLASSES},
        collectives=[
            {"kind": kind, **vars(count)} for kind, count in sorted(walk.collectives.items())
        ],
        kernels=[
            {"name": name, "basis": basis, "calls": calls, "seconds": walk.kernel_s[name, basis]}
            for (name, basis), calls in sorted(walk.kernel_calls.items())
        ],
        costliest=[
            {"class": name, "what": what, "seconds": seconds}
            for (name, what), seconds in sorted(
                walk.costliest.items(), key=lambda item: item[1], reverse=True
            )[:_MOST_COSTLY]
        ],
        remarks=sorted(walk.remarks),
    )


@dataclasses.dataclass
class _Count:
    count: int = 0
    num_bytes: float = 0.0
    wire_s: float = 0.0
    waited_s: float = 0.0


@dataclasses.dataclass
class _Clock:
    """Time within one run of a computation, and when what runs beside it will be done."""

    now_s: float = 0.0
    free_s: dict[str, float] = dataclasses.field(default_factory=dict)
    """Resource (links, slices, memory) -> when it is done with what it was given."""
    pending: dict[str, tuple[float, str]] = dataclasses.field(default_factory=dict)
    """Name of what was started -> when it is done, and of which kind it is."""

    def start(self, name: str, kind: str, seconds: float, resource: str) -> None:
        """Gives a resource something to do after what it has already."""
        done_s = max(self.now_s, self.free_s.get(resource, 0.0)) + seconds
        self.free_s[resource] = done_s
        self.pending[name] = (done_s, kind)

    def wait(self, name: str) -> tuple[float, str]:
        """Moves on to where what was started is done; seconds waited, and its kind."""
        done_s, kind = self.pending.pop(name, (self.now_s, ""))
        waited_s = max(0.0, done_s - self.now_s)
        self.now_s += waited_s
        return waited_s, kind


class _Walk:
    """The walk through the schedule, and what it has counted."""

    def __init__(self, module: hlo.Module, network: interconnect.Network) -> None:
        self.module, self.network = module, network
        self.topology = network.topology
        self.classes_s: dict[str, float] = collections.defaultdict(float)
        self.collectives: dict[str, _Count] = collections.defaultdict(_Count)
        self.kernel_calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.kernel_s: dict[tuple[str, str], float] = collections.defaultdict(float)
        self.costliest: dict[tuple[str, str], float] = collections.defaultdict(float)
        self.remarks: set[str] = set()
        self._products: dict[str, bool] = {}

    def run(self, computation: hlo.Computation, times: int) -> float:
        """Seconds of one run of a computation that runs `times` in all."""
        clock = _Clock()
        for instruction in computation.instructions:
            self._step(instruction, computation, clock, times)
        return clock.now_s

    def _step(
        self, line: hlo.Instruction, computation: hlo.Computation, clock: _Clock, times: int
    ) -> None:
        if line.opcode == "while":
            clock.now_s += self._loop(line, times)
        elif line.opcode in ("call", "conditional"):
            clock.now_s += self._branches(line, times)
        elif match := _COLLECTIVES.fullmatch(line.opcode):
            self._collective(line, computation, match[1], match[2], clock, times)
        elif match := _OFFLOADS.fullmatch(line.opcode):
            self._offloaded(line, computation, match[1], clock, times)
        elif line.opcode in ("send", "send-done", "recv", "recv-done"):
            self._between_slices(line, computation, clock, times)
        elif match := _TRANSFERS.fullmatch(line.opcode):
            self._transfer(line, computation, match[2], clock, times)
        elif line.opcode == "custom-call" and '"tpu_custom_call"' in line.attributes:
            clock.now_s += self._kernel(line, computation, times)
        elif line.opcode == "fusion" and (inner := self._inner_collective(line)):
            self._fused_collective(line, *inner, clock, times)
        else:
            clock.now_s += self._compute(line, times)

    def _loop(self, line: hlo.Instruction, times: int) -> float:
        trips = loops.trip_count(self.module, line)
        if trips is None:
            self.remarks.add(f"the loop {line.name} is counted once: its length is not printed")
            trips = 1
        return trips * self.run(self.module.computations[line.called("body") or ""], times * trips)

    def _branches(self, line: hlo.Instruction, times: int) -> float:
        """Seconds of what is called; of several branches the first counts, which is remarked."""
        called = line.called("to_apply") or line.called("calls")
        if called is None:
            called = line.called("branch_computations") or line.called("true_computation")
            self.remarks.add(f"of the branches of {line.name} the first is counted")
        computation = self.module.computations.get(called or "")
        return self.run(computation, times) if computation else 0.0

    def _collective(
        self,
        line: hlo.Instruction,
        computation: hlo.Computation,
        kind: str,
        part: str | None,
        clock: _Clock,
        times: int,
    ) -> None:
        if part == "-done":
            self._wait(line.operands[0], clock, times)
            return
        seconds = self._wire(line, computation, kind, times)
        if part == "-start":
            clock.start(line.name, kind, seconds, "links")
        else:
            self._waited(kind, seconds, times)
            clock.now_s += seconds

    def _wire(
        self,
        line: hlo.Instruction,
        computation: hlo.Computation,
        kind: str,
        times: int,
        label: str = "",
    ) -> float:
        """Seconds of a collective on the links, which are counted."""
        group = interconnect.group(line, len(self.network.places))
        num_bytes = computation.operand_bytes(line)
        seconds = self.network.seconds(kind, num_bytes, group)
        moved = num_bytes * len(group) if kind == "all-gather" else num_bytes
        self._count(f"{kind}{label}", moved, seconds, times)
        return seconds

    def _count(self, kind: str, num_bytes: float, wire_s: float, times: int) -> None:
        counted = self.collectives[kind]
        counted.count += times
        counted.num_bytes += num_bytes * times
        counted.wire_s += wire_s * times

    def _wait(self, name: str, clock: _Clock, times: int) -> None:
        waited_s, kind = clock.wait(name)
        if kind == "transfer":
            self._add("copy", waited_s, times)
        elif kind:
            self._waited(kind, waited_s, times)

    def _waited(self, kind: str, seconds: float, times: int) -> None:
        self.collectives[kind].waited_s += seconds * times
        self._add("collective", seconds, times, kind)

    def _offloaded(
        self,
        line: hlo.Instruction,
        computation: hlo.Computation,
        part: str,
        clock: _Clock,
        times: int,
    ) -> None:
        """What the SparseCore does beside the TensorCore: collectives, and gathers of embeddings.

        It is started with what it works on, or is given that by a later update.
        """
        if part == "done":
            self._wait(line.operands[0], clock, times)
            return
        if part == "update":
            start = computation.by_name[line.operands[0]]
            if start.name in clock.pending:
                clock.pending[line.name] = clock.pending.pop(start.name)
                return
        else:
            start = line
            if not line.operands:
                return
        called = start.called("to_apply") or start.called("called_computations")
        if found := self._first_collective(called):
            seconds = self._wire(found[1], found[0], found[2], times, _OFFLOADED)
            clock.start(line.name, f"{found[2]}{_OFFLOADED}", seconds, "links")
        elif called is not None and called in self.module.computations:
            root = self.module.computations[called].root
            seconds = 2 * root.num_bytes / self.topology.hbm_bytes_per_s
            clock.start(line.name, "transfer", seconds, "SparseCore")

    def _between_slices(
        self, line: hlo.Instruction, computation: hlo.Computation, clock: _Clock, times: int
    ) -> None:
        """A transfer of the Megascale runtime, from `send` to `recv-done`."""
        rendezvous = re.search(r'_xla_host_transfer_rendezvous="([^"]*)"', line.attributes)
        if line.opcode == "send" and rendezvous:
            kind = re.search(r'_xla_megascale_transfer_type="([^"]*)"', line.attributes)
            transfer = kind[1] if kind else ""
            sent = computation.by_name.get(line.operands[0])
            num_bytes = sent.num_bytes if sent else 0
            seconds = self.network.seconds_between_slices(transfer, num_bytes)
            label = f"{transfer.lower().replace('_', '-') or 'transfer'} between slices"
            self._count(label, num_bytes, seconds, times)
            clock.start(rendezvous[1], label, seconds, "slices")
        elif line.opcode == "recv-done":
            recv = computation.by_name.get(line.operands[0])
            key = recv and re.search(r'_rendezvous="([^"]*)"', recv.attributes)
            if key:
                self._wait(key[1], clock, times)

    def _transfer(
        self,
        line: hlo.Instruction,
        computation: hlo.Computation,
        part: str,
        clock: _Clock,
        times: int,
    ) -> None:
        """A copy between memories, or a collective that the compiler made asynchronous."""
        if part == "update":  # hands on what was started
            clock.pending[line.name] = clock.pending.pop(line.operands[0], (clock.now_s, ""))
        elif part == "done":
            self._wait(line.operands[0], clock, times)
        elif found := self._first_collective(line.called("calls")):
            seconds = self._wire(found[1], found[0], found[2], times)
            clock.start(line.name, found[2], seconds, "links")
        else:
            seconds = _moved_bytes(line) / self.topology.hbm_bytes_per_s
            clock.start(line.name, "transfer", seconds, "memory")

    def _kernel(self, line: hlo.Instruction, computation: hlo.Computation, times: int) -> float:
        price = kernels.price(line, computation, self.topology)
        key = (kernels.name(line), price.basis)
        self.kernel_calls[key] += times
        self.kernel_s[key] += price.seconds * times
        self._add("attention_kernel", price.seconds, times, key[0])
        return price.seconds

    def _first_collective(
        self, called: str | None
    ) -> tuple[hlo.Computation, hlo.Instruction, str] | None:
        for computation, line in self.module.inside(called):
            match = _COLLECTIVES.fullmatch(line.opcode)
            if match and match[2] != "-done":
                return computation, line, match[1]
        return None

    def _inner_collective(
        self, line: hlo.Instruction
    ) -> tuple[hlo.Computation, hlo.Instruction, str] | None:
        found = self._first_collective(line.called("calls"))
        if found and found[2] == "all-reduce" and "AllReduceScatter" in line.attributes:
            return found[0], found[1], "reduce-scatter"
        return found

    def _fused_collective(
        self,
        line: hlo.Instruction,
        computation: hlo.Computation,
        collective: hlo.Instruction,
        kind: str,
        clock: _Clock,
        times: int,
    ) -> None:
        """A fusion that holds a collective: the whole of it, or a part of one spread over several.

        Parts of one have its channel: a first that starts it, others that compute meanwhile, and a
        last that waits for it.
        """
        key = f"channel {collective.channel}"
        targets = {
            match[1]
            for _, inner in self.module.inside(line.called("calls"))
            if (match := re.search(r'custom_call_target="(AsyncCollective\w+)"', inner.attributes))
        }
        if "AsyncCollectiveStart" in targets:
            seconds = self._wire(collective, computation, kind, times, " (fused)")
            clock.start(key, f"{kind} (fused)", seconds, "links")
            return
        if key in clock.pending:
            clock.now_s += self._compute(line, times) if line.estimated_cycles else 0.0
            if "AsyncCollectiveDone" in targets:
                self._wait(key, clock, times)
            return
        wire_s = self._wire(collective, computation, kind, times, " (fused)")
        hidden_s = self._compute(line, times) if line.estimated_cycles else 0.0
        waited_s = max(0.0, wire_s - hidden_s)
        self._waited(f"{kind} (fused)", waited_s, times)
        clock.now_s += hidden_s + waited_s

    def _compute(self, line: hlo.Instruction, times: int) -> float:
        """Seconds by the compiler's cycles; of some operations without any, by their bytes."""
        cycles = line.estimated_cycles
        if cycles is not None:
            seconds = cycles / self.topology.clock_hz
            self._add(self._class(line), seconds, times, line.op_name)
            return seconds
        if line.opcode not in _UNPRICED or _IN_VMEM in line.shape:
            return 0.0
        seconds = 2 * line.num_bytes / self.topology.hbm_bytes_per_s
        self._add("no_estimate", seconds, times, line.op_name)
        return seconds

    def _class(self, line: hlo.Instruction) -> str:
        if line.opcode == "convolution" or self._has_product(line.called("calls")):
            return "matmul"
        return "copy" if line.opcode in _COPIES else "vector"

    def _has_product(self, called: str | None) -> bool:
        if called is None:
            return False
        if called not in self._products:
            opcodes = (inner.opcode for _, inner in self.module.inside(called))
            self._products[called] = any(opcode in ("convolution", "dot") for opcode in opcodes)
        return self._products[called]

    def _add(self, name: str, seconds: float, times: int, what: str = "") -> None:
        self.classes_s[name] += seconds * times
        if what and seconds:
            self.costliest[name, what[-110:]] += seconds * times


def _moved_bytes(line: hlo.Instruction) -> float:
    """Bytes that a transfer moves: the smaller of its source and its destination.

    The shape of a start is ((operands), result, context); a slice moves its result alone.
    """
    sizes: Sequence[int] = [array.num_bytes for array in line.arrays]
    return min(sizes[:2]) if len(sizes) > 1 else sum(sizes)
