"""One spelling for what looks and means the same: between extraction and masks in the walk.

The rules undo what codecs, editors and page layout did to a text, and leave its author's choices
alone: full-width forms, half-width kana, ①, ㍿, …, variant kanji and emoji stay as they are, unless
the preset `nfkc` is asked for. What a model learns from is the text after this step; a prompt
belongs through the same step.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

VERSION = 1
"""Changes with any rule, default or table here, since two versions make two different corpora."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which rules apply, in the order of their work; the defaults are what is done unasked.

    Left alone on purpose: the joiners U+200C and U+200D, variation selectors and tag characters
    (emoji, kanji variants, Persian); U+FFFD (it shows damage); private use (gaiji of a known font);
    U+3000 (Japanese indents by it); runs of spaces inside a line (source text). ― and — stay two:
    every codec of Python gives ― for JIS X 0208 1-29, so — is an author's own, in Latin text too.
    ∥ and ‖ stay two: ∥ is 1-34 under cp932 but the sign of parallels elsewhere.
    """

    controls: bool = True
    """Removes what no text may hold: C0 but tab and line ends, DEL, C1 but NEL, noncharacters and
    unpaired surrogates. Counts characters."""
    invisible: bool = True
    """Removes format characters that guide layout and carry no meaning: soft hyphen, zero-width
    space, word joiner and invisible operators, U+FEFF (the byte order mark), every mark that turns
    the direction of writing (U+061C, U+200E-F, U+202A-E, U+2066-F), U+FFF9-B and U+FFFC, which
    stands where a picture was. They cut words in two unseen. Counts characters."""
    line_ends: bool = True
    """CRLF, CR, VT, FF, NEL, U+2028 and U+2029, the mandatory breaks of UAX #14, become LF.
    Counts line ends; CRLF is one."""
    spaces: bool = True
    """No-break, thin, em and other spaces of typography (U+00A0, U+2000-200A, U+202F, U+205F)
    become U+0020: mostly `&nbsp;` that pads a page. Counts characters."""
    space_mark: bool = True
    """▁ (U+2581) becomes _: SentencePiece writes a space as ▁, and most of its vocabularies read
    one back for it. _ is what it looks like, in a drawn bar as in a copied token. Counts
    characters."""
    wave_dash: bool = True
    """～ (U+FF5E) becomes 〜 (U+301C): one JIS X 0208 character (1-33), the first by cp932, the
    second by EUC-JP, ISO-2022-JP, JIS X 0213 and most input methods outside Windows. 〜 is
    the sign meant, and NFKC leaves it alone where it turns ～ into ~. After a slash ～ stays: there
    it is the tilde of an address. Counts characters."""
    minus: bool = True
    """− (U+2212) beside a full-width letter or digit becomes － (U+FF0D), as in ０３−１２３４ or
    ＣＤ−ＲＯＭ: one JIS X 0208 character (1-61), the first by EUC-JP and ISO-2022-JP, the second by
    cp932. Elsewhere both stay: − is the minus of formulas, － a full-width hyphen. Counts
    characters."""
    signs: bool = True
    """￠ ￡ ￢ (by cp932) become ¢ £ ¬ (by the other codecs): the same signs in another width.
    Counts characters."""
    kana_marks: bool = True
    """A kana and the combining U+3099 or U+309A become one character where there is one, as か and
    U+3099, the way macOS spells file names, become が. Not all of NFC, which replaces kanji too:
    U+FA19 by 神. Sounds without such a character stay: か with U+309A, or あ with U+3099. Counts
    pairs."""
    nfkc: bool = False
    """All of Unicode NFKC, for parity with vocabularies made so. It cannot be undone and hurts
    Japanese: … turns into ..., ① into 1, ㍿ into 株式会社, Ⅷ into VIII, ² into 2, ： into :, U+3000
    into a space, ゛ into a space and U+3099, U+FA19 into 神. Counts the lines that it changed."""
    trailing_spaces: bool = True
    """Removes spaces, tabs and U+3000 before a line end and at the end of the text. Counts
    characters."""
    blank_lines: bool = True
    """At most two blank lines in a row, none before the first line and none after the last, nor a
    line end there. One blank line parts scenes in books but paragraphs in novels of the web, so two
    stay different from one. Counts line ends removed."""


DEFAULTS = Rules()

_ASTRAL = "\U0001fffe-\U0010ffff"
"""Holds all noncharacters beyond U+FFFF, and 𠮷. One wide range, since with the sixteen pairs of
them a search takes ten times as long."""
_CONTROLS = "\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_INVISIBLE = "\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc"
_LINE_ENDS = "\r\v\f\x85\u2028\u2029"
_SPACES = "\xa0\u2000-\u200a\u202f\u205f"
_SIGNS = {"\uffe0": "\xa2", "\uffe1": "\xa3", "\uffe2": "\xac"}
_MARKS = "\u3099\u309a"

_FULLWIDTH_TILDE, _MINUS_SIGN, _SPACE_MARK = "\uff5e", "\u2212", "\u2581"

_RARE = re.compile(
    f"[{_CONTROLS}{_INVISIBLE}{_LINE_ENDS}{_SPACES}{_SPACE_MARK}{_FULLWIDTH_TILDE}{_MINUS_SIGN}"
    f"{''.join(_SIGNS)}{_MARKS}{_ASTRAL}]"
)
"""Found in every text that the rules from `controls` to `kana_marks` would change, and in few
others: most texts are read once here and are done."""
_CONTROL = re.compile(
    f"[{_CONTROLS}"
    + "".join(f"{chr(last - 1)}{chr(last)}" for last in range(0x1FFFF, 0x110000, 0x10000))
    + "]"
)
_INVISIBLE_CHAR = re.compile(f"[{_INVISIBLE}]")
_SPACE = re.compile(f"[{_SPACES}]")
_WAVE_DASH = re.compile(f"{_FULLWIDTH_TILDE}(?<![/／]{_FULLWIDTH_TILDE})")
_WIDE = "[０-９Ａ-Ｚａ-ｚ]"
_WIDE_MINUS = re.compile(f"{_MINUS_SIGN}(?:(?={_WIDE})|(?<={_WIDE}{_MINUS_SIGN}))")
_KANA_AND_MARK = re.compile(f"[\u3041-\u30ff][{_MARKS}]")
_PADDING = " \t\u3000"
_PADDED_END = re.compile(f"\n(?<=[{_PADDING}]\n)")
_BLANK_LINES = re.compile("\n{4,}")


def normalise(text: str, rules: Rules = DEFAULTS) -> tuple[str, Counter[str]]:
    """The text under the rules, and how often each rule changed it, as its field says.

    A text that needs nothing comes back as the same object, with an empty counter. What comes back
    never changes when it is normalised again.

    >>> normalise("第一章\\u3000\\r\\nか\\u3099らす～\\x00")[0]
    '第一章\\nがらす〜'
    >>> normalise("①㍿ＡＢＣｶﾞ…　☎️")
    ('①㍿ＡＢＣｶﾞ…　☎️', Counter())
    """
    counts: Counter[str] = Counter()
    original = text
    if _RARE.search(text):
        text = _replace(text, rules, counts)
    if rules.nfkc and not unicodedata.is_normalized("NFKC", text):
        before, text = text, unicodedata.normalize("NFKC", text)
        lines = zip(before.split("\n"), text.split("\n"), strict=True)
        counts["nfkc"] = sum(old != new for old, new in lines)
    if rules.trailing_spaces and (_PADDED_END.search(text) or text[-1:] in tuple(_PADDING)):
        before = len(text)
        text = "\n".join([line.rstrip(_PADDING) for line in text.split("\n")])
        counts["trailing_spaces"] = before - len(text)
    if rules.blank_lines:
        before = len(text)
        text = text.strip("\n")
        if "\n\n\n\n" in text:
            text = _BLANK_LINES.sub("\n\n\n", text)
        if len(text) != before:
            counts["blank_lines"] = before - len(text)
    return text if counts else original, counts


def _replace(text: str, rules: Rules, counts: Counter[str]) -> str:
    """The text under the rules from `controls` to `kana_marks`."""
    rare = "".join(set(_RARE.findall(text)))
    if rules.controls and _CONTROL.search(rare):
        text = _substitute("controls", _CONTROL, "", text, counts)
    if rules.invisible and _INVISIBLE_CHAR.search(rare):
        text = _substitute("invisible", _INVISIBLE_CHAR, "", text, counts)
    if rules.line_ends:
        for end in ("\r\n", *_LINE_ENDS):
            if end[0] in rare:
                text = _swap("line_ends", end, "\n", text, counts)
    if rules.spaces and _SPACE.search(rare):
        text = _substitute("spaces", _SPACE, " ", text, counts)
    if rules.space_mark and _SPACE_MARK in rare:
        text = _swap("space_mark", _SPACE_MARK, "_", text, counts)
    if rules.wave_dash and _FULLWIDTH_TILDE in rare:
        text = _substitute("wave_dash", _WAVE_DASH, "\u301c", text, counts)
    if rules.minus and _MINUS_SIGN in rare:
        text = _substitute("minus", _WIDE_MINUS, "\uff0d", text, counts)
    if rules.signs:
        for wide, sign in _SIGNS.items():
            if wide in rare:
                text = _swap("signs", wide, sign, text, counts)
    if rules.kana_marks and any(mark in rare for mark in _MARKS):
        before = len(text)
        text = _KANA_AND_MARK.sub(_composed, text)
        if len(text) != before:
            counts["kana_marks"] = before - len(text)
    return text


def _composed(kana_and_mark: re.Match[str]) -> str:
    """One character where Unicode has one, else the two as they were."""
    return unicodedata.normalize("NFC", kana_and_mark.group())


def _swap(rule: str, old: str, new: str, text: str, counts: Counter[str]) -> str:
    num_places = text.count(old)
    if num_places:
        counts[rule] += num_places
    return text.replace(old, new)


def _substitute(
    rule: str, pattern: re.Pattern[str], replacement: str, text: str, counts: Counter[str]
) -> str:
    text, num_places = pattern.subn(replacement, text)
    if num_places:
        counts[rule] = num_places
    return text
