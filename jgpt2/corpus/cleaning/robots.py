"""What the owner of a page forbids: read before anything is taken from the page.

The HTTP header `X-Robots-Tag` and `<meta>` in the head of the page say it. Addresses that
robots.txt closes were not crawled in the first place.
"""

import re
from collections.abc import Iterator, Sequence

FORBIDDING = frozenset({"noindex", "none", "noai"})
"""`noindex` and its short form `none` (noindex, nofollow) ask to stay out of collections, `noai`
(DeviantArt, 2022) out of training. `noimageai` speaks of pictures alone, `nofollow`,
`nosnippet` and `noarchive` of other uses."""
AGENTS = frozenset({"*", "robots", "ccbot", "gptbot", "google-extended", "anthropic-ai", "ai"})
"""Rules for all robots, and for those that collect for archives and training. A rule for one
search engine, as in `googlebot: noindex`, is none for a corpus."""
HEAD_CHARS = 1 << 16
"""Directives are looked for in so much of a page, and not behind the start of its body."""

_COMMENT = re.compile(r"<!--(?:[^-]|-(?!->))*+(?:-->|$)")
_BODY = re.compile(r"<body(?=[\s>/])", re.IGNORECASE)
_META = re.compile(r"""<meta(?=[\s/])((?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'<>]++)""")
_SEPARATOR = re.compile(r"[,;\s]+")
_AGENT = re.compile(r"\s*([a-z0-9_*-]+)\s*:(.*)", re.DOTALL)
_TIMED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def forbidden(headers: Sequence[str], html: str) -> str:
    """The directive that forbids the use of a page for a text corpus; empty if none does.

    `headers` are the values of `X-Robots-Tag`. A reservation of text and data mining counts as
    well (`<meta name="tdm-reservation" content="1">`, W3C TDM Reservation Protocol). What stands
    in a comment or behind the start of the body says nothing.

    >>> forbidden(["noarchive, NoAI"], "")
    'noai'
    >>> forbidden([], "<META content='noindex, follow' name=robots><body>山路")
    'noindex'
    >>> forbidden(["googlebot: noindex"], "<!-- <meta name=robots content=none> -->")
    ''
    """
    for header in headers:
        for agent, directives in _rules(header.lower()):
            if agent in AGENTS and (found := _forbidding(directives)):
                return found
    return _in_page(html[:HEAD_CHARS]) if html else ""


def _rules(header: str) -> Iterator[tuple[str, str]]:
    """The agent and directives of each part of a header; an agent rules until the next."""
    agent = "*"
    for part in header.split(","):
        scoped = _AGENT.fullmatch(part)
        if scoped and scoped[1] not in _TIMED:
            agent, part = scoped[1], scoped[2]
        yield agent, part


def _in_page(head: str) -> str:
    if "<!--" in head:
        head = _COMMENT.sub("", head)
    if body := _BODY.search(head):
        head = head[: body.start()]
    for meta in _META.finditer(head):
        attributes: dict[str, str] = {}
        for name, value in _ATTRIBUTE.findall(meta[1].lower()):
            attributes.setdefault(name, value.strip("\"'").strip())
        name, content = attributes.get("name", ""), attributes.get("content", "")
        if name == "tdm-reservation" and content == "1":
            return name
        if name in AGENTS and (found := _forbidding(content)):
            return found
    return ""


def _forbidding(directives: str) -> str:
    return next((each for each in _SEPARATOR.split(directives) if each in FORBIDDING), "")
