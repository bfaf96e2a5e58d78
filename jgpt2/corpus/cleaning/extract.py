"""The main text of a web page: what is left without menus, sidebars, footers and markup.

Two extractors behind one function. The careful one is trafilatura's choice of the article; the
fast one reads all of the page with resiliparse but for what conventional names mark as furniture
and for runs of links. Both get the page cleaned in the same way and give plain lines.
"""

import html as entities
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Extractor = Literal["careful", "fast"]
"""careful: trafilatura, about 1 MB/s of one core; fast: resiliparse, some 6 times that, but more
furniture stays on a page that does not name its parts."""

MAX_CHARS = 2 << 20
"""A page is cut here. Common Crawl itself cuts at 5 MiB (1 MiB before 2025)."""
MAX_CAREFUL_CHARS = 1 << 20
"""Longer pages go to the fast extractor."""
MAX_CAREFUL_TAGS = 10_000
"""Pages with more "<" go to the fast extractor. trafilatura is quadratic in a page's articles
and in what it deletes from one paragraph: the worst page found takes 4 s of one core at this
limit, 17 s at twice as many; most take half a second."""
MAX_DEPTH = 250
"""Pages nested deeper go to the fast extractor: libxml2 drops what lies deeper than 256."""
MIN_CAREFUL_SHARE = 0.5
"""Where the careful extractor finds less, by characters, of what the fast one does, it has lost
much of the text (lists of definitions, tables, pages that are no article), and the fast one's is
taken. Of 59 pages of manuals 13 have less, of 48 framed blog pages none."""
MAX_LISTS = 1000
"""On a page with more, the fast extractor does not mark list items: it would indent each by its
depth, quadratic if they are nested."""
MIN_LINKS = 3
"""So many links in a row, with hardly a word between them, are a menu."""
ITEM = "- "
"""Starts the first line of a list item, whatever its kind."""
MAX_LINK_SHARE = 0.8
"""A line with more of its characters in links has hardly a word beside them."""

_INVALID = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_INVALID_NUMBER = re.compile(  # the same, written as a reference
    r"&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01]|127|6553[45])(?!\d)"
    r"|[xX]0*(?:[0-8bcefBCEF]|1[\da-fA-F]|7[fF]|[fF]{3}[eEfF])(?![\da-fA-F]));?"
)
_WIDE = r"\u3001-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003fffd"
_INLINE = re.compile(
    r"</?(?:abbr|acronym|b|bdi|bdo|big|cite|data|dfn|em|font|i|ins|kbd|mark|nobr|rb|ruby|samp"
    r"|small|span|strong|sub|sup|tt|u|var|wbr)"
    r"""(?:[\s/][^<>"'=]*+(?:=\s*+(?:"[^"<]*+"|'[^'<]*+')?+[^<>"'=]*+)*+)?>""",
    re.IGNORECASE,
)
_READING = re.compile(
    r"<r(?:tc?|p)(?:\s[^<>]*)?>(?:[^<]|</?(?:span|b|i|small|font)(?:\s[^<>]*)?>)*+"
    r"(?:</r(?:tc?|p)\s*>)?",
    re.IGNORECASE,
)
_TRAILING_BLANKS = re.compile(r"(?<![ \t])[ \t]++\n")
_WRAPPED = re.compile(
    rf"\n(?:(?<=[{_WIDE}]\n)[ \t\n]*+((?:</?(?:[aA]|[cC][oO][dD][eE])(?:\s[^<>]*)?>)*+)"
    rf"|(?<=[{_WIDE}]</[aA]>\n)[ \t\n]*+|(?<=[{_WIDE}]</code>\n)[ \t\n]*+)(?=[{_WIDE}])"
)
_VERBATIM = re.compile(r"<(/?)(?:pre|textarea|xmp|listing)\b", re.IGNORECASE)
_LIST = re.compile(r"<(?:[uo]l|menu|dir)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_ANCHOR = re.compile(r"(<a [^<>]*>|</a>)")
_BLANKS = re.compile(r"[ \t\r\n\f\xa0]+")
_CELLS = re.compile(r" *\t[ \t]*")
_META = re.compile(r"<meta\s[^<>]*>", re.IGNORECASE)
_TITLE = re.compile(r"<title(?:\s[^<>]*)?>([^<]*)", re.IGNORECASE)
_HEADING = re.compile(r"<h1(?:\s[^<>]*)?>([^<]*(?:<(?!/h1)[^<]*){0,20})</h1", re.IGNORECASE)
_OG_TITLE = re.compile(r"""property\s*=\s*["']?og:title\b""", re.IGNORECASE)
_CONTENT = re.compile(r"""\scontent\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)

_NAME = re.compile(r"\S+")
_SMALL_FURNITURE = _NAME.findall(
    "breadcrumb breadcrumbs date entry-date entry-meta pagetop pager pankuzu post-date "
    "post-meta share sns topicpath"
)
_FURNITURE = _SMALL_FURNITURE + _NAME.findall(
    "copyright footer global-nav globalnav gnav header menu nav navi pagination related side "
    "sidebar"
)
"""Class names and ids that Japanese sites and blog systems give to what is not the text."""
_MAX_SMALL_CHARS = 100
_SKIPPED = _NAME.findall(
    "nav aside footer form button select textarea noscript svg math template dialog "
    "[hidden] [role=navigation] [role=banner] [role=contentinfo] [role=complementary] "
    "[role=search]"
)
_WIDGETS = _NAME.findall("button canvas iframe input label noscript select svg textarea")
_LINES = frozenset(_NAME.findall("body div graphic head item lb list p quote row table"))


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What a page says; nothing was found if `text` is empty."""

    text: str
    """One line for a paragraph, heading, list item, table row (cells parted by a tab) or piece
    before a line break; code keeps its indentation."""
    title: str
    link_share: float
    """Characters in links by characters of the text, white space left out; 0.0 without text."""


class _Line(NamedTuple):
    text: str
    num_linked: int
    """Characters in links, without white space."""
    num_links: int


def main_text(html: str, *, url: str = "", extractor: Extractor) -> Extracted:
    r"""The main text of a page, its title, and how much of it is links; never raises.

    Readings of ruby are left out, and line ends in the source between two Japanese characters
    stand for nothing (CSS Text 3, segment break transformation). Pages too large, too deep or
    too odd for the careful extractor go to the fast one. The text does not depend on `url`:
    trafilatura would only complete the addresses of links with it.

    >>> page = "<title>山路 | 文庫</title><h1>山路</h1><p><b>山</b>路を<ruby>登<rt>のぼ</rt>り"
    >>> main_text(page, extractor="fast")
    Extracted(text='山路\n山路を登り', title='山路', link_share=0.0)
    """
    html = _clean(html[:MAX_CHARS])
    title, full_title = _title(html)
    lines = _fast(html)
    if extractor == "careful":
        chosen = _careful(html)
        if _size(chosen) >= MIN_CAREFUL_SHARE * _size(lines):
            lines = chosen
    lines = _without_repeats(lines, {title, full_title} - {""})
    text = "\n".join(line.text for line in lines)
    num_chars = _num_chars(text)
    num_linked = sum(line.num_linked for line in lines)
    return Extracted(
        text=text,
        title=title,
        link_share=min(1.0, num_linked / num_chars) if num_chars else 0.0,
    )


def _clean(html: str) -> str:
    """The page without what would put wrong spaces, readings or characters into its text."""
    html = _INVALID_NUMBER.sub(" ", _INVALID.sub(" ", html))
    if "\r" in html:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    html = _INLINE.sub("", _READING.sub("", html))
    if " \n" in html or "\t\n" in html:
        html = _TRAILING_BLANKS.sub("\n", html)
    pieces, start = [], 0
    for first, last in _verbatim(html):
        pieces += _WRAPPED.sub(r"\1", html[start:first]), html[first:last]
        start = last
    return "".join(pieces) + _WRAPPED.sub(r"\1", html[start:])


def _verbatim(html: str) -> Iterator[tuple[int, int]]:
    """Start and end of the places where line ends count."""
    first = None
    for tag in _VERBATIM.finditer(html):
        if first is None and not tag[1]:
            first = tag.start()
        elif first is not None and tag[1]:
            yield first, tag.start()
            first = None
    if first is not None:
        yield first, len(html)


def _title(html: str) -> tuple[str, str]:
    """The page's title, and the same as written in `<title>`, mostly with the site's name.

    The main heading, or else the Open Graph title, is taken where `<title>` repeats it.
    """
    found = _TITLE.search(html)
    full = _plain(found[1]) if found else ""
    heading = next((plain for h1 in _HEADING.finditer(html) if (plain := _plain(h1[1]))), "")
    if heading and (heading in full or not full):
        return heading, full
    graph = ""
    for meta in _META.finditer(html):
        if _OG_TITLE.search(meta[0]) and (content := _CONTENT.search(meta[0])):
            graph = _plain(content[1].strip("\"'"))
            break
    return (graph, full) if graph and (graph in full or not full) else (full, full)


def _plain(markup: str) -> str:
    return " ".join(_INVALID.sub(" ", entities.unescape(_TAG.sub("", markup))).split())


def _size(lines: list[_Line]) -> int:
    return sum(len(line.text) for line in lines)


def _without_repeats(lines: list[_Line], titles: set[str]) -> list[_Line]:
    """The lines, with those that are the title left out but for the first."""
    kept, is_told = [], False
    for line in lines:
        if not (is_told and line.text in titles):
            kept.append(line)
        is_told = is_told or line.text in titles
    return kept


def _fast(html: str) -> list[_Line]:
    """All lines of a page but furniture; all at all if nothing else is left."""
    from resiliparse.extract import html2text

    named = [f"{mark}{name}" for name in _FURNITURE for mark in ".#"]
    for skipped in (_SKIPPED + named, ["noscript"]):
        marked = html2text.extract_plain_text(
            html,
            main_content=False,
            preserve_formatting="minimal_html",
            list_bullets=len(_LIST.findall(html)) <= MAX_LISTS,
            alt_texts=False,
            links=True,
            skip_elements=skipped,
        )
        if lines := _without_menus(_marked_lines(marked)):
            return lines
    return []


def _marked_lines(marked: str) -> list[_Line]:
    """The lines of text with few tags in it, all of them escaped well."""
    lines, is_code, is_link, is_item = [], False, False, False
    for line in marked.split("\n"):
        if not line:
            continue
        is_item = is_item or "<li>" in line
        is_code = is_code or "<pre>" in line
        linked, num_links = 0, line.count("<a ")
        if num_links or is_link:
            for piece in _ANCHOR.split(line):
                if piece.startswith("<"):
                    is_link = piece != "</a>"
                elif is_link:
                    linked += _num_chars(entities.unescape(_TAG.sub("", piece)))
        text = entities.unescape(_TAG.sub("", line))
        if made := _line(text, linked, num_links, is_code=is_code, is_item=is_item):
            lines.append(made)
            is_item = False
        is_code = is_code and "</pre>" not in line
    return lines


def _num_chars(text: str) -> int:
    return sum(map(len, text.split()))


def _line(
    text: str, num_linked: int, num_links: int, *, is_code: bool, is_item: bool
) -> _Line | None:
    """A line with its blanks in order; None if it is blank."""
    text = _INVALID.sub(" ", text).replace("\xa0", " ")
    if not is_code:
        text = _CELLS.sub("\t", text).strip(" \t") if "\t" in text else text.strip(" ")
    if not text.strip():
        return None
    return _Line((ITEM if is_item else "") + text.rstrip(), num_linked, num_links)


def _without_menus(lines: list[_Line]) -> list[_Line]:
    """The lines but for runs of links with hardly a word between them."""
    kept: list[_Line] = []
    run: list[_Line] = []
    for line in lines:
        if line.num_linked > MAX_LINK_SHARE * _num_chars(line.text.removeprefix(ITEM)):
            run.append(line)
            continue
        if sum(each.num_links for each in run) < MIN_LINKS:
            kept += run
        run = []
        kept.append(line)
    return kept if sum(each.num_links for each in run) >= MIN_LINKS else kept + run


def _careful(html: str) -> list[_Line]:
    """The lines of the main text; none if trafilatura finds none or cannot be asked."""
    if len(html) > MAX_CAREFUL_CHARS or html.count("<") > MAX_CAREFUL_TAGS:
        return []
    import trafilatura
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it reports pages as errors
    try:
        root = _tree(html)
        if root is None:
            return []
        document: Any = trafilatura.bare_extraction(
            root,
            fast=True,  # without its other extractors: jusText has no stop words for Japanese
            output_format="xml",  # leaves the text as a tree: rendering is done here
            include_comments=False,
            include_links=True,
        )
        return [] if document is None else _tree_lines(document.body)
    except (etree.LxmlError, RecursionError, AttributeError, LookupError, ValueError):
        return []  # a page it has no answer for


def _tree(html: str) -> Any:
    """The page as a tree without small furniture; None if it is empty or too deep."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]
    from lxml import html as lxml_html

    parser = lxml_html.HTMLParser(
        encoding="utf-8",
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
        default_doctype=False,
    )
    try:
        root = lxml_html.document_fromstring(html.encode(), parser=parser)
    except etree.ParserError:  # nothing but comments
        return None
    # else each is deleted alone from the text around it, in quadratic time
    etree.strip_elements(root, *_WIDGETS, with_tail=False)
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            return None
    for element in list(root.iter("*")):
        _prune(element)
    return root


def _prune(element: Any) -> None:
    """Empty small furniture, and make preformatted text what trafilatura takes for code."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    if element.tag in ("pre", "listing", "xmp"):
        text = element.text_content()
        _empty(element)
        etree.SubElement(element, "span").text = text
        element.tag = "pre"
    names = f"{element.get('class', '')} {element.get('id', '')}".lower().split()
    if (
        any(name in _SMALL_FURNITURE for name in names)
        and len(element.text_content()) <= _MAX_SMALL_CHARS
    ):
        _empty(element)


def _empty(element: Any) -> None:
    element.text = None
    del element[:]


def _tree_lines(body: Any) -> list[_Line]:
    """The lines of trafilatura's tree."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    lines: list[_Line] = []
    parts: list[str] = []
    linked = num_links = depth_link = 0
    is_item, code = False, None

    def flush() -> None:
        nonlocal linked, num_links, is_item
        text = "".join(parts)
        parts.clear()
        for index, piece in enumerate(text.split("\n")):
            counts = (0, 0) if index else (linked, num_links)
            if made := _line(piece, *counts, is_code=code is not None, is_item=is_item):
                lines.append(made)
                is_item = False
        linked = num_links = 0

    for event, element in etree.iterwalk(body, events=("start", "end")):
        is_start, tag = event == "start", element.tag
        if tag in _LINES or (tag == "code" and _is_block(element)):
            flush()
        is_item = (is_item or is_start) if tag == "item" else is_item
        if tag == "code" and code in (None, element):
            code = element if is_start and _is_block(element) else None
        depth_link += (tag == "ref") * (1 if is_start else -1)
        num_links += tag == "ref" and is_start
        if tag == "cell" and is_start:
            parts.append("\t")
        text = element.text if is_start else element.tail
        if text and (is_start or element is not body):
            parts.append(text if code is not None else _BLANKS.sub(" ", text))
            linked += _num_chars(text) if depth_link else 0
    flush()
    return lines


def _is_block(code: Any) -> bool:
    return code.getparent().tag == "body" or "\n" in "".join(code.itertext())
