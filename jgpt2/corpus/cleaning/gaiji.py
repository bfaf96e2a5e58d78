"""Characters that Aozora Bunko writes in words, restored to Unicode.

Its files are Shift_JIS: what that lacks is described in a note with a JIS X 0213 or Unicode
number (gaiji), spelt with a mark after the letter (accents), or drawn with slashes (the long
repeat mark). `cleaning.aozora` calls this after it has removed ruby and other notes.
Sources: www.aozora.gr.jp/annotation/external_character.html and accent_separation.html.
"""

import re
import unicodedata

UNKNOWN = "〓"
"""Stands for a character without a number: the printers' filler, as Aozora uses it."""

NOTE = r"［＃(?:[^［］\n]++|［(?:[^［］\n]++|［[^［］\n]*+］)*+］)*+］"
"""A note on one line with at most two levels of brackets within; one without end is no match."""

_GAIJI = re.compile("※" + NOTE)
_MEN_KU_TEN = re.compile(r"(?<![0-9-])([12])-([0-9]{1,2})-([0-9]{1,2})(?![0-9-])")
_UNICODE = re.compile(r"[UＵ][+＋]([0-9A-Fa-f]{4,6})(?![0-9A-Fa-f])")
_SMALL_KANA = re.compile(r"小書き(?:平|片)仮名(.)")
_VOICED_KANA = re.compile(r"(半?)濁点付き(?:平|片)仮名(.)")
_FORMATTED_MARK = re.compile(
    r"［＃(?:「※」[はに](?!底本).*"
    r"(?:小書き|縦中横|小さな文字|傍点|傍線|太字|見出し|注記|上付き|下付き)"
    r"|ここ(?:から|で)|改ページ|改丁|改段|行右小書き|[０-９]+字下げ|地付き|地から)"
)
_VOICED, _SEMI_VOICED = "\u3099", "\u309a"

_BRACKETED = re.compile(r"〔([^〔〕\n]*+)〕")
_ACCENTED_LETTERS = {
    "'": ("AEIOUYaeiouy", "\u0301"),
    "`": ("AEIOUaeiou", "\u0300"),
    "^": ("AEIOUaeiou", "\u0302"),
    "~": ("ANOano", "\u0303"),
    ":": ("AEIOUaeiouy", "\u0308"),
    "&": ("Aa", "\u030a"),
    ",": ("Cc", "\u0327"),
    "_": ("AEIOUaeiou", "\u0304"),
}
_ACCENTS = {
    letter + mark: unicodedata.normalize("NFC", letter + combining)
    for mark, (letters, combining) in _ACCENTED_LETTERS.items()
    for letter in letters
} | {
    "AE&": "Æ",
    "ae&": "æ",
    "OE&": "Œ",
    "oe&": "œ",
    "s&": "ß",
    "O/": "Ø",
    "o/": "ø",
    "!@": "¡",
    "?@": "¿",
}
# A colon before a space or a comma after a word is punctuation, not an accent.
_ACCENT = re.compile(
    "|".join(
        re.escape(spelt) for spelt in sorted(_ACCENTS, key=len, reverse=True) if ":" not in spelt
    )
    .replace("C,", "C,(?=[A-Za-z])")
    .replace("c,", "c,(?=[A-Za-z])")
    + r"|[AEIOUaeiouy]:(?!\s)"
)


def restore(text: str) -> str:
    """The text with gaiji notes, spelt accents and drawn repeat marks as Unicode characters.

    >>> restore("※［＃「てへん＋劣」、第3水準1-84-77］り取った")
    '挘り取った'
    >>> restore("〔Cafe'〕で※［＃「口＋世」、U+546D、135-7］を見る／″＼と〔大正15年〕")
    'Caféで呭を見る〴〵と〔大正15年〕'
    """
    if "〔" in text:
        text = _BRACKETED.sub(_without_spelt_accents, text)
    if "＼" in text:
        text = text.replace("／″＼", "〴〵").replace("／＼", "〳〵")
    if "※" in text:
        text = _GAIJI.sub(lambda match: character(match.group()[1:]), text)
    return text


def character(note: str) -> str:
    """What a note ［＃…］ after ※ stands for; `UNKNOWN` if it has no number in Unicode's reach.

    A ※ that is itself a mark of the text, with a note on how it is set, stays.

    >>> character("［＃二の字点、1-2-22］"), character("［＃「てへん＋纔のつくり」、472-17］")
    ('〻', '〓')
    """
    if found := _MEN_KU_TEN.search(note):
        plane, row, cell = (int(number) for number in found.groups())
        if restored := jis_x_0213(plane, row, cell):
            return restored
    if found := _UNICODE.search(note):
        code = int(found.group(1), 16)
        # Category C: controls, surrogates, private use and unassigned.
        if code <= 0x10FFFF and not unicodedata.category(chr(code)).startswith("C"):
            return chr(code)
    if found := _VOICED_KANA.search(note):
        mark = _SEMI_VOICED if found.group(1) else _VOICED
        return unicodedata.normalize("NFC", found.group(2) + mark)
    if found := _SMALL_KANA.search(note):
        return found.group(1)
    return "※" if _FORMATTED_MARK.match(note) else UNKNOWN


# JIS X 0213:2004, 5.2; in other rows Python's codec gives characters of JIS X 0212.
_ROWS_OF_PLANE_2 = frozenset((1, 3, 4, 5, 8, *range(12, 16), *range(78, 95)))


def jis_x_0213(plane: int, row: int, cell: int) -> str:
    """The character at 面-区-点 of JIS X 0213, one or two code points; "" where there is none."""
    if plane not in (1, 2) or not (1 <= row <= 94 and 1 <= cell <= 94):
        return ""
    lead = b"\x8f" if plane == 2 else b""
    if plane == 2 and row not in _ROWS_OF_PLANE_2:
        return ""
    try:
        return (lead + bytes((0xA0 + row, 0xA0 + cell))).decode("euc_jis_2004")
    except UnicodeDecodeError:
        return ""


def _without_spelt_accents(match: re.Match[str]) -> str:
    """Brackets go only where an accent was spelt in them: others belong to the text."""
    inside, num_accents = _ACCENT.subn(lambda spelt: _ACCENTS[spelt.group()], match.group(1))
    return inside if num_accents else match.group()
