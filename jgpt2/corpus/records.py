"""The document: what every reader gives, the dataset stores and everything after it reads."""

import hashlib
from dataclasses import dataclass


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


def document(
    text: str, *, source: str, id: str = "", url: str = "", license: str = "", title: str = ""
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
    )
