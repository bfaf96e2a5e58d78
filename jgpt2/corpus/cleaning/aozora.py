"""Texts in Aozora Bunko's format without their markup.

One of the two ways to a document's text; pages go through `cleaning.extract` instead. The
format: title and author, a legend between dashed lines, the text with 《ruby》 and ［＃notes］,
and a footer that begins with 底本： (www.aozora.gr.jp/annotation/).
"""

import re
from dataclasses import dataclass

from jgpt2.corpus.cleaning import gaiji

LEGEND_TITLE = "【テキスト中に現れる記号について】"
_HEAD = 8_000
"""Characters at the start in which title and legend lie; real ones take less than 1,500."""
_MAX_FOOTER = 30_000
_MAX_BARE_FOOTER = 1_500
"""A footer without the volunteers' lines, cut off or old, is no longer than this."""
_FOOTER_GAP = 3_000
"""Several 底本： lines nearer than this are of one footer."""

_RULE = re.compile(r"-{20,}+[ \t　]*+\n?")
_RULE_LINE = re.compile(r"^-{20,}+[ \t　]*+$", re.M)
_LEGEND_LINE = re.compile(
    r"[ \t　]*(?:$|（例）|《》|｜|［＃|／＼|／″＼|〔〕|※|＊|\*|（数字は|（JIS|アクセント分解|https?://"
    r"|[^\nぁ-ヿ一-鿿]{1,12}[：:])"
)
_CONTRIBUTOR = re.compile(r"(?:訳|編|編集|編纂|編輯|校訂|校注|校註|訳注|訳註|翻案|監修|解説)$")

_SOURCE_BOOK = re.compile(r"^(?:翻訳の)?底本[：:]", re.M)
_VOLUNTEERS = re.compile(r"^(?:入力|校正|青空文庫作成ファイル)[：:]", re.M)
_LICENCE_URL = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/[a-z0-9./-]*[a-z0-9]")
_LICENCE_NAME = re.compile(r"クリエイティブ・?[ 　]?コモンズ[^「」\n]{0,20}「([^「」\n]{1,40})」")
_RIGHTS = re.compile(
    r"クリエイティブ・?[ 　]?コモンズ|creative ?commons|著作権|無断(?:転載|複製)|©|Copyright|（C）",
    re.I,
)

# The lookbehind stands after a literal, by which the search can skip to candidates.
_OTHER_NOTE = gaiji.NOTE.replace("［＃", "［(?<!※［)＃", 1)
_NOTES = re.compile(_OTHER_NOTE)
_ROMAN_NUMERAL = re.compile(
    r"([0-9A-Za-z]{1,4})［＃「\1」はローマ数字[^［］\n]*?([12]-[0-9]{1,2}-[0-9]{1,2})］"
)
_UNMARKED_GAIJI = re.compile(r"［(?<!※［)＃(?=「[^「」\n]*」、(?:第[34]水準|U\+))")
_MARKED_RUBY = re.compile(r"｜([^｜《》\n]*+)((?:《[^《》\n]++》)++)")
# Ruby needs a base before it. After hiragana only kana can be a reading: 彼は《白樺》を is a title.
_BASE = r"[^\s、。，．・：；？！…―（）「」『』【】〈〉《》ぁ-ゟ]"
_RUBY = re.compile(
    rf"《(?<={_BASE}《)[^《》\n]++》(?:《[^《》\n]++》)*+"
    r"|《(?<=[ぁ-ゟ]《)[^《》\n一-鿿]++》(?:《[^《》\n]++》)*+"
)
_CUT_OFF = re.compile(r"(?:※?［＃[^［］\n]{0,200}|(?<=\S)《[^《》\n]{0,50})\Z")
_SPACE_AT_END = re.compile(r"[ \t　]+$", re.M)
_BLANK_LINES = re.compile(r"\n{3,}")
_ANNOTATED = re.compile(
    r"※［＃[^［］\n]*(?:第[34]水準|U\+|[12]-[0-9]{1,2}-[0-9]{1,2})"
    r"|［＃(?:ここから|ここで|[０-９]+字下げ|地付き|地から[０-９]+字上げ|改ページ|改丁)"
    r"|［＃「[^「」\n]*」(?:に傍点|は[大中小]見出し)］"
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A work of Aozora Bunko as plain text."""

    title: str
    """With the subtitle after a full-width space; "" for a text that begins without a header."""
    author: str
    """As the header has it; "" if it names none. Translators and editors are left out."""
    text: str
    """The body alone, with at most one blank line in a row."""
    license: str
    """The Creative Commons licence that the footer names, else "". "" proves no public domain."""
    has_rights_notice: bool
    """Whether the footer speaks of a licence, of copyright or of forbidden use."""
    unknown_gaiji: int
    """How often the text has 〓, for a character that no number tells."""


def is_aozora(text: str) -> bool:
    """Whether a text has Aozora Bunko's markup: its legend, its footer, or its notes.

    >>> is_aozora("　むかし、むかし\\n\\n底本：「芥川龍之介全集5」\\n入力：j.utiyama\\n")
    True
    >>> is_aozora("青空文庫の底本：とは何か、入力：と校正：について")
    False
    """
    if f"\n{LEGEND_TITLE}" in text[:_HEAD].replace("\r", "\n"):
        return True
    tail = text[-_MAX_FOOTER:].replace("\r", "\n")
    if _SOURCE_BOOK.search(tail) and _VOLUNTEERS.search(tail):
        return True
    notes = _ANNOTATED.finditer(text, 0, 200_000)
    return next(notes, None) is not None and next(notes, None) is not None


def clean(text: str) -> Work:
    """The work without header, legend, ruby, notes and footer; gaiji become characters.

    Nothing that lacks its end (a note, ruby, the legend) swallows the text behind it.

    >>> clean("桃太郎\\n芥川龍之介\\n\\n天地｜開闢《かいびゃく》の頃［＃「頃」に傍点］\\n").text
    '天地開闢の頃'
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    body, footer = _split_footer(text)
    header, body = _split_header(body)
    title, author = _title_and_author(header)
    plain = _tidy(_without_markup(body if footer else _CUT_OFF.sub("", body)))
    notice = footer or text[-_MAX_BARE_FOOTER:]
    return Work(
        title=title,
        author=author,
        text=plain,
        license=_licence(notice),
        has_rights_notice=_RIGHTS.search(notice) is not None,
        unknown_gaiji=plain.count(gaiji.UNKNOWN),
    )


def _without_markup(text: str) -> str:
    # Notes come first, for bases of ruby contain them; gaiji last, for 《 may be one of them.
    if "［＃" in text:
        text = _UNMARKED_GAIJI.sub("※［＃", text)
        text = _ROMAN_NUMERAL.sub(r"※［＃\2］", text)
        text = _NOTES.sub("", text)
    if "《" in text:
        text = _MARKED_RUBY.sub(r"\1", text)
        text = _RUBY.sub("", text)
    return gaiji.restore(text)


def _tidy(text: str) -> str:
    if "-" * 20 in text:
        text = _RULE_LINE.sub("", text)
    return _BLANK_LINES.sub("\n\n", _SPACE_AT_END.sub("", text)).strip("\n")


def _split_footer(text: str) -> tuple[str, str]:
    """Body and footer; the footer is "" where there is none."""
    start = max(0, len(text) - _MAX_FOOTER)
    volunteers = [found.start() for found in _VOLUNTEERS.finditer(text, start)]
    cut = len(text)
    for found in reversed(list(_SOURCE_BOOK.finditer(text, start))):
        is_near = cut < len(text) and cut - found.start() <= _FOOTER_GAP
        is_short = len(text) - found.start() <= _MAX_BARE_FOOTER
        if is_near or is_short or any(place > found.start() for place in volunteers[-1:]):
            cut = found.start()
    if cut == len(text) and volunteers and len(text) - volunteers[-1] <= _MAX_BARE_FOOTER:
        cut = next(place for place in volunteers if volunteers[-1] - place <= _MAX_BARE_FOOTER)
    return text[:cut], text[cut:]


def _split_header(text: str) -> tuple[str, str]:
    """Header and body, the legend between them left out; the header is "" where there is none."""
    head = text[:_HEAD]
    legend = head.find(LEGEND_TITLE)
    if legend < 0:
        header, blank, body = text.partition("\n\n")
        lines = header.split("\n") if len(header) < _HEAD else []
        is_header = 2 <= len(lines) <= 8 and all(
            len(line) <= 80 and not line.startswith(("　", "「", "『", "（")) for line in lines
        )
        return (header, body) if blank and is_header else ("", text)
    rules = [found for found in _RULE.finditer(head, 0, legend)]
    header = text[: rules[-1].start() if rules else legend]
    return header, text[_end_of_legend(head, legend + len(LEGEND_TITLE)) :]


def _end_of_legend(head: str, position: int) -> int:
    """Where the body begins: behind the closing line, or, without one, behind what explains."""
    end_of_explanation, num_other_lines = 0, 0
    for line in head[position:].splitlines(keepends=True):
        if _RULE.fullmatch(line):
            return position + len(line)
        if not _LEGEND_LINE.match(line):
            end_of_explanation = end_of_explanation or position
            num_other_lines += 1
        if num_other_lines > 5:
            break
        position += len(line)
    return end_of_explanation or position


def _title_and_author(header: str) -> tuple[str, str]:
    lines = [line.strip() for line in _tidy(_without_markup(header)).split("\n")]
    lines = [line for line in lines if line]
    while len(lines) > 2 and _CONTRIBUTOR.search(lines[-1]):
        lines.pop()
    author = lines.pop() if len(lines) > 1 else ""
    return "　".join(lines), author


def _licence(notice: str) -> str:
    if found := _LICENCE_URL.search(notice):
        return f"https://{found.group()}/"
    if found := _LICENCE_NAME.search(notice):
        return f"クリエイティブ・コモンズ「{found.group(1)}」"
    return ""
