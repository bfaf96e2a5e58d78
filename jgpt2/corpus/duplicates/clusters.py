"""Clusters out of links: which documents hang together, by union-find on arrays."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def union(links: Iterable[tuple[int, int]], num_documents: int) -> NDArray[np.int64]:
    """For each document the lowest one that it hangs together with, by any chain of links.

    >>> union([(4, 2), (2, 1)], 6).tolist()
    [0, 1, 1, 3, 1, 5]
    """
    parent = np.arange(num_documents)
    ends = np.fromiter(itertools.chain.from_iterable(links), np.int64).reshape(-1, 2)
    join(parent, ends[:, 0], ends[:, 1])
    return roots(parent, np.arange(num_documents))


def join(parent: NDArray[Any], left: NDArray[Any], right: NDArray[Any]) -> None:
    """Makes one cluster of those of each left and its right, in place.

    `parent` begins as `arange`. No document's parent is above it, so a root is the lowest of its
    cluster, whatever the order of the links.
    """
    while len(left):
        left, right = roots(parent, left), roots(parent, right)
        is_apart = left != right
        left, right = left[is_apart], right[is_apart]
        # Of several links from one root the lowest wins; the others are tried again.
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))


def roots(parent: NDArray[Any], documents: NDArray[Any]) -> NDArray[Any]:
    """The lowest document of each one's cluster; shortens the paths to it in `parent`."""
    up = parent[documents]
    while True:
        above = parent[up]
        if np.array_equal(up, above):
            break
        parent[documents] = above  # halves the paths, as every document on them is asked
        up = parent[above]
    parent[documents] = up
    return up
