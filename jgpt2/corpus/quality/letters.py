"""How many characters of a text belong to each script of Japanese, and the longest run of one.

`scores` makes shares of these counts. Short texts are joined and measured together: a call into
numpy costs as much as several hundred letters, so each must do the work of many texts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

END = 0x110000
"""Stands behind every joined text: above all code points."""

_PIECE = 1 << 17  # characters looked at together: their arrays fit a second-level cache

_OTHER, _SPACE, _HIRAGANA, _KATAKANA, _KANJI, _PUNCTUATION = range(6)

_RANGES = {
    _SPACE: (
        (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
        (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
    ),
    _HIRAGANA: ((0x3041, 0x3096), (0x309D, 0x309F)),
    _KATAKANA: ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    _KANJI: (
        (0x3005, 0x3005), (0x3007, 0x3007), (0x303B, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
    ),
    _PUNCTUATION: tuple((ord(mark), ord(mark)) for mark in "、，。．！？"),
}  # fmt: skip


class Tally[Count: (int, Counts)](NamedTuple):
    """Numbers of characters, of one text or of each of several.

    Those that are neither white space nor Japanese count as others.
    """

    others: Count
    spaces: Count
    hiragana: Count
    katakana: Count
    kanji: Count
    punctuation: Count

    @property
    def japanese(self) -> Count:
        """Kana, kanji and the six marks 、，。．！？ (as Swallow counts; also ー and 𠮷)."""
        return self.hiragana + self.katakana + self.kanji + self.punctuation

    @property
    def all(self) -> Count:
        """Every character but white space."""
        return self.japanese + self.others


class Joined(NamedTuple):
    """Texts one after another, to be measured by one call."""

    text: str
    """NUL stands for END."""
    codes: NDArray[np.uint32]
    """Code points, lone surrogates among them, with END behind each text."""
    starts: Counts
    """Where each text begins."""
    lengths: Counts
    """Characters of each text, without END."""
    owners: Counts
    """For each code the number of its text."""


def join(texts: Sequence[str]) -> Joined:
    """One or more texts as one, in their order."""
    text = "\0".join([*texts, ""])
    codes = np.frombuffer(bytearray(text.encode("utf-32-le", "surrogatepass")), "<u4")
    lengths = np.array([len(text) for text in texts], np.int64)
    ends = np.cumsum(lengths + 1) - 1
    codes[ends] = END
    owners = np.repeat(np.arange(len(texts)), lengths + 1)
    return Joined(text, codes, ends - lengths, lengths, owners)


def tally(text: str) -> Tally[int]:
    """How many characters of each script a text of any length has.

    >>> tally("猫はミルクが好き。 OK")
    Tally(others=2, spaces=1, hiragana=3, katakana=3, kanji=2, punctuation=1)
    """
    counts = np.zeros(len(Tally._fields), np.int64)
    for start in range(0, len(text), _PIECE):
        counts += np.ravel(tallies(join([text[start : start + _PIECE]])))
    return Tally(*counts.tolist())


def tallies(joined: Joined) -> Tally[Counts]:
    """How many characters of each script each text has."""
    width = len(Tally._fields) + 1
    # A code is always inside the table; "wrap" only spares numpy the check.
    places = _SCRIPTS.take(joined.codes, mode="wrap") + joined.owners * width
    counts = np.bincount(places, minlength=len(joined.lengths) * width)
    return Tally(*counts.reshape(-1, width).T[:-1])


def longest_runs(joined: Joined) -> Counts:
    """How often the most repeated character stands in a row, for each text.

    >>> longest_runs(join(["えーーーっと", "", "えっと"])).tolist()
    [3, 0, 1]
    """
    codes = joined.codes
    is_last = np.empty(len(codes), bool)
    np.not_equal(codes[1:], codes[:-1], out=is_last[:-1])
    is_last[joined.starts + joined.lengths] = True  # END behind END, where a text is empty
    lasts = is_last.nonzero()[0]
    sizes = lasts.copy()
    sizes[0] += 1
    sizes[1:] -= lasts[:-1]
    longest = np.maximum.reduceat(sizes, lasts.searchsorted(joined.starts))
    return np.minimum(longest, joined.lengths)  # END is a run of an empty text


def _table() -> NDArray[np.uint8]:
    table = np.full(END + 1, _OTHER, np.uint8)
    for script, ranges in _RANGES.items():
        for first, last in ranges:
            table[first : last + 1] = script
    table[END] = len(Tally._fields)
    table.flags.writeable = False
    return table


_SCRIPTS = _table()
