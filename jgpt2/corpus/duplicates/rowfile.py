"""Rows of numbers in a file, written in order and read at any places: what a step keeps of each
document when all documents together are more than memory holds.
"""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_GAP = 1 << 14  # bytes: reading over a gap this long costs no more than another call
_SPAN = 1 << 20  # bytes read in a call


class RowFile:
    """A file of rows of one width, gone when it is closed. Raises OSError when the disk is full."""

    def __init__(self, path: Path, dtype: DTypeLike, width: int) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._width = width
        self._num_bytes = width * self._dtype.itemsize
        self._file = path.open("w+b")
        self.num_rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Adds rows [n, width]."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).view(np.uint8).data)
        self.num_rows += len(rows)

    def flush(self) -> None:
        """Makes what was appended readable."""
        self._file.flush()

    def blocks(self, num_rows: int) -> Iterator[NDArray[Any]]:
        """All rows in order, `num_rows` at a time."""
        for first in range(0, self.num_rows, num_rows):
            yield self._read(first, min(first + num_rows, self.num_rows))

    def take(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The rows of these numbers, [len(numbers), width]."""
        wanted, inverse = np.unique(numbers.astype(np.int64), return_inverse=True)
        rows = np.empty((len(wanted), self._width), self._dtype)
        starts = wanted * self._num_bytes
        is_far = (np.diff(starts) > _GAP) | (np.diff(starts // _SPAN) > 0)
        edges = [0, *(np.flatnonzero(is_far) + 1).tolist(), len(wanted)]
        for first, stop in itertools.pairwise(edges):
            if first < stop:
                near = wanted[first:stop]
                rows[first:stop] = self._read(near[0], near[-1] + 1)[near - near[0]]
        return rows[inverse]

    def close(self) -> None:
        """Deletes the file."""
        # Without a flush: on a full disk that would fail once more, and nothing is read again.
        self._file.raw.close()
        self._path.unlink(missing_ok=True)

    def _read(self, first: int, stop: int) -> NDArray[Any]:
        length = int(stop - first) * self._num_bytes
        data = os.pread(self._file.fileno(), length, int(first) * self._num_bytes)
        if len(data) != length:
            raise OSError(errno.EIO, "it was cut short while in use", str(self._path))
        return np.frombuffer(data, self._dtype).reshape(-1, self._width)
