"""Partitions: all records come back, and no key is in two parts."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from jgpt2.corpus.duplicates import partitions

SMALL = 1 << 12  # bytes of a part: some divide three times


@pytest.mark.parametrize("shared_bits", [0, 30, 62, 64])
def test_parts_hold_all_records_and_no_key_twice(tmp_path: Path, shared_bits: int) -> None:
    source = np.random.default_rng(6)
    records = np.zeros(4000, [("key", "<u8"), ("rank", "<u4")])
    keys = source.integers(0, 2**63, 4000, dtype=np.uint64) * np.uint64(2)
    # a key is a few of its last bits where many are shared
    records["key"] = keys >> np.uint64(shared_bits) if shared_bits < 64 else np.uint64(9)
    records["rank"] = np.arange(4000)
    with partitions.Partitions(tmp_path / "parts", records.dtype, budget=SMALL) as parts:
        for first in range(0, 4000, 333):
            parts.add(records[first : first + 333])
        found = list(parts.parts())
    assert list(tmp_path.iterdir()) == []
    together = np.concatenate(found)
    assert np.array_equal(np.sort(together["rank"]), records["rank"])
    assert np.array_equal(together["key"], records["key"][together["rank"]])
    key_sets = [set(part["key"].tolist()) for part in found]
    assert sum(map(len, key_sets)) == len(set().union(*key_sets))
    for part, after in itertools.pairwise(found):
        assert part["key"].max() < after["key"].min()
    for part in found:
        assert part.nbytes <= SMALL or len(set((part["key"] >> np.uint64(4)).tolist())) == 1
        for key in set(part["key"].tolist()):
            assert (np.diff(part["rank"][part["key"] == key].astype(np.int64)) > 0).all()
