"""Rows of ids of any length through a compiled program, which meets every target exactly once.

Between `jgpt2.evaluate.windows` (where the windows lie) and what is asked of every token: its bits
(`bits`), or whether it is the likeliest as well (`continuations`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int, Int32

from jgpt2.errors import InputError
from jgpt2.evaluate import windows

Program = Callable[[Int32[Array, "B T1"]], Any]
"""From rows of T inputs and one more target to a tree of arrays [B, T], one entry a target."""


def run(
    program: Program,
    rows: Sequence[Int[np.ndarray, " tokens1"]],
    *,
    context: int,
    padding: int,
    stride: int,
    batch_rows: int,
    sharding: jax.sharding.NamedSharding | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, slice, Any]]:
    """What `program` says of the targets of each row: (index of the row, which targets, arrays).

    The targets of a row are all its ids but the first. Windows of `context` inputs slide over rows
    that are longer by `stride`. A batch holds `batch_rows` rows of the context's length, or
    proportionally more shorter ones, padded by the id `padding`; the program is compiled once for
    each of three lengths. `sharding` places the rows [B, T] (default: the default device) and must
    fit the program's mesh. `report(done, all)` counts windows.

    Raises InputError when the batch is empty or does not divide over the devices.
    """
    _check_rows(batch_rows, sharding)
    num_targets = np.asarray([len(row) - 1 for row in rows])
    planned = windows.plan(num_targets, context=context, stride=stride)
    batches = _batches(rows, planned, context=context, padding=padding, batch_rows=batch_rows)
    done = 0
    for members, told in _one_ahead(program, batches, sharding):
        for place, window in enumerate(members):
            start, new = planned.start[window], slice(planned.first[window], planned.length[window])
            yield (
                int(planned.document[window]),
                slice(start + new.start, start + new.stop),
                jax.tree.map(lambda leaf_BT, at=(place, new): leaf_BT[at], told),
            )
        done += len(members)
        if report:
            report(done, len(planned.start))


def everywhere(tree: Any, sharding: jax.sharding.NamedSharding | None) -> Any:
    """What a program gives, on every process: it is small, and sums need no further exchange."""
    if sharding is None:
        return tree
    replicated = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return jax.lax.with_sharding_constraint(tree, replicated)


def _batches(
    rows: Sequence[Int[np.ndarray, " tokens1"]],
    planned: windows.Windows,
    *,
    context: int,
    padding: int,
    batch_rows: int,
) -> Iterator[tuple[Int[np.ndarray, " R"], Int32[np.ndarray, "B T1"]]]:
    """Indices of a batch's windows, and its rows of inputs and targets."""
    for width, members in windows.batches(planned, context=context, rows=batch_rows):
        num_rows = windows.batch_rows(width, context=context, rows=batch_rows)
        rows_BT1 = np.full((num_rows, width + 1), padding, np.int32)
        for row_T1, window in zip(rows_BT1, members, strict=False):
            start, length = planned.start[window], planned.length[window] + 1
            row_T1[:length] = rows[int(planned.document[window])][start : start + length]
        yield members, rows_BT1


def _one_ahead(
    program: Program,
    batches: Iterable[tuple[Int[np.ndarray, " R"], Int32[np.ndarray, "B T1"]]],
    sharding: jax.sharding.NamedSharding | None,
) -> Iterator[tuple[Int[np.ndarray, " R"], Any]]:
    """Runs one batch ahead: the device works on the next while the host adds up the last."""
    waiting = None
    for members, rows_BT1 in batches:
        told = program(_place(rows_BT1, sharding))
        if waiting:
            yield waiting[0], jax.device_get(waiting[1])
        waiting = members, told
    if waiting:
        yield waiting[0], jax.device_get(waiting[1])


def _place(
    rows_BT1: Int32[np.ndarray, "B T1"], sharding: jax.sharding.NamedSharding | None
) -> Int32[Array, "B T1"]:
    if sharding is None:
        return jax.device_put(rows_BT1)
    return jax.make_array_from_callback(rows_BT1.shape, sharding, lambda part: rows_BT1[part])


def _check_rows(rows: int, sharding: jax.sharding.NamedSharding | None) -> None:
    if rows < 1:
        raise InputError(f"rows={rows} is not a batch; choose 1 or more.")
    if sharding is None:
        return
    parts = sharding.mesh.size // sharding.shard_shape((sharding.mesh.size,))[0]
    if rows % parts:
        raise InputError(
            f"rows={rows} does not divide over the {parts} devices that share a batch; "
            f"choose a multiple of {parts}."
        )
