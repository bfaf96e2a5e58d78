"""What Pallas kernels cost: cycles counted in their machine code, else an assumed efficiency.

The compiler prices a kernel at nothing. `kernel_cycles.json` holds what `benchmarks/tpu_kernels.py`
counted: VLIW bundles along the way that a program takes, one cycle each when nothing stalls. DMA
waits are not in it.
"""

import functools
import json
import math
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jgpt2.plan import hlo
from jgpt2.plan.topology import Topology

EFFICIENCY = 0.5
"""Share of the peak that matrix products of a kernel without counted cycles are assumed to have."""
_LANES = 128
_PRODUCTS = (("dkv_no_residuals", 5), ("dq", 3), ("backward", 5), ("bwd", 5), ("dkv", 4))
"""Part of a kernel's name -> its products of T × T × head width; a forward pass has two."""


@dataclass(frozen=True)
class Price:
    """Seconds of one call on one device, and how they were found."""

    seconds: float
    basis: str
    """`counted cycles`, `stated cost`, `assumed efficiency` or `memory traffic`."""


def name(instruction: hlo.Instruction) -> str:
    """What a kernel is called, without the compiler's numbering and JAX's transformations.

    Where the program does not say, it is the name of the instruction.
    """
    parts = [part for part in instruction.op_name.split("/") if part != "pallas_call"]
    return re.sub(r"\.\d+$", "", re.sub(r"^(\w+\()*|\)*$", "", parts[-1]))


def price(instruction: hlo.Instruction, computation: hlo.Computation, topology: Topology) -> Price:
    """The price of one call of a Pallas kernel."""
    called = name(instruction)
    for row in table():
        if row["chip"] == topology.chip.name and re.fullmatch(row["kernel"], called):
            programs = _programs(row, instruction)
            if programs:
                # The cores of a chip share out the programs, of which each runs on one.
                cycles = programs * row["cycles"] / topology.chip.cores
                return Price(cycles / topology.clock_hz, "counted cycles")
    traffic = instruction.num_bytes + computation.operand_bytes(instruction)
    if flops := _stated_flops(instruction):
        seconds = max(
            flops / (topology.peak_flops * EFFICIENCY), traffic / topology.hbm_bytes_per_s
        )
        return Price(seconds, "stated cost")
    if flops := _attention_flops(called, instruction):
        return Price(flops / (topology.peak_flops * EFFICIENCY), "assumed efficiency")
    return Price(traffic / topology.hbm_bytes_per_s, "memory traffic")


@functools.cache
def table() -> list[dict[str, Any]]:
    """The rows of `kernel_cycles.json`; its `about` says what the fields mean."""
    file = resources.files("jgpt2.plan") / "kernel_cycles.json"
    return json.loads(file.read_text("utf-8"))["kernels"]


def _programs(row: dict[str, Any], instruction: hlo.Instruction) -> float:
    """How many units of the row's `context` × `width` a call works through; 0 if it is another."""
    if row.get("results", len(instruction.arrays)) != len(instruction.arrays):
        return 0
    said = instruction.attributes.replace("\\", "")
    for setting, value in row.get("settings", {}).items():
        if f'"{setting}": {json.dumps(value)}' not in said:
            return 0
    context, width = row["context"], row["width"]
    counts = [0.0]
    for array in instruction.arrays:
        if row["layout"] == "BHTK" and len(array.dims) == 4 and array.dims[-2] == context:
            if array.dims[-1] in (width, _LANES):
                counts.append(math.prod(array.dims[:-2]))
        elif row["layout"] == "BTD" and len(array.dims) == 3 and array.dims[-2] == context:
            counts.append(array.dims[0] * math.ceil(array.dims[-1] / width))
    return max(counts)


def _stated_flops(instruction: hlo.Instruction) -> float:
    """FLOPs of a kernel's `cost_estimate`, where its author gave one."""
    match = re.search(r'"cost_estimate":\{[^}]*"flops":"?(\d+)', instruction.attributes)
    return float(match[1]) if match else 0.0


def _attention_flops(called: str, instruction: hlo.Instruction) -> float:
    """Causal attention's products, at the 128 lanes that the matrix unit works on."""
    if not re.search("attention|splash|flash|mha", called):
        return 0.0
    products = next((count for part, count in _PRODUCTS if part in called), 2)
    most = 0.0
    for array in instruction.arrays:
        if len(array.dims) == 4:
            *heads, context, width = array.dims
            rows = math.prod(heads)
        elif len(array.dims) == 3:
            rows, context, width = array.dims
            if head := re.search(rf"_{context}x(\d+)$", called):
                rows, width = rows * width // int(head[1]), int(head[1])
        else:
            continue
        # The mask leaves half of T × T, and of the blocks on the diagonal the other half is worked
        # through as well. 2 FLOPs for each multiplication and addition.
        worked = 1 + _block(instruction, context) / context
        most = max(most, rows * context**2 * max(width, _LANES) * worked)
    return products * most


def _block(instruction: hlo.Instruction, context: int) -> int:
    """Rows of a block of queries, as the kernel's metadata says; 0 where it does not."""
    match = re.search(r'"block_q\w*": (\d+)', instruction.attributes.replace("\\", ""))
    return min(int(match[1]), context) if match else 0
