"""What flows through the corpus step: records as readers find them, and documents."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["html", "wet", "text", "aozora", "record"]
"""What a record is: a page; web text already extracted (WET); a text file; a text recognised as
Aozora Bunko's; a line of JSONL or a row of parquet."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and where it came from; a string that is not known is empty."""

    id: str
    url: str
    source: str
    license: str
    title: str
    text: str
    num_bytes: int
    """UTF-8 length of the text alone."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What `quality.scores` measured; empty for a text that was only read."""


def document(
    text: str,
    *,
    source: str,
    id: str = "",
    url: str = "",
    license: str = "",
    title: str = "",
    scores: Mapping[str, float] | None = None,
) -> Document:
    """A document with its size; an id that is not given is made of a hash of source and text.

    >>> novel = document("山路を登りながら", source="aozora")
    >>> novel.id, novel.num_bytes
    ('aozora-0280f505c2890b24', 24)
    """
    if not id:
        digest = hashlib.sha256(f"{source}\0{text}".encode()).hexdigest()
        id = f"{source}-{digest[:16]}"
    return Document(
        id=id,
        url=url,
        source=source,
        license=license,
        title=title,
        text=text,
        num_bytes=len(text.encode()),
        scores=dict(scores or {}),
    )


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A record as a reader finds it, before anything is decided; what is not known is empty."""

    content: bytes | str
    """Bytes of a charset yet to be found, or text."""
    kind: Kind
    source: str
    url: str = ""
    id: str = ""
    license: str = ""
    title: str = ""
    cluster: str = ""
    """Records of one cluster stay in one split."""
    fetched_at: str = ""
    """When it was crawled, ISO 8601, as the crawler says."""
    charset: str = ""
    """The label in the HTTP header."""
    robots: tuple[str, ...] = ()
    """Values of X-Robots-Tag headers."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A record that could not be read: counted by its reason, and passed over."""

    reason: str
    """A few words, the same for all losses of one kind."""
    where: str
    """File and place in it."""
    detail: str = ""
    """What is wrong in particular and what to do, as a sentence."""
