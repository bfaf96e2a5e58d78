"""The index of a build in progress: a row for each chosen document, in SQLite on disk.

It holds all that decides duplicates, splits and the order of the dataset, and tells where each text
lies, so that a build needs the memory of one document whatever the size of its input.
"""

import contextlib
import errno
import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from jgpt2.corpus.duplicates import clusters

_TABLES = """
CREATE TABLE document (
  number INTEGER PRIMARY KEY, shard INTEGER, position INTEGER, start INTEGER, length INTEGER,
  digest BLOB, record_hash BLOB, cluster TEXT, is_removed INTEGER,
  host TEXT, source TEXT, license TEXT, num_chars INTEGER, num_bytes INTEGER);
CREATE TABLE left_out (
  host TEXT, source TEXT, license TEXT, stage TEXT,
  documents INTEGER, num_chars INTEGER, num_bytes INTEGER,
  PRIMARY KEY (host, source, license, stage));
CREATE INDEX by_shard ON document (shard, position);
CREATE TABLE label (number INTEGER PRIMARY KEY, label INTEGER, is_kept INTEGER, reason TEXT);
CREATE TABLE root (number INTEGER PRIMARY KEY, root INTEGER);
CREATE TABLE split (root INTEGER PRIMARY KEY, hash BLOB);
"""
_INSERT = f"INSERT INTO document VALUES ({', '.join('?' * 14)})"
_LEAVE_OUT = """
INSERT INTO left_out VALUES (?, ?, ?, ?, 1, ?, ?)
ON CONFLICT (host, source, license, stage) DO UPDATE SET
  documents = documents + 1, num_chars = num_chars + excluded.num_chars,
  num_bytes = num_bytes + excluded.num_bytes
"""
# Of a cluster the longest text stays; of equal ones the one with the lowest hashes, which says
# nothing of the order in which they came.
_JUDGE = """
INSERT INTO label
SELECT number, label,
  NOT is_lost AND (CASE WHEN :keep_near THEN copy = 1 ELSE rank = 1 END),
  CASE WHEN is_lost THEN 'copy of a removed document'
       WHEN copy > 1 THEN 'exact duplicate' ELSE 'near-duplicate' END
FROM (
  SELECT number, label,
    MAX(is_removed) OVER (PARTITION BY label) AS is_lost,
    ROW_NUMBER() OVER (PARTITION BY label ORDER BY num_chars DESC, digest, record_hash) AS rank,
    ROW_NUMBER() OVER (PARTITION BY label, digest ORDER BY num_chars DESC, record_hash) AS copy
  FROM document JOIN found USING (number))
"""
_KEPT = "document JOIN label USING (number) JOIN root USING (number) JOIN split USING (root)"
_IN_SPLIT = f"FROM {_KEPT} WHERE split.hash >= ? AND split.hash < ?"

Place = tuple[int, int]
"""A shard's number and a document's number in it."""
Span = tuple[bytes, bytes]
"""Hashes of groups from (included) and to (excluded)."""
HIGHEST = b"\xff" * 33
"""Above every SHA-256."""


class Row(NamedTuple):
    """A chosen document, and where its text lies."""

    shard: int
    position: int
    """The document's number within the shard."""
    start: int
    length: int
    digest: bytes
    record_hash: bytes
    """Decides between records of one text."""
    cluster: str
    """Documents of one cluster stay in one split; empty if there is none."""
    is_removed: bool
    """Whether it is here only so that its copies are found and left out."""
    host: str
    source: str
    license: str
    num_chars: int
    num_bytes: int


class Index:
    """Rows of chosen documents, numbered in the order they were added."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / "index", isolation_level=None)
        self._base.execute("PRAGMA journal_mode = OFF")  # a build that is killed starts anew
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("PRAGMA cache_size = -4000")  # kB: pages, and again for each sort
        with _disk_errors():
            self._base.executescript(_TABLES)
            self._base.execute("BEGIN")
        self.num_documents = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add(self, row: Row) -> None:
        """Adds a chosen document. OSError when the disk is full."""
        with _disk_errors():
            self._base.execute(_INSERT, (self.num_documents, *row))
        self.num_documents += 1

    def positions(self, shard: int) -> npt.NDArray[np.int64]:
        """The places within a shard of its documents that are in the index, ascending."""
        query = "SELECT position FROM document WHERE shard = ? ORDER BY number"
        rows = self._base.execute(query, (shard,))
        return np.fromiter((position for (position,) in rows), np.int64)

    def numbered(self, links: Iterable[tuple[Place, Place]]) -> Iterator[tuple[int, int]]:
        """The links with the numbers of their documents."""
        query = "SELECT number FROM document WHERE shard = ? AND position = ?"
        for pair in links:
            left, right = (self._base.execute(query, place).fetchone()[0] for place in pair)
            yield left, right

    def leave_out(self, host: str, source: str, license: str, stage: str, size: Any) -> None:
        """Counts a document that was not chosen; `size` is its characters and bytes."""
        with _disk_errors():
            self._base.execute(_LEAVE_OUT, (host, source, license, stage, *size))

    def judge(self, labels: npt.NDArray[np.int64], *, keep_near: bool) -> None:
        """Decides by the label of each document's cluster which ones stay.

        Of a cluster one document stays, or with `keep_near` one of each text. A cluster with a
        removed document in it is left out whole.
        """
        with _disk_errors():
            self._base.execute("CREATE TEMP TABLE found (number INTEGER PRIMARY KEY, label)")
            rows = ((number, int(label)) for number, label in enumerate(labels))
            self._base.executemany("INSERT INTO found VALUES (?, ?)", rows)
            self._base.execute(_JUDGE, {"keep_near": keep_near})
            self._base.execute("DROP TABLE found")

    def group(self, labels: npt.NDArray[np.int64], *, seed: int) -> None:
        """Puts what must stay in one split into one group: near-duplicates and given clusters.

        A group's place follows from the seed and its cluster's name, or else its lowest digest.
        """
        query = """
        SELECT label, cluster FROM document JOIN label USING (number)
        WHERE is_kept AND cluster != '' ORDER BY cluster, number
        """
        with _disk_errors():
            neighbours = itertools.pairwise(self._base.execute(query))
            links = ((one[0], other[0]) for one, other in neighbours if one[1] == other[1])
            root_of = clusters.union(links, len(labels))
            kept = self._base.execute("SELECT number, label FROM label WHERE is_kept")
            roots = ((number, int(root_of[label])) for number, label in kept)
            self._base.executemany("INSERT INTO root VALUES (?, ?)", roots)
            keys = self._base.execute("""
            SELECT root, MIN(IIF(cluster != '', '0' || cluster, '1' || HEX(digest)))
            FROM document JOIN root USING (number) GROUP BY root
            """)
            hashes = (
                (root, hashlib.sha256(f"{seed}\0{key}".encode()).digest()) for root, key in keys
            )
            self._base.executemany("INSERT INTO split VALUES (?, ?)", hashes)
            self._base.execute("CREATE INDEX by_hash ON split (hash)")

    def num_groups(self, below: bytes = HIGHEST) -> int:
        """The number of groups whose hash is lower than `below`."""
        return self._base.execute("SELECT COUNT(*) FROM split WHERE hash < ?", (below,)).fetchone()[
            0
        ]

    def group_hash(self, rank: int) -> bytes:
        """The hash of the group with `rank` others below it."""
        query = "SELECT hash FROM split ORDER BY hash LIMIT 1 OFFSET ?"
        return self._base.execute(query, (rank,)).fetchone()[0]

    def places(self, span: Span) -> Iterator[tuple[int, int, int]]:
        """(shard, start, length) of the documents of a span, in the order of the dataset."""
        order = "ORDER BY split.hash, digest, record_hash, number"
        with _disk_errors():
            yield from self._base.execute(f"SELECT shard, start, length {_IN_SPLIT} {order}", span)

    def account(self, span: Span) -> list[tuple[str, str, int, int, int]]:
        """(source, licence, documents, bytes, characters) of what lies in `span`."""
        query = f"""
        SELECT source, license, COUNT(*), SUM(num_bytes), SUM(num_chars)
        {_IN_SPLIT} GROUP BY source, license ORDER BY source, license
        """
        return self._base.execute(query, span).fetchall()

    def dropped(self) -> list[tuple[str, int, int, int]]:
        """(reason, documents, characters, bytes) of copies, without removed documents."""
        return self._base.execute("""
        SELECT reason, COUNT(*), SUM(num_chars), SUM(num_bytes)
        FROM document JOIN label USING (number)
        WHERE NOT is_kept AND NOT is_removed GROUP BY reason ORDER BY reason
        """).fetchall()

    def totals(self) -> tuple[int, int, int]:
        """(documents, characters, bytes) that were chosen, without removed ones."""
        return self._sums("document WHERE NOT is_removed")

    def kept_totals(self) -> tuple[int, int, int]:
        """(documents, characters, bytes) that stay."""
        return self._sums("document JOIN label USING (number) WHERE is_kept")

    def _sums(self, rows: str) -> tuple[int, int, int]:
        query = "SELECT COUNT(*), COALESCE(SUM(num_chars), 0), COALESCE(SUM(num_bytes), 0)"
        return self._base.execute(f"{query} FROM {rows}").fetchone()

    def some_kept(self, limit: int) -> list[tuple[int, int, int]]:
        """Places of documents that stay, those with the lowest hashes."""
        query = f"SELECT shard, start, length FROM {_KEPT} ORDER BY record_hash LIMIT ?"
        return self._base.execute(query, (limit,)).fetchall()

    def hosts(self, limit: int) -> list[tuple[str, int, int, int]]:
        """(host, documents kept, their bytes, documents left out) of those with most bytes kept."""
        return self._base.execute(
            """
            SELECT host, SUM(kept), SUM(bytes), SUM(lost) FROM (
              SELECT host, is_kept AS kept, is_kept * num_bytes AS bytes, NOT is_kept AS lost
              FROM document JOIN label USING (number)
              UNION ALL SELECT host, 0, 0, documents FROM left_out)
            WHERE host != '' GROUP BY host ORDER BY 3 DESC, 2 DESC, 4 DESC, 1 LIMIT ?
            """,
            (limit,),
        ).fetchall()

    def left_out(self, column: str) -> dict[str, int]:
        """Documents left out by `source` or `license`."""
        assert column in ("source", "license")
        rows = self._base.execute(f"""
        SELECT {column}, SUM(lost) FROM (
          SELECT {column}, NOT is_kept AS lost FROM document JOIN label USING (number)
          WHERE NOT is_removed
          UNION ALL SELECT {column}, documents FROM left_out)
        GROUP BY {column} HAVING SUM(lost) > 0 ORDER BY {column}
        """)
        return dict(rows.fetchall())

    def cluster_sizes(self) -> list[tuple[int, int]]:
        """(documents in a cluster, number of such clusters), of clusters with more than one."""
        return self._base.execute("""
        SELECT size, COUNT(*) FROM (SELECT COUNT(*) AS size FROM label GROUP BY label)
        WHERE size > 1 GROUP BY size ORDER BY size
        """).fetchall()

    def largest_clusters(self, limit: int, members: int) -> list[list[tuple[int, int, int]]]:
        """Places of members of the largest clusters with different texts, the kept one first."""
        labels = self._base.execute(
            """
            SELECT label FROM document JOIN label USING (number) GROUP BY label
            HAVING COUNT(DISTINCT digest) > 1 AND MAX(is_removed) = 0
            ORDER BY COUNT(*) DESC, MIN(digest) LIMIT ?
            """,
            (limit,),
        ).fetchall()
        query = """
        SELECT shard, start, length FROM (
          SELECT shard, start, length, is_kept, digest, ROW_NUMBER() OVER (
            PARTITION BY digest ORDER BY is_kept DESC, record_hash, number) AS copy
          FROM document JOIN label USING (number) WHERE label = ?)
        WHERE copy = 1 ORDER BY is_kept DESC, digest LIMIT ?
        """
        return [self._base.execute(query, (label, members)).fetchall() for (label,) in labels]


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Turns what SQLite says of a disk into the OSError that it stands for."""
    try:
        yield
    except sqlite3.OperationalError as error:
        primary = error.sqlite_errorcode & 0xFF
        codes = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
        if primary not in codes:
            raise
        raise OSError(codes[primary], str(error)) from error
