"""Markdown that no text can break: lines, lists, tables and listings of a card.

Text of any origin is shown as it is typed: signs of Markdown are escaped, those of HTML written
as references, line ends inside a line become spaces.
"""

import re
from collections.abc import Iterable, Sequence

from jgpt2 import html, table

_SIGNS = re.compile(r"([\\`*\[\]|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_START = re.compile(r"^(?:([+-])|(\d+)([.)]))(?=\s|$)|^(=+|-+)$")
_LINK = re.compile(r"https?://[A-Za-z0-9._/%?=&:,;+~#@-]+|[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")


def text(value: str) -> str:
    r"""One line of text, safe wherever a line of Markdown may stand.

    >>> print(text("*太字* <b> a|b `x`"), text("- 項目"), text("1. 一"))
    \*太字\* &lt;b&gt; a\|b \`x\` \- 項目 1\. 一
    """
    escaped = _SIGNS.sub(r"\\\1", " ".join(value.split()))
    return str(html.escape(_START.sub(_escape_start, escaped)))


def link(address: str) -> str:
    """An address of web or mail as a link, any other text as text.

    >>> link("https://example.org/a_b"), link("javascript:x")
    ('<https://example.org/a_b>', 'javascript:x')
    """
    return f"<{address}>" if _LINK.fullmatch(address) else text(address)


def points(value: str) -> str:
    """A text of several lines as a list, of one line as a paragraph."""
    lines = [text(line) for line in value.splitlines() if line.strip()]
    return "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else "".join(lines)


def table_of(columns: Sequence[str], rows: Iterable[Sequence[table.Value]]) -> str:
    """A table of a record: text is escaped, `Code` stands as code.

    Whole numbers are in groups of three, others have four places.
    """
    lines = [columns, ["---"] * len(columns), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listing(lines: Iterable[str], language: str = "bash") -> str:
    """Lines to be copied, in a fence that none of them can close."""
    whole = "\n".join(map(one_line, lines))
    longest = max(map(len, re.findall("`+", whole)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{whole}\n{fence}"


def one_line(value: str) -> str:
    """The text on one line; characters that cannot be seen become U+FFFD.

    >>> one_line("一\\n二 \\u202e三")
    '一 二 �三'
    """
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(value.split()))


class Code(str):
    """A word shown as code, such as a hash; a plain `str` is text."""

    __slots__ = ()


def _cell(value: table.Value) -> str:
    if isinstance(value, Code):
        return f"`{value}`" if re.fullmatch(r"[\w./ +:=-]+", value) else text(value)
    return text(table.cell(value))


def _escape_start(found: re.Match[str]) -> str:
    sign, number, end, rule = found.groups()
    if number:
        return f"{number}\\{end}"
    return f"\\{sign or rule}"
