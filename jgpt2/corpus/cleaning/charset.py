"""The text in bytes of the web: which Japanese charset they are in, found from the bytes.

The first step of a crawled record. Labels are wrong too often to be trusted (4 of the 129 files
this was measured on), so a charset must fit the bytes first: strict decoding, then how much the
text looks like Japanese. A label only decides between charsets that fit equally well.
"""

import codecs
import functools
import re
from dataclasses import dataclass

import numpy as np

from jgpt2.corpus.cleaning import gaiji

CODECS = ("utf-8", "cp932", "euc_jp", "iso2022_jp")
"""What Japanese text of the web is in, but for rarities."""
MAX_BAD_SHARE = 0.01
"""A text may have one undecodable place for this share of its characters beyond ASCII, or one."""
MIN_PLAUSIBILITY = 0.5
"""Japanese prose scores 0.85 to 1, wrongly decoded text below 0.4 (see `plausibility`)."""
_LEAST_PLAUSIBILITY = -0.2
"""Of words of rare kanji, or symbols in English; western letters as cp932 are below."""
_CLEAR_LEAD = 0.15
"""Scores nearer than this do not decide between charsets that both fit."""
_CUT_PENALTY = 0.15
"""A charset that fits only without the last byte is less likely than one that fits all."""
_MAX_CONTROLS = 0.02
"""Images and archives have 10% control characters, text next to none."""
_LABEL_AREA = 4096
_WINDOW = 4096
_VENDOR_CHARACTERS = "jgpt2-vendor-characters"

_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\x0b\x0c\r\x1b")) + b"\x7f"
_NON_ASCII = re.compile(rb"[\x80-\xff]")
_JIS_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\$\([DOPQ]|\([IJ])")
_KANA = re.compile("[ぁ-ヶ]")
_LABEL = re.compile(
    rb"<meta\b[^>]{0,300}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([A-Za-z0-9_:.-]{2,40})"
    rb"|<\?xml\b[^>]{0,100}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9_:.-]{2,40})",
    re.I,
)
_JAPANESE_NAMES = {
    "shift_jis": "cp932",
    "shiftjis": "cp932",
    "cp932": "cp932",
    "cp943": "cp932",
    "x-mac-japanese": "cp932",
    "eucjp": "euc_jp",
    "eucjpms": "euc_jp",
    "cp51932": "euc_jp",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "cp50222": "iso2022_jp",
}
_WIDER_NAMES = {"gbk": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs"}
"""Codecs that browsers mean by narrower labels, as the WHATWG encoding standard has it."""


@dataclass(frozen=True)
class Decoded:
    """The text in bytes, and how sure it is."""

    text: str
    """With line ends as they were, and without a byte order mark."""
    encoding: str
    """Name of Python's codec: utf-8, cp932, euc_jp, iso2022_jp, ..."""
    declared: str
    """What the byte order mark, the HTTP header or the page says, by the same names, or ""."""
    num_replaced: int
    """How many U+FFFD stand for bytes that could not be decoded."""
    is_lossless: bool
    """Whether encoding the text gives the bytes back, byte for byte (but for the mark)."""


def decode(data: bytes, *, declared: str = "", is_html: bool = False) -> Decoded | None:
    """The text in `data`; None for binary data and where no charset fits.

    A page cut in the middle of a character, or with a few bad bytes (`MAX_BAD_SHARE`), is kept.

    >>> found = decode("①番の㈱山田".encode("cp932"), declared="EUC-JP")
    >>> found.text, found.encoding, found.declared, found.is_lossless
    ('①番の㈱山田', 'cp932', 'euc_jp', True)
    >>> decode(bytes(range(256))) is None
    True
    """
    if marked := _with_byte_order_mark(data):
        return marked
    label = _normal_name(declared) or (_label_of_page(data) if is_html else "")
    if label.startswith("utf-16") and 0 in data:
        return _utf_16(data, label)
    num_controls = len(data) - len(data.translate(None, _CONTROLS))
    if num_controls > _MAX_CONTROLS * len(data):
        return None
    if b"\x1b" in data and _JIS_ESCAPE.search(data) and (found := _iso_2022_jp(data, label)):
        return found
    return (
        _utf_8(data, label)
        or _legacy(data, label)
        or _damaged_utf_8(data, label)
        or _damaged(data, label)
    )


def plausibility(text: str) -> float:
    """How much text looks like Japanese rightly decoded: 1 for kana, below 0 for debris.

    A mean over the bytes of the characters beyond ASCII in a Japanese charset: kana 1, common
    kanji (JIS level 1) 0.8, half-width kana 0.7, rare kanji -0.5; half-width punctuation, into
    which the kana of EUC-JP turn in cp932, -0.5; private use, controls and U+FFFD -3.

    >>> round(plausibility("日本語のページ"), 2), round(plausibility("ﾆ･ﾋﾜｸ､ﾎ･ﾚ｡ｼ･ｸ"), 2)
    (0.91, 0.24)
    """
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    codes = codes[codes >= 0x80]
    if not len(codes):
        return 0.0
    weights, widths = _weights()
    sizes = widths[codes]
    return float((weights[codes] * sizes).sum() / sizes.sum())


@functools.cache
def _weights() -> tuple[np.ndarray, np.ndarray]:
    """By UTF-16 code unit: how plausible a character is, and its bytes in a Japanese charset."""
    weights = np.full(0x10000, 0.1, np.float32)
    widths = np.full(0x10000, 2, np.float32)
    weights[0x3400:0xA000] = -0.5
    level_1 = bytes(
        byte for row in range(0xB0, 0xD0) for cell in range(0xA1, 0xFF) for byte in (row, cell)
    )
    weights[[ord(kanji) for kanji in level_1.decode("euc_jp", "ignore")]] = 0.8
    weights[0x3000:0x3040] = 0.9
    weights[0x3041:0x3100] = 1.0
    weights[0xFF01:0xFF5F] = 0.9
    weights[0xFF61:0xFF66] = -0.5
    weights[0xFF66:0xFFA0] = 0.7
    widths[0xFF61:0xFFA0] = 1
    weights[0x80:0xA0] = weights[0xE000:0xF900] = weights[0xFFFD:] = -3
    return weights, widths


def _with_byte_order_mark(data: bytes) -> Decoded | None:
    if data.startswith(codecs.BOM_UTF8):
        return _utf_8(data[3:], "utf-8") or _damaged_utf_8(data[3:], "utf-8")
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return _utf_16(data[2:], codec)
    return None


def _utf_16(data: bytes, codec: str) -> Decoded | None:
    text = data.decode(codec, "replace")
    num_controls = len(text) - len(text.translate(dict.fromkeys(_CONTROLS)))
    found = _checked(data, text, codec, codec)
    is_text = num_controls <= _MAX_CONTROLS * len(text) and _has_few_bad(text, found.num_replaced)
    return found if is_text else None


def _utf_8(data: bytes, label: str) -> Decoded | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    is_doubtful = label in ("cp932", "euc_jp") and len(data) < 1000 and not text.isascii()
    if is_doubtful and plausibility(text) < MIN_PLAUSIBILITY:
        # A few kanji or half-width kana in a Japanese charset can be letters in UTF-8.
        fitting = _strict(data, label)
        if fitting is not None and plausibility(fitting) >= MIN_PLAUSIBILITY:
            return _checked(data, fitting, label, label)
    return Decoded(text, "utf-8", label, 0, True)


def _damaged_utf_8(data: bytes, label: str) -> Decoded | None:
    if not any(_is_mostly_utf_8(window) for window in _windows(data)):
        return None
    text = data.decode("utf-8", "replace")
    num_replaced = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    num_good = len(text) - len(text.encode("ascii", "ignore")) - num_replaced
    if not _has_few_bad(text, num_replaced) or num_good < 4 * num_replaced:
        return None
    return Decoded(text, "utf-8", label, num_replaced, False)


def _is_mostly_utf_8(window: bytes) -> bool:
    text = window.decode("utf-8", "replace")
    # A window may cut one character at either end, into three pieces at most.
    return (text.count("\ufffd") - 6) * 10 < len(text) - len(text.encode("ascii", "ignore"))


def _iso_2022_jp(data: bytes, label: str) -> Decoded | None:
    if len(_NON_ASCII.findall(data, 0, 1_000_000)) > MAX_BAD_SHARE * len(data):
        return None
    for codec in ("iso2022_jp", "iso2022_jp_ext", "iso2022_jp_2004"):
        if (text := _strict(data, codec)) is not None:
            return _checked(data, text, codec, label)
    text = _tolerant(data, "iso2022_jp_ext")
    found = _checked(data, text, "iso2022_jp", label)
    return found if _has_few_bad(text, found.num_replaced) else None


def _legacy(data: bytes, label: str, *, is_last_resort: bool = False) -> Decoded | None:
    """Text that fits a charset strictly, but for a last character that is cut."""
    fitting: dict[str, str] = {}
    for codec in ("euc_jp", "cp932"):
        if (text := _strict(data, codec)) is not None:
            fitting[codec] = text
    scores = {
        codec: plausibility(text.removesuffix("\ufffd")) - _CUT_PENALTY * text.endswith("\ufffd")
        for codec, text in fitting.items()
    }
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    # A few characters prove little: the shorter the data, the further a label reaches.
    reach = _CLEAR_LEAD + 4 / len(data)
    for hint in (label, _detected(data) if len(scores) == 2 else ""):
        is_near = scores.get(hint, -1) > max(scores[best] - reach, _LEAST_PLAUSIBILITY)
        if hint in scores and is_near:
            return _checked(data, fitting[hint], hint, label)
    if not _KANA.search(fitting[best]) and (found := _foreign(data, label, label)):
        return found  # Korean in EUC fits EUC-JP as kanji alone; Japanese of any length has kana
    if scores[best] >= (_LEAST_PLAUSIBILITY if is_last_resort else MIN_PLAUSIBILITY):
        return _checked(data, fitting[best], best, label)
    return None


def _damaged(data: bytes, label: str) -> Decoded | None:
    """Japanese text with a few bad bytes; else text of another charset that fits strictly."""
    sample = b"\n".join(_windows(data))
    tried = {codec: _tolerant(sample, codec) for codec in ("euc_jp", "cp932")}
    best = max(tried, key=lambda codec: (plausibility(tried[codec]), codec == label))
    if plausibility(tried[best]) >= MIN_PLAUSIBILITY:
        roughly = data.decode(best, "replace")
        # Characters of NEC and IBM are bad to Python's EUC-JP, and are counted again below.
        if roughly.count("\ufffd") < 10 * MAX_BAD_SHARE * len(roughly) + 10:
            text = _tolerant(data, best)
            found = _checked(data, text, best, label)
            if _has_few_bad(text, found.num_replaced):
                return found
    return (
        _foreign(data, label, label)
        or _legacy(data, label, is_last_resort=True)
        or _foreign(data, _detected(data), label)
    )


def _foreign(data: bytes, codec: str, label: str) -> Decoded | None:
    """Text that fits a charset that is neither Japanese nor Unicode, to be dropped as text."""
    if not codec or codec.startswith("utf") or codec in CODECS:
        return None
    text = _strict(data, codec)
    return None if text is None else _checked(data, text, codec, label)


def _strict(data: bytes, codec: str) -> str | None:
    """The text, or None if any bytes but those of a last character that is cut do not fit."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        is_cut = "incomplete" in error.reason and error.start >= len(data) - 3 > 0
        return data[: error.start].decode(codec) + "\ufffd" if is_cut else None


def _tolerant(data: bytes, codec: str) -> str:
    """The text with characters of NEC and IBM, and U+FFFD for what no Japanese charset has."""
    codecs.register_error(_VENDOR_CHARACTERS, _vendor_character)  # the same function every time
    return data.decode(codec, _VENDOR_CHARACTERS)


def _vendor_character(error: UnicodeError) -> tuple[str, int]:
    """What cp932 or JIS X 0213 has in a place that Python's EUC-JP or ISO-2022-JP lacks."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    high = 0x80 if error.encoding.startswith("euc") else 0
    is_place = len(pair) == 2 and all(0x21 <= byte - high <= 0x7E for byte in pair)
    if error.encoding == "cp932" or not is_place:
        return "\ufffd", error.start + 1
    row, cell = pair[0] - high - 0x20, pair[1] - high - 0x20
    lead = (row - 1) // 2 + (0x81 if row <= 62 else 0xC1)
    trail = cell + 0x9E if row % 2 == 0 else cell + 0x3F + (cell > 63)
    vendor = bytes((lead, trail)).decode("cp932", "ignore") or gaiji.jis_x_0213(1, row, cell)
    return vendor or "\ufffd", error.start + 2


def _windows(data: bytes) -> list[bytes]:
    """Three stretches of the data, each from a byte beyond ASCII on; all of it if it is short."""
    if len(data) <= 3 * _WINDOW:
        return [data]
    windows = []
    for start in (0, len(data) // 3, 2 * len(data) // 3):
        if found := _NON_ASCII.search(data, start):
            # Behind a line end no character is cut.
            line = data.rfind(b"\n", max(0, found.start() - _WINDOW), found.start()) + 1
            begin = line or found.start()
            windows.append(data[begin : found.start() + _WINDOW])
    return windows


def _checked(data: bytes, text: str, codec: str, label: str) -> Decoded:
    num_replaced = text.count("\ufffd")
    is_lossless = not num_replaced and text.encode(codec, "ignore") == data
    return Decoded(text, codec, label, num_replaced, is_lossless)


def _has_few_bad(text: str, num_bad: int) -> bool:
    num_beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return num_bad <= max(1, MAX_BAD_SHARE * num_beyond_ascii)


def _label_of_page(data: bytes) -> str:
    names = (found.group(1) or found.group(2) for found in _LABEL.finditer(data[:_LABEL_AREA]))
    return next(filter(None, (_normal_name(name.decode("ascii")) for name in names)), "")


def _normal_name(label: str) -> str:
    """The codec that browsers use for a label, cp932 for all kinds of Shift_JIS; "" if unknown."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip().strip("\"'").lower()
    if not label or len(label) > 40 or not label.isascii():
        return ""
    if name := _JAPANESE_NAMES.get(label):
        return name
    # Only what the standard lists: Python knows codecs that are no charsets, such as rot13.
    name = map_encoding_to_html5(label, fallback_utf8=False) or ""
    return _JAPANESE_NAMES.get(name) or _WIDER_NAMES.get(name, name)


def _detected(data: bytes) -> str:
    """What uchardet takes the data for; "" if it does not know."""
    from resiliparse.parse.encoding import detect_encoding

    return _normal_name(detect_encoding(data, html5_compatible=False) or "")
