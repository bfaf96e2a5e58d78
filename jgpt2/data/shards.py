"""One shard of a token store: the tokens of some documents in a row, and where each one ends.

`NAME.tokens` is a flat little-endian array of ids with one EOT after each document, and where a
vocabulary begins documents with another id, that id before each.
`NAME.documents` holds three little-endian int64 a document: where it ends in the tokens, its UTF-8
bytes, its characters.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jgpt2.corpus import dataset, records
from jgpt2.tokenizer import base, load

TEXT_BYTES = 8 * 2**20
"""Mean text of a shard: enough to hide its start-up cost, little to lose to a kill."""
_MOST_SHARDS = 4096  # of a split: each is a memory map
_ENCODED_TOGETHER = 2**20


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A task for a worker process: which documents become which files."""

    dataset: Path
    tokenizer: Path
    out: Path
    split: str
    index: int
    of: int
    start: int
    """The first document, counted in its split."""
    stop: int
    """The document after the last."""

    @property
    def tokens(self) -> Path:
        """The file of ids."""
        return self.out / f"{self._stem}.tokens"

    @property
    def documents(self) -> Path:
        """The file of ends, bytes and characters."""
        return self.out / f"{self._stem}.documents"

    @property
    def _stem(self) -> str:
        return f"{self.split}-{self.index:05d}-of-{self.of:05d}"


def plan(
    dataset: Path, tokenizer: Path, out: Path, *, split: str, num_documents: int, num_bytes: int
) -> list[Shard]:
    """The shards of a split: equal numbers of documents, about TEXT_BYTES of text each."""
    count = min(max(1, round(num_bytes / TEXT_BYTES)), num_documents, _MOST_SHARDS)
    bounds = [num_documents * index // count for index in range(count + 1)]
    return [
        Shard(
            dataset=dataset,
            tokenizer=tokenizer,
            out=out,
            split=split,
            index=index,
            of=count,
            start=bounds[index],
            stop=bounds[index + 1],
        )
        for index in range(count)
    ]


def write(shard: Shard) -> tuple[int, int, int]:
    """Writes both files of a shard; the (tokens, bytes, characters) in them.

    The tokens come last and under their name only when whole, so a shard is finished when that
    file is there. A failure, such as a full disk, leaves no part of a file.
    """
    tokenizer = load.load(shard.tokenizer)
    documents = dataset.open_split(shard.dataset, shard.split)
    table: list[tuple[int, int, int]] = []
    begin = _begin(tokenizer)
    partial = shard.tokens.with_suffix(".tokens.partial")
    end = 0
    try:
        with partial.open("wb") as file:
            for batch in _batches(documents[i] for i in range(shard.start, shard.stop)):
                encoded = tokenizer.encode_batch([document.text for document in batch])
                for document, ids in zip(batch, encoded, strict=True):
                    end += len(ids) + 1 + len(begin)
                    table.append((end, document.num_bytes, len(document.text)))
                file.write(_joined(encoded, tokenizer).tobytes())
            file.flush()
            os.fsync(file.fileno())
        _write(shard.documents, np.array(table, "<i8").tobytes())
        partial.replace(shard.tokens)
    finally:
        partial.unlink(missing_ok=True)
    return _totals(np.array(table, "<i8"))


def finished(shard: Shard, dtype: np.dtype) -> tuple[int, int, int] | None:
    """The (tokens, bytes, characters) of a shard that is whole on disk; None for any other."""
    if not shard.tokens.is_file() or not shard.documents.is_file():
        return None
    table = read_documents(shard.documents)
    whole = len(table) == shard.stop - shard.start
    if not whole or shard.tokens.stat().st_size != int(table[-1, 0]) * dtype.itemsize:
        return None
    return _totals(table)


def read_documents(path: Path) -> npt.NDArray[np.int64]:
    """[documents, 3] end in the shard's tokens, UTF-8 bytes and characters of each document."""
    table = np.fromfile(path, "<i8")
    return table[: len(table) // 3 * 3].reshape(-1, 3)


def dtype_on_disk(vocab_size: int) -> np.dtype:
    """Little-endian uint16, or uint32 for vocabularies above 65,536 ids."""
    return base.id_dtype(vocab_size).newbyteorder("<")


def _totals(table: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    return int(table[-1, 0]), int(table[:, 1].sum()), int(table[:, 2].sum())


def _joined(encoded: list[base.Ids], tokenizer: base.Tokenizer) -> np.ndarray:
    begin, eot = _begin(tokenizer), np.array([tokenizer.eot], encoded[0].dtype)
    joined = np.concatenate([part for ids in encoded for part in (begin, ids, eot)])
    return joined.astype(dtype_on_disk(tokenizer.vocab_size), copy=False)


def _begin(tokenizer: base.Tokenizer) -> base.Ids:
    """What stands before a document: nothing where EOT, which ends the one before, begins it."""
    begins = [] if tokenizer.begin == tokenizer.eot else [tokenizer.begin]
    return np.array(begins, base.id_dtype(tokenizer.vocab_size))


def _batches(documents: Iterable[records.Document]) -> Iterator[list[records.Document]]:
    batch: list[records.Document] = []
    num_bytes = 0
    for document in documents:
        batch.append(document)
        num_bytes += document.num_bytes
        if num_bytes >= _ENCODED_TOGETHER:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
