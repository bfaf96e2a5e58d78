"""From a record as it was crawled to a document with everything measured about it.

Pure functions of one record, the same in one process, in a pool of them and on Beam. Nothing is
decided here about quality: `jgpt2.corpus.selection` does that later from the scores. What can
never be used is left out with its reason: no known charset, forbidden by its owner, not Japanese.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jgpt2.corpus import records
from jgpt2.corpus.accounting import account
from jgpt2.corpus.cleaning import aozora, charset, extract, japanese, mask, normalise, robots
from jgpt2.corpus.quality import scores

VERSION = 1
"""Changes with any change of what a record becomes: finished shards are then made anew."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides what a record becomes."""

    extractor: extract.Extractor = "careful"
    """How the main text of a page is found."""
    obey_robots: bool = True
    """Leave out pages whose owner forbids indexing or training."""
    license: str = ""
    """Licence of documents that name none."""
    rules: normalise.Rules = field(default_factory=normalise.Rules)
    """How texts are normalised."""
    masks: mask.Masks = field(default_factory=mask.Masks)
    """What is replaced by placeholders."""

    def identity(self) -> dict[str, Any]:
        """The settings and the versions of the steps, as JSON."""
        versions = {
            "annotate": VERSION,
            "normalise": normalise.VERSION,
            "mask": mask.VERSION,
        }
        return dataclasses.asdict(self) | {"versions": versions}


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """A document, where it comes from, and what was done to it; all of it is kept as JSON."""

    document: records.Document
    kind: records.Kind
    cluster: str
    fetched_at: str
    charset: str
    """Codec the bytes were read with; empty for what came as text."""
    declared: str
    """The charset's label, from the HTTP header or the page; empty if none."""
    raw_sha256: str
    """Of the record's bytes as they were crawled."""
    extractor: str
    """How the main text was found; empty where all of it is."""
    rules: dict[str, int]
    masks: dict[str, int]

    @property
    def host(self) -> str:
        """The host of the address; empty if there is none."""
        return host(self.document.url)


def to_json(annotated: Annotated) -> dict[str, Any]:
    """The annotated document as one flat JSON object, `text` last."""
    flat = {name: value for name, value in vars(annotated).items() if name != "document"}
    document = vars(annotated.document)
    ordered = {name: value for name, value in document.items() if name != "text"}
    return ordered | flat | {"text": document["text"]}


def from_json(value: dict[str, Any]) -> Annotated:
    """The annotated document that `to_json` wrote."""
    names = {entry.name for entry in dataclasses.fields(records.Document)}
    document = records.Document(**{name: value[name] for name in names})
    return Annotated(
        document=document, **{name: part for name, part in value.items() if name not in names}
    )


def host(url: str) -> str:
    """The host name in an address, in lower case.

    >>> host("https://Blog.Example.jp:8080/記事/1.html")
    'blog.example.jp'
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a bracket that is no IPv6 address
        return ""


def annotate(raw: records.Raw, settings: Settings, counted: account.Account) -> Annotated | None:
    """The document of a record, or None where there is none: `counted` then has the reason.

    Of its scores it has the share of links alone; `score` measures the others, many at a time.
    """
    size = len(raw.content) if isinstance(raw.content, bytes) else len(raw.content.encode())
    counted.passes("read", 0, size)
    decoded = _decode(raw, counted, size)
    if decoded is None:
        return None
    found = _main_text(raw, decoded.text, settings, counted)
    if found is None:
        return None
    with counted.timed("normalise"):
        text, rules = normalise.normalise(found.text, settings.rules)
        text, masks = mask.mask(text, settings.masks)
        title = normalise.normalise(found.title, settings.rules)[0]
    if not text.strip():
        counted.drops("normalise", "no text", 0, 0)
        return None
    num_bytes = len(text.encode())
    counted.passes("normalise", len(text), num_bytes)
    counted.rules.update(rules)
    counted.masks.update(masks)
    counted.kinds[found.kind] += 1
    return Annotated(
        document=records.document(
            text,
            source=raw.source,
            id=raw.id,
            url=raw.url,
            license=raw.license or found.license or settings.license,
            title=" ".join(title.split()),
            scores={"link_share": found.link_share},
        ),
        kind=found.kind,
        cluster=raw.cluster,
        fetched_at=raw.fetched_at,
        charset=decoded.encoding,
        declared=decoded.declared,
        raw_sha256=_sha256(raw.content),
        extractor=found.extractor,
        rules=_plain(rules),
        masks=_plain(masks),
    )


def score(items: Sequence[Annotated], counted: account.Account) -> list[Annotated]:
    """The documents with all their scores."""
    texts = [item.document.text for item in items]
    link_shares = [item.document.scores["link_share"] for item in items]
    with counted.timed("score"):
        measured = scores.score_all(texts, link_shares)
    for item in items:
        counted.passes("score", len(item.document.text), item.document.num_bytes)
    return [
        dataclasses.replace(item, document=dataclasses.replace(item.document, scores=found))
        for item, found in zip(items, measured, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class _Found:
    text: str
    title: str
    kind: records.Kind
    license: str = ""
    link_share: float = 0.0
    extractor: str = ""


def _decode(raw: records.Raw, counted: account.Account, size: int) -> charset.Decoded | None:
    if isinstance(raw.content, str):
        counted.passes("decode", len(raw.content), size)
        return charset.Decoded(raw.content, "", "", num_replaced=0, is_lossless=True)
    with counted.timed("decode"):
        decoded = charset.decode(raw.content, declared=raw.charset, is_html=raw.kind == "html")
    if decoded is None:
        counted.drops("decode", "unknown charset", 0, size)
        return None
    counted.passes("decode", len(decoded.text), size)
    counted.charsets[f"{decoded.declared or 'none'} > {decoded.encoding}"] += 1
    if decoded.num_replaced:
        counted.replaced[decoded.encoding] += decoded.num_replaced
    if not decoded.is_lossless:
        counted.lossy[decoded.encoding] += 1
    return decoded


def _main_text(
    raw: records.Raw, text: str, settings: Settings, counted: account.Account
) -> _Found | None:
    """The text of a record and its title; None where a stage left it out."""
    if raw.kind in ("html", "wet") and not _may_be_used(raw, text, settings, counted):
        return None
    with counted.timed("extract"):
        found = _extract(raw, text, settings)
    if not found.text.strip():
        counted.drops("extract", "no main text", len(text), len(text.encode()))
        return None
    counted.passes("extract", len(found.text), len(found.text.encode()))
    return found


def _may_be_used(raw: records.Raw, text: str, settings: Settings, counted: account.Account) -> bool:
    is_html, size = raw.kind == "html", (len(text), len(text.encode()))
    if settings.obey_robots:
        with counted.timed("robots"):
            directive = robots.forbidden(raw.robots, text if is_html else "")
        if directive:
            counted.drops("robots", directive, *size)
            return False
        counted.passes("robots", *size)
    with counted.timed("japanese"):
        is_japanese = japanese.is_japanese(text, is_html=is_html)
    if not is_japanese:
        counted.drops("japanese", "not Japanese", *size)
        return False
    counted.passes("japanese", *size)
    return True


def _extract(raw: records.Raw, text: str, settings: Settings) -> _Found:
    if raw.kind == "html":
        page = extract.main_text(text, url=raw.url, extractor=settings.extractor)
        return _Found(
            text=page.text,
            title=raw.title or page.title,
            kind="html",
            link_share=page.link_share,
            extractor=settings.extractor,
        )
    if raw.kind == "text" and aozora.is_aozora(text):
        work = aozora.clean(text)
        return _Found(
            text=work.text, title=work.title or raw.title, kind="aozora", license=work.license
        )
    return _Found(text=text, title=raw.title, kind=raw.kind)


def _plain(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts) if counts[name]}


def _sha256(content: bytes | str) -> str:
    data = content if isinstance(content, bytes) else content.encode()
    return hashlib.sha256(data).hexdigest()
