"""Rows in a file: read back as written, from any places."""

from pathlib import Path

import numpy as np

from jgpt2.corpus.duplicates import rowfile


def test_rows_are_read_back_from_any_place(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).integers(0, 2**32, (5000, 192), dtype=np.uint32)
    file = rowfile.RowFile(tmp_path / "rows", "<u4", 192)
    for first in range(0, 5000, 700):
        file.append(rows[first : first + 700])
    file.flush()
    for numbers in ([], [0], [4999, 0, 4999, 17, 18, 60, 3000], range(5000), range(0, 5000, 21)):
        taken = file.take(np.array(numbers, np.uint32))
        assert np.array_equal(taken, rows[list(numbers)])
    assert np.array_equal(np.concatenate(list(file.blocks(999))), rows)
    file.close()
    assert list(tmp_path.iterdir()) == []
