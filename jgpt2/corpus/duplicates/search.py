"""Which documents are copies or near-copies of each other, from their digests and signatures.

After the documents are read, before one of each cluster is kept. All that grows with their number
lies on disk, but for 16 bytes a document.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jgpt2.corpus.duplicates import clusters, minhash, partitions, rowfile

DIGEST_BYTES = 32
"""A digest is the SHA-256 of the UTF-8 (with surrogates passed) of the text without white space."""
MAX_LEADERS = 64
"""Documents of a bucket that others are compared with. Those that are like none of them are left
alone by this bucket, so a bucket of any size costs at most 64 comparisons a document."""

_BLOCK = 1 << 12  # rows of signatures: 3 MiB
_DIGEST = np.dtype([("key", "<u8"), ("rest", "<u8", (3,)), ("document", "<u4")])
_BAND = np.dtype([("key", "<u8"), ("rank", "<u4")])


def links(
    digests: Sequence[bytes],
    signatures: NDArray[np.uint32],
    threshold: float | None = minhash.THRESHOLD,
) -> list[tuple[int, int]]:
    """Pairs (leader, member) among the documents of one bucket, by their positions in it.

    In the order of their digests each document joins the first leader whose estimated Jaccard
    figure with it reaches the threshold, or becomes a leader; from the 65th on it stays alone
    (MAX_LEADERS). Exact copies, those of one digest, are linked to the first of them. So the links
    depend on what is in the bucket, not on how it was put together. `clusters.union` makes
    clusters of the links of all buckets.

    Without a threshold only exact copies are linked. Raises ValueError for one not in (0, 1].
    """
    needed = _needed(threshold)
    order = sorted(range(len(digests)), key=digests.__getitem__)
    edges, firsts = [], order[:1]
    for document in order[1:]:
        if digests[document] == digests[firsts[-1]]:
            edges.append((firsts[-1], document))
        else:
            firsts.append(document)
    if needed is None:
        return edges
    rows = signatures[firsts]
    near = _greedy(lambda first, stop: rows[first:stop], len(firsts), needed)
    return edges + [(firsts[leader], firsts[member]) for leader, member in near]


class Finder:
    """Finds the clusters among documents added one block after another.

    It keeps 800 bytes a document in `folder`, 400 more while it looks for clusters, and deletes
    its files on leaving. Raises OSError when the disk is full.
    """

    def __init__(self, folder: Path, *, budget: int = partitions.BUDGET) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._budget = budget
        self._digests = rowfile.RowFile(folder / "digests", np.uint8, DIGEST_BYTES)
        self._signatures = rowfile.RowFile(folder / "signatures", "<u4", minhash.NUM_HASHES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._digests.close()
        self._signatures.close()

    def add(self, digests: Sequence[bytes], signatures: NDArray[np.uint32]) -> None:
        """Adds documents, which are numbered in the order of adding, from 0.

        The signature must be a function of the text whose digest it goes with. Raises ValueError
        when there is not one row of signatures for each digest of 32 bytes.
        """
        if {len(digest) for digest in digests} - {DIGEST_BYTES}:
            raise ValueError("a digest has another length than 32 bytes; give SHA-256 digests")
        if signatures.shape != (len(digests), minhash.NUM_HASHES):
            raise ValueError(
                f"signatures of shape {signatures.shape} for {len(digests)} digests; "
                f"give one row of {minhash.NUM_HASHES} for each"
            )
        if self._digests.num_rows + len(digests) > np.iinfo(np.uint32).max:
            raise ValueError("more than 2^32 - 1 documents; build the corpus in two parts")
        joined = np.frombuffer(b"".join(digests), np.uint8)
        self._digests.append(joined.reshape(-1, DIGEST_BYTES))
        self._signatures.append(signatures)

    def clusters(self, threshold: float | None = minhash.THRESHOLD) -> NDArray[np.int64]:
        """For each document the number of the one that represents its cluster.

        The representative is the document of lowest digest; of exact copies, the one added first.
        Which documents are together, and the representative's text, depend on the documents
        alone, not on the order in which they were added. Without a threshold clusters are of exact
        copies alone. Raises ValueError for a threshold that is not in (0, 1].
        """
        needed = _needed(threshold)
        self._digests.flush()
        self._signatures.flush()
        rank_of, document_of = self._ranks()
        parent = np.arange(len(document_of), dtype=np.uint32)
        if needed is not None:
            for part in self._band_parts(rank_of, document_of):
                self._join(part, parent, document_of, needed)
        for first in range(0, len(parent), _BLOCK):
            clusters.roots(parent, np.arange(first, min(first + _BLOCK, len(parent))))
        representative = document_of[parent]
        del parent, document_of
        labels = np.empty(len(rank_of), np.int64)
        for first in range(0, len(labels), _BLOCK):
            labels[first : first + _BLOCK] = representative[rank_of[first : first + _BLOCK]]
        return labels

    def _ranks(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The rank of each document's digest, and the first document that has each rank."""
        rank_of = np.empty(self._digests.num_rows, np.uint32)
        document_of = np.empty(self._digests.num_rows, np.uint32)
        num_ranks = 0
        with self._partitions("by_digest", _DIGEST) as by_digest:
            first = 0
            for block in self._digests.blocks(_BLOCK):
                records = np.empty(len(block), _DIGEST)
                words = block.view(">u8")
                records["key"], records["rest"] = words[:, 0], words[:, 1:]
                records["document"] = np.arange(first, first + len(block))
                by_digest.add(records)
                first += len(block)
            for part in by_digest.parts():
                part, is_first = _by_digest(part)
                ranks = num_ranks + np.cumsum(is_first) - 1
                rank_of[part["document"]] = ranks
                document_of[ranks[is_first]] = part["document"][is_first]
                num_ranks = int(ranks[-1]) + 1
        return rank_of, document_of[:num_ranks].copy()

    def _band_parts(
        self, rank_of: NDArray[np.uint32], document_of: NDArray[np.uint32]
    ) -> Iterator[NDArray[Any]]:
        """Records of the bands of all distinct documents, brought together by their keys."""
        with self._partitions("by_band", _BAND) as by_band:
            first = 0
            for block in self._signatures.blocks(_BLOCK):
                ranks = rank_of[first : first + len(block)]
                is_first = document_of[ranks] == np.arange(first, first + len(block))
                records = np.empty((int(is_first.sum()), minhash.NUM_BANDS), _BAND)
                records["key"] = minhash.band_keys(block[is_first])
                records["rank"] = ranks[is_first, None]
                by_band.add(records.ravel())
                first += len(block)
            yield from by_band.parts()

    def _join(
        self,
        part: NDArray[Any],
        parent: NDArray[np.uint32],
        document_of: NDArray[np.uint32],
        needed: int,
    ) -> None:
        """Joins in `parent` what the buckets of a part link.

        A bucket whose documents hang together already is passed over: its links would change
        nothing, so the outcome does not depend on which bucket comes first.
        """

        def rows(ranks: NDArray[np.uint32]) -> NDArray[np.uint32]:
            return self._signatures.take(document_of[ranks])

        ranks, starts = _buckets(part)
        if not len(starts):
            return
        stops = np.append(starts[1:], len(ranks))
        pairs = starts[stops - starts == 2]
        for first in range(0, len(pairs), _BLOCK):
            at = pairs[first : first + _BLOCK]
            left, right = ranks[at], ranks[at + 1]
            is_apart = clusters.roots(parent, left) != clusters.roots(parent, right)
            left, right = left[is_apart], right[is_apart]
            is_near = (rows(left) == rows(right)).sum(axis=1) >= needed
            clusters.join(parent, left[is_near], right[is_near])
        is_large = stops - starts > 2
        for start, stop in zip(starts[is_large].tolist(), stops[is_large].tolist(), strict=True):
            bucket = ranks[start:stop]
            if np.ptp(clusters.roots(parent, bucket)):
                near = _greedy(lambda a, b, of=bucket: rows(of[a:b]), len(bucket), needed)
                ends = bucket[np.array(near, np.int64).reshape(-1, 2)]
                clusters.join(parent, ends[:, 0], ends[:, 1])

    def _partitions(self, name: str, dtype: np.dtype) -> partitions.Partitions:
        return partitions.Partitions(self._folder / name, dtype, budget=self._budget)


def _needed(threshold: float | None) -> int | None:
    """The least number of equal entries that reaches the threshold; None where none does."""
    if threshold is None:
        return None
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: choose a Jaccard figure above 0, at most 1")
    # Less a hair, so that a threshold k / 192 asks for k entries however it was rounded.
    return int(np.ceil(threshold * minhash.NUM_HASHES - 1e-9))


def _greedy(
    rows: Callable[[int, int], NDArray[np.uint32]], size: int, needed: int
) -> list[tuple[int, int]]:
    """Links (leader, member) among the documents 0 to `size` of a bucket, in this order."""
    leaders: list[tuple[int, NDArray[np.uint32]]] = []
    found: list[tuple[int, int]] = []
    for first in range(0, size, _BLOCK):
        block = rows(first, min(first + _BLOCK, size))
        left = np.arange(first, first + len(block))
        # Leader by leader, not member by member: it is the same, and one comparison for many.
        for number in range(MAX_LEADERS):
            if not len(left):
                break
            if number == len(leaders):
                leaders.append((int(left[0]), block[0]))
                block, left = block[1:], left[1:]
            leader, row = leaders[number]
            is_near = np.count_nonzero(block == row, axis=1) >= needed
            if is_near.any():
                found += [(leader, member) for member in left[is_near].tolist()]
                block, left = block[~is_near], left[~is_near]
    return found


def _by_digest(part: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The records in the order of digest and document, and which are the first of their digest."""
    part = part[np.argsort(part["key"], kind="stable")]  # documents of one key are in order
    is_key = np.ones(len(part), bool)
    is_key[1:] = part["key"][1:] != part["key"][:-1]
    is_first = is_key.copy()
    is_first[1:] |= (part["rest"][1:] != part["rest"][:-1]).any(axis=1)
    if not np.array_equal(is_first, is_key):  # two digests begin alike: one pair in 2^64
        rest = part["rest"]
        part = part[np.lexsort((part["document"], *rest.T[::-1], part["key"]))]
        is_first[1:] = part["key"][1:] != part["key"][:-1]
        is_first[1:] |= (part["rest"][1:] != part["rest"][:-1]).any(axis=1)
    return part, is_first


def _buckets(part: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The ranks of all buckets of two documents or more, ascending in each; where each starts."""
    keys = np.ascontiguousarray(part["key"])
    order = np.argsort(keys)
    keys = keys[order]
    is_same = keys[1:] == keys[:-1]
    is_shared = np.zeros(len(keys), bool)
    is_shared[1:] = is_same
    is_shared[:-1] |= is_same
    keys, ranks = keys[is_shared], part["rank"][order[is_shared]]
    ranks = ranks[np.lexsort((ranks, keys))]  # the keys themselves are sorted already
    is_start = np.ones(len(keys), bool)
    is_start[1:] = keys[1:] != keys[:-1]
    return ranks, np.flatnonzero(is_start)
