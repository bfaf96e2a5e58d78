"""Whether a text is Japanese: the cheap test that keeps all other pages from the costly steps.

Kana are written in Japanese alone, so they are counted against letters of other scripts.
Nothing is decided about quality here: a page that is Japanese in part passes.
"""

import html as entities
import re

import numpy as np
from numpy.typing import NDArray

MIN_KANA = 20
"""Fewer kana are a name or a motto."""
MIN_KANA_SHARE = 0.03
"""Kana by all letters: a page in another language that quotes Japanese has less. The lowest of
107 Japanese pages (manuals of programs and blogs, tags and scripts left out) has 0.19."""
MIN_KANA_BY_HAN = 0.08
"""Kana by kana and Chinese characters together: Chinese with a decorative 「の」 has less. The
lowest of the same pages has 0.53; prose of the years before 1900 goes down to about 0.2."""
SAMPLE_CHARS = 1 << 20
"""A longer text is judged by so much of it: half from its start, half from its middle."""

_SCRIPT = re.compile(r"<(script|style)\b[^<]*+(?:<(?!/(?:script|style)\b)[^<]*+)*+", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def is_japanese(text: str, *, is_html: bool) -> bool:
    """Whether enough of the letters are kana; tags, scripts and styles of a page don't count.

    >>> is_japanese("山路を登りながら、こう考えた。智に働けば角が立つ。" * 2, is_html=False)
    True
    >>> is_japanese("鲜の每日，日本料理の味道，我們介紹東京的美食與文化。" * 9, is_html=False)
    False
    """
    if len(text) > SAMPLE_CHARS:
        half, middle = SAMPLE_CHARS // 2, len(text) // 2
        text = text[:half] + text[middle : middle + half]
    if is_html:
        text = _TAG.sub("", _SCRIPT.sub("", text))
        if "&#" in text and not _has_kana(text):  # some pages write every kana as a number
            text = entities.unescape(text)
    return _has_kana(text)


def _has_kana(text: str) -> bool:
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2")
    kana = _count(units, 0x3041, 0x30FA) + _count(units, 0xFF66, 0xFF9D)
    if kana < MIN_KANA:
        return False
    han = _count(units, 0x3400, 0x9FFF)
    latin = _count(units | np.uint16(0x20), ord("a"), ord("z"))
    others = _count(units, 0x00C0, 0x1FFF) + _count(units, 0xAC00, 0xD7A3)
    letters = kana + han + latin + others
    return kana >= MIN_KANA_SHARE * letters and kana >= MIN_KANA_BY_HAN * (kana + han)


def _count(units: NDArray[np.uint16], first: int, last: int) -> int:
    """How many lie between the two, both counted; a smaller unit wraps to a large one."""
    return int(np.count_nonzero(units - np.uint16(first) <= np.uint16(last - first)))
