"""Rows of a step from the host onto the devices, as one global array over all processes."""

from collections.abc import Callable

import jax
import numpy as np
import numpy.typing as npt

from jgpt2.data import loader, mixture


def place(
    rows_for: Callable[[slice], npt.NDArray[np.int32]],
    shape: tuple[int, int],
    sharding: jax.sharding.Sharding,
) -> jax.Array:
    """The global array [rows, columns] of `shape`, of which each process makes only its own part.

    `rows_for(rows)` gives the rows of a slice, all columns; it is called once for each slice of
    rows that a device of this process holds.
    """
    made: dict[tuple[int, int], npt.NDArray[np.int32]] = {}

    def part(index: tuple[slice, ...] | None) -> npt.NDArray[np.int32]:
        assert index is not None  # the index of a device of another process
        start, stop, _ = index[0].indices(shape[0])
        if (start, stop) not in made:
            made[start, stop] = rows_for(slice(start, stop))
        return made[start, stop][:, index[1]]

    return jax.make_array_from_callback(shape, sharding, part)


def local_rows(shape: tuple[int, int], sharding: jax.sharding.Sharding) -> slice:
    """The smallest slice of rows that covers what the devices of this process hold."""
    parts = sharding.addressable_devices_indices_map(shape).values()
    bounds = [index[0].indices(shape[0]) for index in parts if index is not None]
    return slice(min(start for start, _, _ in bounds), max(stop for _, stop, _ in bounds))


def place_local(
    rows_BL: npt.NDArray[np.int32], shape: tuple[int, int], sharding: jax.sharding.Sharding
) -> jax.Array:
    """The global array of `shape` whose `local_rows` every process has made already, as `rows_BL`.

    The other half of `loader.batches(..., rows=local_rows(shape, sharding))`.
    """
    first = local_rows(shape, sharding).start
    return place(lambda rows: rows_BL[rows.start - first : rows.stop - first], shape, sharding)


def batch(
    text: mixture.Mixture,
    *,
    context: int,
    sequences: int,
    seed: int,
    step: int,
    sharding: jax.sharding.Sharding,
) -> jax.Array:
    """[B, context + 1] the batch of a step as a global array; see `loader.batch`."""
    return place(
        lambda rows: loader.batch(
            text, context=context, sequences=sequences, seed=seed, step=step, rows=rows
        ),
        (sequences, context + 1),
        sharding,
    )
