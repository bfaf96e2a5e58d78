"""The bar that a model must clear: the same documents compressed by `xz -9e`.

Stands beside `jgpt2.evaluate.bits` with the same denominator, so the two figures compare.
"""

import dataclasses
import lzma
from collections.abc import Iterable, Sequence
from typing import Any

from jgpt2.errors import InputError

SEPARATOR = b"\xff"
"""Follows each document, as EOT does for a model; 0xFF never occurs in UTF-8."""


@dataclasses.dataclass(frozen=True)
class Compressed:
    """Sizes of one set of documents."""

    num_documents: int
    num_bytes: int
    """UTF-8 bytes of the texts, without separators."""
    compressed_bytes: int
    """Size of the .xz file of all texts, each followed by the separator."""

    @property
    def bits_per_byte(self) -> float:
        """Eight times the compressed size over the size of the texts."""
        return 8 * self.compressed_bytes / self.num_bytes

    def record(self) -> dict[str, Any]:
        """The sizes and their ratio."""
        return {**vars(self), "bits_per_byte": self.bits_per_byte}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The same documents as `bits.Summary`, compressed."""

    overall: Compressed
    """All in one file."""
    by_source: dict[str, Compressed]
    """Each source in a file of its own, sorted by the source's name."""

    def record(self) -> dict[str, Any]:
        """Overall sizes, and those by source below them."""
        by_source = {source: size.record() for source, size in self.by_source.items()}
        return {**self.overall.record(), "by_source": by_source}


def measure(texts: Iterable[tuple[str, str, str]]) -> Sizes:
    """Compresses (id, source, text) documents: all, and each source's.

    Raises InputError when one of the files would hold no text.
    """
    documents = list(texts)
    by_source: dict[str, list[str]] = {}
    for _, source, text in documents:
        by_source.setdefault(source, []).append(text)
    overall = compress([text for _, _, text in documents])
    return Sizes(overall, {source: compress(by_source[source]) for source in sorted(by_source)})


def compress(texts: Sequence[str]) -> Compressed:
    """Size of the documents, joined in the given order, as `xz -9e` would write them.

    Takes up to 700 MB of memory. Raises InputError when there is no text.
    """
    encoded = [text.encode() for text in texts]
    num_bytes = sum(map(len, encoded))
    if num_bytes == 0:
        raise InputError(
            f"{len(texts)} documents hold no text to compress; give at least one that is not empty."
        )
    compressor = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    sizes = [len(compressor.compress(text + SEPARATOR)) for text in encoded]
    return Compressed(len(texts), num_bytes, sum(sizes) + len(compressor.flush()))
