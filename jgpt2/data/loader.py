"""The training order: which window of which token stream is which row of which step.

Windows are `context + 1` tokens at stride `context`, so every token is predicted once an epoch;
they cross documents, which only their EOT parts, but never datasets. Row `i` of the endless order
is a function of the seed, the mixture and `i` alone, and step `s` has the rows from `s * sequences`
on: any process can make any part of any step, and a run goes on exactly where it stopped. Grain
gives the order within a dataset and the prefetching.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jgpt2.data.mixture import Interleaving, Mixture, check, num_windows

if TYPE_CHECKING:
    import grain

_THREADS = 2
_STEPS_AHEAD = 4


@dataclass(frozen=True)
class Order:
    """An endless sequence of windows of one stream: each epoch is all of them, shuffled anew."""

    num_windows: int
    seed: int
    _indices: "grain.MapDataset[int]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        import grain

        indices = grain.MapDataset.range(self.num_windows).seed(self.seed).shuffle().repeat()
        object.__setattr__(self, "_indices", indices)

    def windows(self, rows: Iterable[int]) -> npt.NDArray[np.int64]:
        """[len(rows)] the windows of the rows, which are counted from the stream's first."""
        return np.array([self._indices[i] for i in rows], np.int64)


class _Rows:
    """The rows of a mixture: every stream in its own order, which is that of the stream alone."""

    def __init__(self, mixture: Mixture, *, context: int, seed: int) -> None:
        check(mixture, context=context)
        self._context = context
        self._streams = [part.stream for part in mixture.parts]
        self._orders = [Order(num_windows(stream, context), seed) for stream in self._streams]
        self._interleaving = Interleaving(mixture.row_shares)

    def make(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """[stop - start, context + 1] the rows from `start` up to `stop`, counted from step 0."""
        if len(self._streams) == 1:
            return self._of_stream(0, range(start, stop))
        places = np.array([self._interleaving.place(i) for i in range(start, stop)], np.int64)
        places = places.reshape(-1, 2)
        ids = np.empty((len(places), self._context + 1), np.int32)
        for index in np.unique(places[:, 0]).tolist():
            is_own = places[:, 0] == index
            ids[is_own] = self._of_stream(index, places[is_own, 1].tolist())
        return ids

    def _of_stream(self, index: int, rows: Iterable[int]) -> npt.NDArray[np.int32]:
        starts = self._orders[index].windows(rows) * self._context
        return self._streams[index].windows(starts, self._context + 1)


def batch(
    mixture: Mixture,
    *,
    context: int,
    sequences: int,
    seed: int,
    step: int,
    rows: slice | None = None,
) -> npt.NDArray[np.int32]:
    """[B, context + 1] the rows of a step, or those of its B = `sequences` that `rows` picks.

    Raises InputError when a stream of the mixture has not one row.
    """
    return _batch(_Rows(mixture, context=context, seed=seed), sequences, step, rows)


def batches(
    mixture: Mixture,
    *,
    context: int,
    sequences: int,
    seed: int,
    first_step: int,
    batch_of: Callable[[int], int] = lambda step: step,
    rows: slice | None = None,
) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """(index, rows) of batches from `first_step` on without end, made ahead of time in threads.

    A step has the batch of its own index, or `batch_of(step)` where some are left out. Starting
    late costs nothing, and the first are begun at once. Closing the iterator, or dropping it, ends
    its threads.
    """
    import grain

    ordered = _Rows(mixture, context=context, seed=seed)

    def make(step: int) -> tuple[int, npt.NDArray[np.int32]]:
        index = batch_of(step)
        return index, _batch(ordered, sequences, index, rows)

    steps = grain.MapDataset.range(first_step, sys.maxsize).map(make)
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_STEPS_AHEAD)
    made = iter(steps.to_iter_dataset(options))
    made.start_prefetch()
    return made


def _batch(ordered: _Rows, sequences: int, step: int, rows: slice | None) -> npt.NDArray[np.int32]:
    start, stop, stride = (rows or slice(None)).indices(sequences)
    assert stride == 1, "rows of a step are asked for in one piece"
    first = step * sequences
    return ordered.make(first + start, first + stop)
