"""Records brought together by their key on disk, so that each part fits in memory."""

import itertools
import shutil
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BUDGET = 32 << 20
"""Bytes of the records of a part."""

_BITS = 6  # 64 files at a time: few enough to be open at once, many enough for 2 GiB in one pass
_READ_RECORDS = 1 << 16


class Partitions:
    """Records spread over files by the first bits of their `key`, a field of 64 bits.

    It owns `folder` and deletes it on leaving. Raises OSError when the disk is full.
    """

    def __init__(
        self, folder: Path, dtype: np.dtype, *, budget: int = BUDGET, first_bit: int = 0
    ) -> None:
        self._folder = folder
        self._dtype = dtype
        self._budget = budget
        self._first_bit = first_bit
        self._is_last = first_bit + 2 * _BITS > 64  # no further bits to divide a part by
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._files: dict[int, BufferedWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            # Without a flush: on a full disk that would fail once more.
            file.raw.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, records: NDArray[Any]) -> None:
        """Adds records; those of one key stay in the order in which they were added."""
        shifted = (records["key"] << np.uint64(self._first_bit)) >> np.uint64(64 - _BITS)
        numbers = shifted.astype(np.uint8)
        ordered = records[np.argsort(numbers, kind="stable")]
        stops = np.cumsum(np.bincount(numbers, minlength=1 << _BITS)).tolist()
        for number, (first, stop) in enumerate(itertools.pairwise([0, *stops])):
            if first < stop:
                if number not in self._files:
                    self._files[number] = (self._folder / f"{number:02}").open("wb")
                self._files[number].write(ordered[first:stop].view(np.uint8).data)

    def parts(self) -> Iterator[NDArray[Any]]:
        """All records, part by part in the order of their keys, unsorted within a part.

        A key is never in two parts. A part is larger than the budget only where its records have
        one key in all but the last few bits.
        """
        for file in self._files.values():
            file.flush()
        for number in sorted(self._files):
            path = Path(self._files[number].name)
            if path.stat().st_size <= self._budget or self._is_last:
                part = np.fromfile(path, self._dtype)
                path.unlink()
                yield part
            else:
                yield from self._divided(path)

    def _divided(self, path: Path) -> Iterator[NDArray[Any]]:
        with Partitions(
            path.with_suffix(".parts"),
            self._dtype,
            budget=self._budget,
            first_bit=self._first_bit + _BITS,
        ) as finer:
            with path.open("rb") as file:
                while data := file.read(_READ_RECORDS * self._dtype.itemsize):
                    finer.add(np.frombuffer(data, self._dtype))
            path.unlink()
            yield from finer.parts()
