"""The training order: which window of the token stream is which row of which step.

Windows are `context + 1` tokens at stride `context`, so every token is predicted once an epoch;
they cross documents, which only their EOT parts. Row `i` of the endless order is a function of the
seed and `i` alone, and step `s` has the rows from `s * sequences` on: any process can make any part
of any step, and a run goes on exactly where it stopped. Grain gives the order and the prefetching.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import grain
import numpy as np
import numpy.typing as npt

from jgpt2.data import tokens
from jgpt2.errors import InputError

_THREADS = 2
_STEPS_AHEAD = 4


@dataclass(frozen=True)
class Order:
    """An endless sequence of windows: each epoch is all of them, shuffled anew."""

    num_windows: int
    seed: int
    _indices: grain.MapDataset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        indices = grain.MapDataset.range(self.num_windows).seed(self.seed).shuffle().repeat()
        object.__setattr__(self, "_indices", indices)

    def windows(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """[stop - start] the windows of the rows from `start` up to `stop`, counted from step 0."""
        return np.array([self._indices[i] for i in range(start, stop)], np.int64)


def check(stream: tokens.Tokens, *, context: int) -> None:
    """InputError when the stream has not one window."""
    if stream.num_tokens <= context:
        raise InputError(
            f"the split has {stream.num_tokens} tokens, but one row takes context + 1 = "
            f"{context + 1}; lower model.context to {max(stream.num_tokens - 1, 1)} or less, or "
            "add text."
        )


def order(stream: tokens.Tokens, *, context: int, seed: int) -> Order:
    """The training order of a split at a context length; InputError when it is too short."""
    check(stream, context=context)
    return Order((stream.num_tokens - 1) // context, seed)


def batch(
    stream: tokens.Tokens,
    *,
    context: int,
    sequences: int,
    seed: int,
    step: int,
    rows: slice | None = None,
) -> npt.NDArray[np.int32]:
    """[B, context + 1] the rows of a step, or those of its B = `sequences` that `rows` picks."""
    return _batch(stream, order(stream, context=context, seed=seed), context, sequences, step, rows)


def batches(
    stream: tokens.Tokens,
    *,
    context: int,
    sequences: int,
    seed: int,
    first_step: int,
    rows: slice | None = None,
) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """(step, its `batch`) from `first_step` on without end, made ahead of time in threads.

    Starting late costs nothing. Closing the iterator, or dropping it, ends its threads.
    """
    shuffled = order(stream, context=context, seed=seed)

    def make(step: int) -> tuple[int, npt.NDArray[np.int32]]:
        return step, _batch(stream, shuffled, context, sequences, step, rows)

    steps = grain.MapDataset.range(first_step, sys.maxsize).map(make)
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_STEPS_AHEAD)
    return iter(steps.to_iter_dataset(options))


def _batch(
    stream: tokens.Tokens,
    shuffled: Order,
    context: int,
    sequences: int,
    step: int,
    rows: slice | None,
) -> npt.NDArray[np.int32]:
    start, stop, stride = (rows or slice(None)).indices(sequences)
    assert stride == 1, "rows of a step are asked for in one piece"
    first = step * sequences
    return stream.windows(shuffled.windows(first + start, first + stop) * context, context + 1)
