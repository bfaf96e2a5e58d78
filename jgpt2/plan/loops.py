"""How often the body of a compiled loop runs: a body is printed once, but paid for each time."""

import math
import re

from jgpt2.plan import hlo


def trip_count(module: hlo.Module, loop: hlo.Instruction) -> int | None:
    """Runs of a `while`'s body; None where the program does not tell.

    The compiler's own count is taken where it is printed. Else it is the constant that the loop's
    index is compared with, over the step by which the body moves the index on; loops of JAX and of
    the compiler count from 0.
    """
    known = re.search(r"known_trip_count[^0-9]*(\d+)", loop.attributes)
    if known:
        return int(known[1])
    condition = module.computations.get(loop.called("condition") or "")
    body = module.computations.get(loop.called("body") or "")
    if condition is None or body is None:
        return None
    bound, index = _comparison(condition)
    if bound is None:
        return None
    return max(1, math.ceil(bound / _step(body, index)))


def _comparison(condition: hlo.Computation) -> tuple[int | None, int | None]:
    """The constant that is compared, and the place of the loop's index in what the loop carries."""
    bound = index = None
    for instruction in condition.instructions:
        if instruction.opcode not in ("compare", "fusion"):
            continue
        for name in instruction.operands:
            value = _constant(condition, name)
            bound = bound if value is None else value
            source = condition.by_name.get(name)
            if source is not None and source.opcode == "get-tuple-element":
                place = re.search(r"index=(\d+)", source.attributes)
                index = int(place[1]) if place else index
    return bound, index


def _step(body: hlo.Computation, index: int | None) -> int:
    """By how much one run moves the index on: 1, or 2 in loops of windowed products."""
    carried = body.root.operands
    if index is None or index >= len(carried):
        return 1
    source = body.by_name.get(carried[index])
    while source is not None and source.opcode in ("copy", "bitcast"):
        source = body.by_name.get(source.operands[0])
    if source is None or source.opcode not in ("add", "fusion"):
        return 1
    return next((step for name in source.operands if (step := _constant(body, name))), 1)


def _constant(computation: hlo.Computation, name: str) -> int | None:
    source = computation.by_name.get(name)
    if source is None or source.opcode != "constant":
        return None
    return int(source.literal) if re.fullmatch(r"-?\d+", source.literal) else None
