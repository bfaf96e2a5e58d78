"""The documents of a build in progress, on disk: a file of their content and an index in SQLite.

It lets `jgpt2.corpus.build` read its input once, in any order, and hold one document in memory.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from jgpt2.corpus import records

_TABLE = """
CREATE TABLE document (
  text_hash BLOB PRIMARY KEY, record_hash BLOB, cluster BLOB,
  start INTEGER, length INTEGER, num_bytes INTEGER, num_chars INTEGER, source TEXT, license TEXT)
"""
# Of records with one text the one of lowest hash stays, whatever order they came in.
_INSERT = """
INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (text_hash) DO UPDATE SET
  record_hash = excluded.record_hash, cluster = excluded.cluster, start = excluded.start,
  length = excluded.length, source = excluded.source, license = excluded.license
WHERE excluded.record_hash < record_hash
"""
_IN_SPLIT = "FROM document WHERE cluster >= ? AND cluster < ?"

Span = tuple[bytes, bytes]
"""Cluster hashes from (included) and to (excluded)."""


class Spool:
    """Documents with distinct texts, in the order of their cluster's hash."""

    def __init__(self, folder: Path) -> None:
        self._content = (folder / "spool").open("w+b")
        self._index = sqlite3.connect(folder / "spool.index", isolation_level=None)
        self._index.execute("PRAGMA journal_mode = OFF")  # a build that is killed starts anew
        self._index.execute("PRAGMA synchronous = OFF")
        self._index.execute("BEGIN")  # ends in `finish`: until then little of it is written out
        self._index.execute(_TABLE)
        self.num_added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        # Without a flush: on a full disk that would fail once more, and nothing is read again.
        self._content.raw.close()

    def add(self, document: records.Document, cluster_hash: bytes) -> None:
        """Adds a document; of two with the same text one is kept, by their content alone.

        Raises OSError when the disk is full.
        """
        content = json.dumps(dataclasses.asdict(document), ensure_ascii=False).encode()
        row = (
            hashlib.sha256(document.text.encode()).digest(),
            hashlib.sha256(cluster_hash + content).digest(),
            cluster_hash,
            self._content.tell(),
            len(content),
            document.num_bytes,
            len(document.text),
            document.source,
            document.license,
        )
        with _disk_errors():
            self._index.execute(_INSERT, row)
        self._content.write(content)
        self.num_added += 1

    def finish(self) -> int:
        """The number of distinct texts; nothing is added after this. OSError for a full disk."""
        self._content.flush()
        with _disk_errors():
            self._index.execute("CREATE INDEX by_cluster ON document (cluster, text_hash)")
            self._index.execute("COMMIT")
        return self.num_documents()

    def num_documents(self) -> int:
        """The number of distinct texts."""
        return self._number("SELECT COUNT(*) FROM document")

    def num_clusters(self, below: bytes | None = None) -> int:
        """The number of clusters, or of those whose hash is lower than `below`."""
        if below is None:
            return self._number("SELECT COUNT(DISTINCT cluster) FROM document")
        return self._number("SELECT COUNT(DISTINCT cluster) FROM document WHERE cluster < ?", below)

    def cluster(self, rank: int) -> bytes:
        """The hash of the cluster with `rank` others below it."""
        query = "SELECT DISTINCT cluster FROM document ORDER BY cluster LIMIT 1 OFFSET ?"
        return self._index.execute(query, (rank,)).fetchone()[0]

    def documents(self, span: Span) -> Iterator[records.Document]:
        """The documents whose cluster lies in `span`."""
        query = f"SELECT start, length {_IN_SPLIT} ORDER BY cluster, text_hash"
        for start, length in self._index.execute(query, span):
            self._content.seek(start)
            yield records.Document(**json.loads(self._content.read(length)))

    def account(self, span: Span) -> list[tuple[str, str, int, int, int]]:
        """(source, licence, documents, bytes, characters) of what lies in `span`."""
        query = f"""
        SELECT source, license, COUNT(*), SUM(num_bytes), SUM(num_chars)
        {_IN_SPLIT} GROUP BY source, license ORDER BY source, license
        """
        return self._index.execute(query, span).fetchall()

    def _number(self, query: str, *values: bytes) -> int:
        return self._index.execute(query, values).fetchone()[0]


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
