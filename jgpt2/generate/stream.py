"""From ids, as they are drawn, to text that can be shown at once: never half a character.

A kanji is three bytes and an emoji four, which a byte vocabulary spreads over as many ids. Stands
between `jgpt2.generate.decode` and a terminal or a socket.
"""

import codecs

import numpy.typing as npt

from jgpt2.tokenizer import base

ESCAPED = frozenset(
    {*range(0x20), *range(0x7F, 0xA0)}  # C0 with DEL, C1: they move the cursor or open sequences
    | {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # bidi controls
) - {ord("\n"), ord("\t")}
"""Code points that could change how a terminal shows the text around them."""

_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in ESCAPED}


class TextStream:
    """The text of one row, piece by piece.

    Bytes that are no UTF-8 become U+FFFD, as in a whole decode with replacement; the first bytes
    of a character wait for the rest of it.
    """

    def __init__(self, tokenizer: base.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: npt.ArrayLike) -> str:
        """The text that these ids complete; empty while a character is unfinished."""
        return self._decoder.decode(self._tokenizer.decode_bytes(ids))

    def finish(self) -> str:
        """What is left: U+FFFD where the row ended inside a character, else nothing."""
        return self._decoder.decode(b"", final=True)


def neutralise(text: str) -> str:
    r"""Shows control characters as escapes, so that generated text cannot steer a terminal.

    >>> print(neutralise("日本\x1b[2J語\u202e\n改行はそのまま\r"))
    日本\x1b[2J語\u202e
    改行はそのまま\x0d
    """
    return text.translate(_ESCAPES)
