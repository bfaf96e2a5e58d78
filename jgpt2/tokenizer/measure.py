"""How well a vocabulary fits a text: bytes and characters per token, and proof that it loses none.

These figures tell the price of a text in tokens. They do not rank vocabularies: only bits per byte
of a trained model does.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jgpt2.errors import InputError
from jgpt2.tokenizer import base, scripts

MAX_FAILURES = 5


class Document(Protocol):
    """What is read of a document."""

    @property
    def source(self) -> str:
        """Where it comes from; figures are given for each source."""
        ...

    @property
    def text(self) -> str:
        """The text itself."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count:
    """Sums over some part of the text."""

    num_bytes: int
    num_characters: int
    num_tokens: float
    """Whole for a source; of a script, the sum of the shares that its characters have."""

    @property
    def bytes_per_token(self) -> float | None:
        """None where there is no token."""
        return self.num_bytes / self.num_tokens if self.num_tokens else None

    @property
    def characters_per_token(self) -> float | None:
        """None where there is no token."""
        return self.num_characters / self.num_tokens if self.num_tokens else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """What `measure` found; `to_json` gives it as plain data."""

    tokenizer: str
    fingerprint: str
    vocab_size: int
    num_documents: int
    overall: Count
    by_source: dict[str, Count]
    by_script: dict[str, Count]
    byte_share: float
    """Share of the tokens that stand for one raw byte (1 for the byte vocabulary)."""
    num_unused_ids: int
    """Ids, EOT aside, that no document gave."""
    restored_share: float
    """Share of the documents for which decode(encode(text)) == text; 1 unless it is lossy."""
    failures: tuple[str, ...]
    """The first documents that were not restored, with the place of the first difference."""


def measure(tokenizer: base.Tokenizer, documents: Iterable[Document]) -> Measurement:
    """Encodes, restores and counts every document; raises InputError when there is none.

    Rule for scripts: a token of n bytes counts 1/n for each of its bytes, for the script of the
    character that the byte is a part of; so the scripts add up to all tokens. EOT is not counted.
    """
    token_bytes, is_byte = tokenizer.token_bytes, tokenizer.is_byte
    uses = np.zeros(tokenizer.vocab_size, np.int64)
    by_source: dict[str, npt.NDArray[np.int64]] = {}
    by_script = np.zeros((len(scripts.SCRIPTS), 3))
    failures: list[str] = []
    num_documents = num_failures = 0
    for document in documents:
        text = document.text
        ids = tokenizer.encode(text)
        counts = np.array([len(base.utf8(text)), len(text), len(ids)], np.int64)
        by_source[document.source] = by_source.get(document.source, 0) + counts
        uses += np.bincount(ids, minlength=tokenizer.vocab_size)
        tokens = spread(np.ones(len(ids)), token_bytes[ids], num_bytes=int(counts[0]))
        by_script += count_scripts(text, tokens)
        restored = tokenizer.decode(ids)
        if restored != text:
            num_failures += 1
            failures.append(_difference(num_documents, document.source, text, restored))
            failures = failures[:MAX_FAILURES]
        num_documents += 1
    if not num_documents:
        raise InputError("there is no document to measure; give a dataset split or files.")
    overall = np.sum(list(by_source.values()), axis=0)
    uses[tokenizer.eot] = 1
    return Measurement(
        tokenizer=tokenizer.name,
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        num_documents=num_documents,
        overall=_count(overall),
        by_source={source: _count(by_source[source]) for source in sorted(by_source)},
        by_script=dict(zip(scripts.SCRIPTS, map(_count, by_script), strict=True)),
        byte_share=float(uses[is_byte].sum() / max(1, overall[2])),
        num_unused_ids=int((uses == 0).sum()),
        restored_share=1 - num_failures / num_documents,
        failures=tuple(failures),
    )


def to_json(measured: Measurement) -> dict[str, Any]:
    """Plain data: the figures, and one row per group (overall, each source, each script)."""
    groups = [("overall", "all", measured.overall)]
    groups += [("source", name, count) for name, count in measured.by_source.items()]
    groups += [("script", name, count) for name, count in measured.by_script.items()]
    plain = ("tokenizer", "fingerprint", "vocab_size", "num_documents", "byte_share")
    plain += ("num_unused_ids", "restored_share")
    return {
        **{field: getattr(measured, field) for field in plain},
        "failures": list(measured.failures),
        "rows": [
            {
                "group": group,
                "name": name,
                **dataclasses.asdict(count),
                "bytes_per_token": count.bytes_per_token,
                "characters_per_token": count.characters_per_token,
            }
            for group, name, count in groups
        ],
    }


def spread(
    of_token: npt.NDArray[np.float64], lengths: npt.NDArray[np.int32], *, num_bytes: int
) -> npt.NDArray[np.float64]:
    """[num_bytes] what each byte of a text has of its tokens' amounts, in the same sum.

    A token of n bytes gives 1/n of its amount to each. Where tokens of a lossy vocabulary do not
    add up to the text, nothing says which bytes they stand for: all bytes have the same then.

    >>> spread(np.array([6.0, 1.0]), np.array([3, 1]), num_bytes=4)
    array([2., 2., 2., 1.])
    """
    if not adds_up(lengths, num_bytes):
        return np.full(num_bytes, of_token.sum() / max(1, num_bytes))
    return np.repeat(of_token / lengths, lengths)


def adds_up(lengths: npt.NDArray[np.int32], num_bytes: int) -> bool:
    """Whether tokens of these byte lengths, none of them 0, cover a text byte by byte."""
    return int(lengths.sum()) == num_bytes and bool((lengths > 0).all())


def count_scripts(text: str, of_byte: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[scripts, (bytes, characters, sum of `of_byte`)] of one text, by the script of characters."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    script_of_character = scripts.classify(codes)
    script_of_byte = np.repeat(script_of_character, scripts.utf8_lengths(codes))
    size = len(scripts.SCRIPTS)
    return np.stack(
        [
            np.bincount(script_of_byte, minlength=size),
            np.bincount(script_of_character, minlength=size),
            np.bincount(script_of_byte, of_byte, minlength=size),
        ],
        axis=1,
    ).astype(np.float64)


def _count(sums: npt.NDArray[np.number]) -> Count:
    num_bytes, num_characters, num_tokens = sums.tolist()
    return Count(
        num_bytes=int(num_bytes), num_characters=int(num_characters), num_tokens=num_tokens
    )


def _difference(index: int, source: str, text: str, restored: str) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(text, restored, strict=False)) if a != b),
        min(len(text), len(restored)),
    )
    return (
        f"document {index} of {source or 'unknown source'} differs from character {place}: "
        f"{text[place : place + 10]!r} became {restored[place : place + 10]!r}"
    )
