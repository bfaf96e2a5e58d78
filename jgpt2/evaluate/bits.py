"""Bits per byte, the one metric: the bits a model needs for a document over the bytes of its text.

Numerator: the sum of -log2 p(token) over the document's tokens and its EOT, each scored once, with
the id that begins a document (mostly EOT) before it as conditioning. Denominator: UTF-8 bytes of
the text itself, never counted from tokens, so that vocabularies compare. Text that a lossy
vocabulary does not restore costs no bits, so its figures are lower bounds. Everything is added up
in float64 on the host, and a ratio is taken last. Between `jgpt2.evaluate.sliding` (rows to the
device) and `suite` (the record).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, Int32

from jgpt2 import config
from jgpt2.errors import DamageError, InputError
from jgpt2.evaluate import sliding, windows
from jgpt2.model import gpt2, loss
from jgpt2.tokenizer import base


@dataclasses.dataclass(frozen=True)
class Scorable:
    """One document, ready to be scored by models that share a tokenizer."""

    id: str
    source: str
    ids: Int[np.ndarray, " tokens"]
    """The text's tokens, without EOT."""
    num_bytes: int
    """UTF-8 bytes of the text."""
    num_chars: int
    """Code points of the text."""
    begin: int | None = None
    """The id before the first token, which is conditioning only; None: EOT."""
    is_restored: bool = True
    """Whether the ids give the whole text back."""


@dataclasses.dataclass(frozen=True)
class DocumentScore:
    """What one document costs."""

    id: str
    source: str
    bits: float
    """Sum of -log2 p over the tokens and the EOT."""
    eot_bits: float
    """The EOT's part of `bits`."""
    num_bytes: int
    num_chars: int
    num_tokens: int
    """Tokens of the text, without EOT."""
    is_restored: bool = True
    """Whether the tokens give the whole text back; else bits of what they lost are missing."""


@dataclasses.dataclass(frozen=True)
class Total:
    """Sums over a set of documents; its ratios are ratios of sums."""

    num_documents: int
    bits: float
    eot_bits: float
    num_bytes: int
    num_chars: int
    num_tokens: int
    num_unrestored_documents: int = 0
    """Those that the tokenizer does not give back."""
    num_unrestored_bytes: int = 0
    """Bytes of their texts."""

    @property
    def is_lower_bound(self) -> bool:
        """Whether text was lost, which costs no bits: the true figures are higher."""
        return self.num_unrestored_documents > 0

    @property
    def bits_per_byte(self) -> float:
        """Bits of tokens and EOTs over bytes of text."""
        return self.bits / self.num_bytes

    @property
    def bits_per_byte_without_eot(self) -> float:
        """The same without the bits spent on saying where documents end."""
        return (self.bits - self.eot_bits) / self.num_bytes

    @property
    def bits_per_char(self) -> float:
        """Bits of tokens and EOTs over code points of text."""
        return self.bits / self.num_chars

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text over its tokens."""
        return self.num_bytes / self.num_tokens

    def record(self) -> dict[str, Any]:
        """The sums, their ratios, and whether these are lower bounds."""
        ratios = ("bits_per_byte", "bits_per_byte_without_eot", "bits_per_char", "bytes_per_token")
        derived = (*ratios, "is_lower_bound")
        return {**vars(self), **{name: getattr(self, name) for name in derived}}


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of an evaluation."""

    overall: Total
    by_source: dict[str, Total]
    """Sorted by the source's name."""


def prepare(texts: Iterable[tuple[str, str, str]], tokenizer: base.Tokenizer) -> list[Scorable]:
    """Encodes (id, source, text) documents.

    Raises InputError when there are none, or when all of one source are empty: such a source has
    no bits per byte. So has one of which a lossy vocabulary keeps nothing.
    """
    documents = list(texts)
    if not documents:
        raise InputError(
            "no documents to evaluate; give a split or files that hold at least one document."
        )
    encoded = tokenizer.encode_batch([text for _, _, text in documents])
    kept = {source for (_, source, _), ids in zip(documents, encoded, strict=True) if len(ids)}
    for _, source, text in documents:
        if source not in kept:
            found = f"give no token of {tokenizer.name}" if text else "are empty"
            raise InputError(
                f"all documents of source {source!r} {found}, so there is nothing to evaluate; "
                "leave them out."
            )
    return [
        Scorable(
            id,
            source,
            ids,
            num_bytes=len(text.encode()),
            num_chars=len(text),
            begin=tokenizer.begin,
            is_restored=tokenizer.is_lossless or tokenizer.decode(ids) == text,
        )
        for (id, source, text), ids in zip(documents, encoded, strict=True)
    ]


def score(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    params: gpt2.Params,
    documents: Sequence[Scorable],
    *,
    model: config.Model,
    eot: int,
    stride: int | None = None,
    rows: int = 8,
    sharding: jax.sharding.NamedSharding | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Scores every document alone, in the given order; arguments and errors as `token_bits`."""
    of_tokens = token_bits(
        graphdef,
        params,
        documents,
        model=model,
        eot=eot,
        stride=stride,
        rows=rows,
        sharding=sharding,
        report=report,
    )
    return [document_score(*pair) for pair in zip(documents, of_tokens, strict=True)]


def token_bits(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    params: gpt2.Params,
    documents: Sequence[Scorable],
    *,
    model: config.Model,
    eot: int,
    stride: int | None = None,
    rows: int = 8,
    sharding: jax.sharding.NamedSharding | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Float[np.ndarray, " tokens1"]]:
    """-log2 p of each token of each document, its EOT last; every document alone, in given order.

    `stride` is that of the sliding window over documents longer than the context (default: half of
    the context). A batch holds `rows` rows of the context's length, or proportionally more shorter
    ones; the model is compiled once for each of three lengths in the life of the process, however
    often this is called. `sharding` places the rows [B, T] (default: the default device) and must
    fit the params' mesh; every process gets every score. `report(done, all)` counts windows.

    Raises InputError for a wrong stride or number of rows, DamageError when bits are not finite.
    """
    assert documents, "prepare refuses to give none"
    of_documents = [np.full(len(document.ids) + 1, np.nan) for document in documents]
    told = sliding.run(
        functools.partial(_next_token_nll, graphdef, sharding, params),
        [np.concatenate([[_begin(document, eot)], document.ids, [eot]]) for document in documents],
        context=model.context,
        padding=eot,
        stride=windows.check_stride(model.context, stride),
        batch_rows=rows,
        sharding=sharding,
        report=report,
    )
    for index, targets, nll_T in told:
        of_documents[index][targets] = nll_T.astype(np.float64) / math.log(2)
    _check_finite(of_documents, documents)
    return of_documents


def document_score(document: Scorable, bits: Float[np.ndarray, " tokens1"]) -> DocumentScore:
    """What one document costs, given what each of its tokens and its EOT does."""
    return DocumentScore(
        id=document.id,
        source=document.source,
        bits=float(bits.sum()),
        eot_bits=float(bits[-1]),
        num_bytes=document.num_bytes,
        num_chars=document.num_chars,
        num_tokens=len(document.ids),
        is_restored=document.is_restored,
    )


def summary(scores: Sequence[DocumentScore]) -> Summary:
    """Adds up the scores, overall and by source."""
    by_source: dict[str, list[DocumentScore]] = {}
    for row in scores:
        by_source.setdefault(row.source, []).append(row)
    totals = {source: _total(by_source[source]) for source in sorted(by_source)}
    return Summary(_total(scores), totals)


def _total(scores: Sequence[DocumentScore]) -> Total:
    return Total(
        num_documents=len(scores),
        bits=math.fsum(row.bits for row in scores),
        eot_bits=math.fsum(row.eot_bits for row in scores),
        num_bytes=sum(row.num_bytes for row in scores),
        num_chars=sum(row.num_chars for row in scores),
        num_tokens=sum(row.num_tokens for row in scores),
        num_unrestored_documents=sum(not row.is_restored for row in scores),
        num_unrestored_bytes=sum(row.num_bytes for row in scores if not row.is_restored),
    )


def _begin(document: Scorable, eot: int) -> int:
    return eot if document.begin is None else document.begin


@functools.partial(jax.jit, static_argnums=(0, 1))
def _next_token_nll(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    sharding: jax.sharding.NamedSharding | None,
    params: gpt2.Params,
    rows_BT1: Int32[Array, "B T1"],
) -> Float32[Array, "B T"]:
    nll_BT = loss.next_token_nll(nnx.merge(graphdef, params), rows_BT1)
    return sliding.everywhere(nll_BT, sharding)


def _check_finite(
    of_documents: Sequence[Float[np.ndarray, " tokens1"]], documents: Sequence[Scorable]
) -> None:
    totals = np.asarray([bits.sum() for bits in of_documents])
    wrong = np.flatnonzero(~np.isfinite(totals))
    if len(wrong):
        raise DamageError(
            f"the model gives {totals[wrong[0]]} bits for document {documents[wrong[0]].id!r} "
            f"({len(wrong)} of {len(documents)} are not finite): its weights are damaged or its "
            "training diverged; use an earlier checkpoint."
        )
