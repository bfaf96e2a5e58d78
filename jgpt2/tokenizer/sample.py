"""The text that a vocabulary is learnt from: a bounded, seeded sample, cut into training lines.

SentencePiece reads lines and silently skips those that are long or hold characters that it
reserves. Here every document is cut into lines that it accepts, and what is left out is counted.
"""

import dataclasses
import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator

from jgpt2.errors import InputError
from jgpt2.tokenizer import base

MAX_LINE_BYTES = 4192
"""The longest line that SentencePiece takes by default (its `max_sentence_length`)."""

# Newline and tab get their own symbols. SentencePiece reserves U+2581 (its space) and U+2585 (its
# unknown), refuses NUL, and trims CR from line ends: these four are always given by byte pieces.
_BREAKS = re.compile("[\n\t\r\0\u2581\u2585]")
_SENTENCE_ENDS = tuple(mark.encode() for mark in "。！？")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Documents chosen by hash, and what they were chosen from."""

    texts: tuple[str, ...]
    """In the order of their hashes; the last may be cut short to keep the bound."""
    bytes_by_source: dict[str, int]
    """Sampled bytes per source, so that a skew is seen."""
    num_documents_seen: int
    num_bytes_seen: int

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the sample, at most `max_bytes`."""
        return sum(self.bytes_by_source.values())


def draw(documents: Iterable[tuple[str, str]], *, max_bytes: int, seed: int) -> Sample:
    """Keeps the (source, text) pairs with the lowest hashes of (seed, text), up to `max_bytes`.

    The sample depends on the set of documents only, not on their order, and is not stratified:
    each source comes in proportion to its bytes. Memory holds `max_bytes` and one document.
    Raises InputError when there is no text.
    """
    kept: list[tuple[int, bytes, str]] = []  # a heap whose first entry has the highest hash
    kept_bytes = num_documents = num_bytes = 0
    for source, text in documents:
        data = base.utf8(text)
        num_documents += 1
        num_bytes += len(data)
        if not data:
            continue
        digest = hashlib.blake2b(data, digest_size=8, salt=seed.to_bytes(16, "big", signed=True))
        heapq.heappush(kept, (-int.from_bytes(digest.digest(), "big"), data, source))
        kept_bytes += len(data)
        while kept_bytes - len(kept[0][1]) >= max_bytes:
            kept_bytes -= len(heapq.heappop(kept)[1])
    if not kept_bytes:
        raise InputError(
            f"the corpus is empty: {num_documents} documents without text; a vocabulary needs "
            "Japanese text to learn from, give a dataset or files that hold some."
        )
    texts: list[str] = []
    by_source: dict[str, int] = {}
    room = max_bytes
    for _, data, source in sorted(kept, reverse=True):
        data = data if len(data) <= room else data[: _cut(data, 0, room)]
        room -= len(data)
        texts.append(data.decode())
        by_source[source] = by_source.get(source, 0) + len(data)
    return Sample(
        texts=tuple(texts),
        bytes_by_source=dict(sorted(by_source.items())),
        num_documents_seen=num_documents,
        num_bytes_seen=num_bytes,
    )


def lines(text: str, max_bytes: int = MAX_LINE_BYTES) -> Iterator[str]:
    """The training lines of a text: cut at newlines, tabs and reserved characters, none empty.

    A line above `max_bytes` is cut after its last 。！？ within that length, else between two
    characters.

    >>> list(lines("雨が降る。傘をさす。\\n晴れた", max_bytes=20))
    ['雨が降る。', '傘をさす。', '晴れた']
    """
    for line in _BREAKS.split(text):
        data = line.encode()
        start = 0
        while start < len(data):
            end = _cut(data, start, max_bytes)
            yield data[start:end].decode()
            start = end


def count_breaks(text: str) -> dict[str, int]:
    """UTF-8 bytes of a text that `lines` takes out, by what becomes of them in the vocabulary."""
    own_symbols = text.count("\n") + text.count("\t")
    all_breaks = sum(len(match.encode()) for match in _BREAKS.findall(text))
    return {"newline_and_tab_bytes": own_symbols, "reserved_bytes": all_breaks - own_symbols}


def _cut(data: bytes, start: int, max_bytes: int) -> int:
    """Where the piece of valid UTF-8 from `start` of at most `max_bytes` (4 or more) ends."""
    end = start + max_bytes
    if end >= len(data):
        return len(data)
    sentence_end = max(data.rfind(mark, start, end) for mark in _SENTENCE_ENDS)
    if sentence_end >= 0:
        return sentence_end + 3  # each mark is three bytes, all before `end`
    while data[end] & 0xC0 == 0x80:  # a continuation byte: `end` is inside a character
        end -= 1
    return end
