"""Clusters of copies: what is found, what is not claimed, and that order does not matter."""

import errno
import hashlib
import random
import resource
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jgpt2.corpus.duplicates import clusters, minhash, search

SMALL = 1 << 13  # bytes of a part: parts of 20 documents are divided


def digest(text: str) -> bytes:
    return hashlib.sha256("".join(text.split()).encode("utf-8", "surrogatepass")).digest()


def find(
    folder: Path,
    digests: Sequence[bytes],
    rows: np.ndarray,
    threshold: float = 0.7,
    step: int = 999,
) -> list[int]:
    with search.Finder(folder, budget=SMALL) as finder:
        for first in range(0, len(digests), step):
            finder.add(digests[first : first + step], rows[first : first + step])
        return finder.clusters(threshold).tolist()


def find_texts(folder: Path, texts: Sequence[str], threshold: float = 0.7) -> list[int]:
    digests = [digest(text) for text in texts]
    return find(folder, digests, minhash.signatures(texts), threshold)


def test_exact_copies_are_one_cluster_even_where_white_space_differs(tmp_path: Path) -> None:
    texts = [
        "山路を登りながら",
        "智に働けば",
        "山路を\n登りながら",
        "",
        " \u3000",
        "山路を登りながら",
    ]
    labels = find_texts(tmp_path, texts, threshold=1.0)
    assert labels == [0, 1, 0, 3, 3, 0]


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[bytes], np.ndarray]:
    """Digests and signatures of documents among which are copies, chains and crowded buckets."""
    source = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = [source.integers(0, 2**32, minhash.NUM_HASHES, dtype=np.uint32)]
    for _ in range(draw(st.integers(0, 40))):
        row = rows[source.integers(len(rows))].copy()
        num_changed = int(source.choice([0, 20, 50, 57, 58, 80, 192]))
        at = source.permutation(minhash.NUM_HASHES)[:num_changed]
        row[at] = source.integers(0, 2**32, num_changed)
        row[: minhash.NUM_ROWS] = rows[0][: minhash.NUM_ROWS]
        rows.append(row)
    return [hashlib.sha256(row.tobytes()).digest() for row in rows], np.array(rows)


def contents(digests: Sequence[bytes], labels: Sequence[int]) -> set[tuple[bytes, bytes]]:
    return {(own, digests[label]) for own, label in zip(digests, labels, strict=True)}


def by_hand(digests: Sequence[bytes], rows: np.ndarray, threshold: float) -> list[int]:
    """Clusters as a pipeline makes them that groups by keys in memory."""
    groups: dict[object, list[int]] = {}
    for number, keys in enumerate(minhash.band_keys(rows).tolist()):
        for key in [digests[number], *keys]:
            groups.setdefault(key, []).append(number)
    edges = [
        (group[a], group[b])
        for group in groups.values()
        for a, b in search.links([digests[n] for n in group], rows[group], threshold)
    ]
    labels = clusters.union(edges, len(digests))
    lowest = {
        root: min(np.flatnonzero(labels == root).tolist(), key=lambda n: (digests[n], n))
        for root in set(labels.tolist())
    }
    return [lowest[root] for root in labels.tolist()]


QUICK = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(collections(), st.randoms(use_true_random=False), st.sampled_from([0.5, 0.7, 0.9, 1.0]))
def test_clusters_do_not_depend_on_the_order_of_adding(
    tmp_path: Path, collection, shuffler: random.Random, threshold: float
) -> None:
    digests, rows = collection
    labels = find(tmp_path, digests, rows, threshold)
    order = list(range(len(digests)))
    shuffler.shuffle(order)
    mixed = [digests[at] for at in order]
    others = find(tmp_path, mixed, rows[order], threshold, step=7)
    assert contents(digests, labels) == contents(mixed, others)


@QUICK
@given(collections(), st.sampled_from([0.5, 0.7, 0.9, 1.0]))
def test_clusters_are_those_of_the_links_of_all_buckets(
    tmp_path: Path, collection, threshold: float
) -> None:
    digests, rows = collection
    assert find(tmp_path, digests, rows, threshold) == by_hand(digests, rows, threshold)


def test_parts_of_any_size_give_the_same_clusters(tmp_path: Path) -> None:
    source = np.random.default_rng(3)
    rows = source.integers(0, 2**32, (500, minhash.NUM_HASHES), dtype=np.uint32)
    rows[200:400, 20:] = rows[:200, 20:]
    rows[400:] = rows[:100]
    digests = [source.bytes(32) for _ in range(400)]
    digests += digests[:100]
    labels = find(tmp_path, digests, rows)
    assert len(set(labels)) == 200
    with search.Finder(tmp_path) as finder:
        finder.add(digests, rows)
        assert finder.clusters().tolist() == labels
        assert finder.clusters().tolist() == labels  # and may be asked again
        assert len(set(finder.clusters(1.0).tolist())) == 400
        finder.add(digests[:1], rows[:1])
        assert finder.clusters().tolist() == [*labels, labels[0]]


def test_the_representative_has_the_lowest_digest_and_is_the_first_of_its_copies(
    tmp_path: Path,
) -> None:
    row = np.arange(minhash.NUM_HASHES, dtype=np.uint32)[None]
    digests = [b"\2" * 32, b"\1" * 32, b"\1" * 32, b"\3" * 32]
    assert find(tmp_path, digests, row.repeat(4, axis=0)) == [1, 1, 1, 1]


def test_digests_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 2**32, (5, minhash.NUM_HASHES), dtype=np.uint32)
    digests = [b"\1" * 31 + bytes([last]) for last in (3, 1, 3, 2, 1)]
    rows[2], rows[4] = rows[0], rows[1]
    assert find(tmp_path, digests, rows) == [0, 1, 0, 3, 1]


def unlike(num: int) -> tuple[list[bytes], np.ndarray]:
    rows = np.random.default_rng(2).integers(0, 2**32, (num, minhash.NUM_HASHES), dtype=np.uint32)
    rows[:, : minhash.NUM_ROWS] = 5  # all share a key
    return [bytes([0, *number.to_bytes(31, "big")]) for number in range(num)], rows


def test_a_document_joins_the_first_leader_it_is_near() -> None:
    digests, rows = unlike(4)
    rows[2, :140] = rows[0, :140]
    rows[2, 140:] = rows[1, 140:]
    rows[3] = rows[2]
    assert search.links(digests, rows) == [(0, 2), (0, 3)]
    # 0 and 1 lead in the order of digests, wherever they stand
    assert search.links(digests[::-1], rows[::-1]) == [(3, 1), (3, 0)]
    assert search.links(digests, rows, threshold=1.0) == [(2, 3)]


def test_the_threshold_is_reached_by_the_share_itself() -> None:
    digests, rows = unlike(2)
    for num_equal in range(6, minhash.NUM_HASHES + 1):
        rows[1, :num_equal] = rows[0, :num_equal]
        share = num_equal / minhash.NUM_HASHES
        assert search.links(digests, rows, share) == [(0, 1)]
        if num_equal < minhash.NUM_HASHES:
            assert search.links(digests, rows, share + 0.001) == []


def test_the_65th_leader_leads_nobody(tmp_path: Path) -> None:
    digests, rows = unlike(search.MAX_LEADERS + 6)
    rows[-2] = rows[search.MAX_LEADERS - 1]
    rows[-1] = rows[search.MAX_LEADERS]
    last = len(rows) - 1
    assert search.links(digests, rows) == [(search.MAX_LEADERS - 1, last - 1)]
    # Near-copies share other keys, too: there they are found.
    labels = find(tmp_path, digests, rows)
    assert labels[last] == search.MAX_LEADERS
    assert len(set(labels)) == len(rows) - 2


def test_exact_copies_do_not_count_as_leaders() -> None:
    digests, rows = unlike(3)
    digests, rows = (
        digests[:1] * 500 + digests[1:],
        np.concatenate([rows[:1].repeat(500, 0), rows[1:]]),
    )
    rows[-1] = rows[-2]
    assert search.links(digests, rows) == [*[(0, at) for at in range(1, 500)], (500, 501)]


def test_a_bucket_of_many_blocks_is_linked_like_a_small_one() -> None:
    digests, rows = unlike(9000)  # three blocks
    rows[5000] = rows[3]
    rows[8999] = rows[63]
    rows[8998] = rows[64]
    assert search.links(digests, rows) == [(3, 5000), (63, 8999)]


def test_an_empty_bucket_and_a_lone_document_have_no_links() -> None:
    digests, rows = unlike(1)
    assert search.links([], rows[:0]) == []
    assert search.links(digests, rows) == []


def test_a_finder_without_documents_has_no_clusters(tmp_path: Path) -> None:
    with search.Finder(tmp_path) as finder:
        assert finder.clusters().tolist() == []


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(tmp_path: Path, threshold: float) -> None:
    digests, rows = unlike(2)
    with pytest.raises(ValueError, match="choose a Jaccard figure above 0, at most 1"):
        search.links(digests, rows, threshold)
    with search.Finder(tmp_path) as finder, pytest.raises(ValueError, match="threshold="):
        finder.clusters(threshold)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    digests, rows = unlike(2)
    with search.Finder(tmp_path) as finder:
        with pytest.raises(ValueError, match="give one row of 192 for each"):
            finder.add(digests, rows[:1])
        with pytest.raises(ValueError, match="give SHA-256 digests"):
            finder.add([b"\0" * 20], rows[:1])
        assert finder.clusters().tolist() == []


@contextmanager
def files_limited_to(num_bytes: int) -> Iterator[None]:
    """A limit of the system on the size of files: writing fails as it does on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    digests, rows = unlike(3000)
    for limit in (0, 50_000, 2_000_000):  # too little for anything; for rows; fails at a flush
        with files_limited_to(limit), pytest.raises(OSError) as caught:
            find(tmp_path, digests, rows)
        assert caught.value.errno == errno.EFBIG
        assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_clusters_are_sought_leaves_nothing(tmp_path: Path) -> None:
    digests, rows = unlike(3000)
    with search.Finder(tmp_path) as finder:
        finder.add(digests, rows)
        finder._digests.flush()
        finder._signatures.flush()
        with files_limited_to(1000), pytest.raises(OSError) as caught:
            finder.clusters()
        assert caught.value.errno == errno.EFBIG
        assert {path.name for path in tmp_path.iterdir()} == {"digests", "signatures"}
    assert list(tmp_path.iterdir()) == []


def test_files_are_gone_after_an_error_and_after_success(tmp_path: Path) -> None:
    digests, rows = unlike(300)
    find(tmp_path, digests, rows)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), search.Finder(tmp_path) as finder:
        finder.add(digests, rows)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_while_in_use_is_an_os_error(tmp_path: Path) -> None:
    digests, rows = unlike(300)
    with search.Finder(tmp_path) as finder:
        finder.add(digests, rows)
        finder._signatures.flush()
        with (tmp_path / "signatures").open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(OSError, match="cut short") as caught:
            finder.clusters()
        assert caught.value.errno == errno.EIO


def peak_memory(folder: Path, num_documents: int) -> int:
    source = np.random.default_rng(4)
    tracemalloc.start()
    try:
        with search.Finder(folder, budget=1 << 17) as finder:
            for _ in range(num_documents // 500):
                rows = source.integers(0, 2**32, (500, minhash.NUM_HASHES), dtype=np.uint32)
                rows[::50] = rows[1::50]  # a few pairs
                finder.add([source.bytes(32) for _ in range(500)], rows)
            finder.clusters()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_hold_signatures_nor_bands(tmp_path: Path) -> None:
    few, many = peak_memory(tmp_path, 10_000), peak_memory(tmp_path, 20_000)
    # 800 bytes of signature and digest and 384 of bands a document would be 11.8 MB more.
    # 16 bytes a document, and room for the arrays of a part, which is not at its budget yet.
    assert many - few < 16 * 10_000 + 400_000


def test_without_a_threshold_only_exact_copies_are_one(tmp_path):
    base = "山路を登りながら、こう考えた。智に働けば角が立つ。" * 3
    texts = [base + "終", base, base, base + "了"]
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    rows = minhash.signatures(texts)
    assert search.links(digests, rows, None) == [(1, 2)]
    with search.Finder(tmp_path / "f") as finder:
        finder.add(digests, rows)
        assert finder.clusters(None).tolist() == [0, 1, 1, 3]
        assert len(set(finder.clusters(0.7).tolist())) == 1
