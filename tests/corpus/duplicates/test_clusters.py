"""Union-find: what hangs together gets one label, in any order."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.duplicates import clusters


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.randoms())
def test_union_gives_the_lowest_of_all_that_hang_together(edges, shuffler) -> None:
    labels = clusters.union(edges, 31)
    expected = list(range(31))
    for _ in range(31):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert labels.tolist() == expected
    shuffler.shuffle(edges)
    assert clusters.union([(b, a) for a, b in edges], 31).tolist() == expected


@pytest.mark.parametrize("order", [sorted, lambda e: sorted(e, reverse=True)])
def test_union_of_a_long_chain_ends(order: Callable) -> None:
    edges = order([(at, at + 1) for at in range(20_000)])
    assert not clusters.union(edges, 20_001).any()
