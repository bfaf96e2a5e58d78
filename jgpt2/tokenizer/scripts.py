"""Which script each character of a text belongs to, for measuring vocabularies by script."""

import unicodedata

import numpy as np
import numpy.typing as npt

SCRIPTS = ("kanji", "hiragana", "katakana", "latin", "digits", "emoji", "other")

# (first, last) code points, full-width and half-width forms with their script. The prolonged
# sound mark ー counts as katakana wherever it stands; 々〆〇 count as kanji.
_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "kanji": (
        (0x3005, 0x3007),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x3FFFF),
    ),
    "hiragana": ((0x3041, 0x309F), (0x1B132, 0x1B132), (0x1B150, 0x1B152), (0x1F200, 0x1F200)),
    "katakana": (
        (0x30A1, 0x30FA),
        (0x30FC, 0x30FF),
        (0x31F0, 0x31FF),
        (0xFF66, 0xFF9F),
        (0x1B164, 0x1B167),
    ),
    "digits": ((0x30, 0x39), (0xFF10, 0xFF19)),
    # Pictographs, the parts of emoji sequences (joiner, keycap, variation selector, tags), and the
    # other characters shown as emoji by default (Emoji_Presentation in Unicode's emoji-data.txt).
    "emoji": (
        (0x200D, 0x200D),
        (0x20E3, 0x20E3),
        (0x231A, 0x231B),
        (0x23E9, 0x23EC),
        (0x23F0, 0x23F0),
        (0x23F3, 0x23F3),
        (0x25FD, 0x25FE),
        (0x2614, 0x2615),
        (0x2648, 0x2653),
        (0x267F, 0x267F),
        (0x2693, 0x2693),
        (0x26A1, 0x26A1),
        (0x26AA, 0x26AB),
        (0x26BD, 0x26BE),
        (0x26C4, 0x26C5),
        (0x26CE, 0x26CE),
        (0x26D4, 0x26D4),
        (0x26EA, 0x26EA),
        (0x26F2, 0x26F3),
        (0x26F5, 0x26F5),
        (0x26FA, 0x26FA),
        (0x26FD, 0x26FD),
        (0x2705, 0x2705),
        (0x270A, 0x270B),
        (0x2728, 0x2728),
        (0x274C, 0x274C),
        (0x274E, 0x274E),
        (0x2753, 0x2755),
        (0x2757, 0x2757),
        (0x2795, 0x2797),
        (0x27B0, 0x27B0),
        (0x27BF, 0x27BF),
        (0x2B1B, 0x2B1C),
        (0x2B50, 0x2B50),
        (0x2B55, 0x2B55),
        (0xFE0F, 0xFE0F),
        (0x1F000, 0x1F1FF),
        (0x1F201, 0x1FAFF),
        (0xE0020, 0xE007F),
    ),
}
# Letters with "LATIN" in their Unicode names lie below these bounds, or are full-width.
_LATIN_RANGES = ((0x41, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A))


def _table() -> npt.NDArray[np.uint8]:
    table = np.full(0x110000, SCRIPTS.index("other"), np.uint8)
    for first, last in _LATIN_RANGES:
        for code in range(first, last + 1):
            if "LATIN" in unicodedata.name(chr(code), ""):
                table[code] = SCRIPTS.index("latin")
    for script, ranges in _RANGES.items():
        for first, last in ranges:
            table[first : last + 1] = SCRIPTS.index(script)
    return table


_TABLE = _table()


def classify(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """The index into `SCRIPTS` of each code point.

    >>> codes = np.array([ord(c) for c in "漢かカーＡ1！"], np.uint32)
    >>> [SCRIPTS[i] for i in classify(codes)]
    ['kanji', 'hiragana', 'katakana', 'katakana', 'latin', 'digits', 'other']
    """
    return _TABLE[codes]


def utf8_lengths(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """The bytes that each code point takes in UTF-8.

    >>> utf8_lengths(np.array([ord(c) for c in "aéか𠮷"], np.uint32))
    array([1, 2, 3, 4])
    """
    return 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000).astype(np.int64)
