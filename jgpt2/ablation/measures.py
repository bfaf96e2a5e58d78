"""The record of one finished cell: what one trained model makes of the documents of a study.

An opened model in, plain data out. A study writes it as `measures.json` into the run folder; its
statistics, verdict and report read nothing else. Every arm is measured on the same documents with
the same settings, which `evaluated.fingerprint` binds.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jgpt2 import config, runs
from jgpt2.ablation import attribution, kanji, samples, scoring, segmentation
from jgpt2.corpus import records
from jgpt2.errors import InputError
from jgpt2.evaluate import bits
from jgpt2.model import count
from jgpt2.tokenizer import measure as tokenizer_measure

SMALLEST_CONTEXT = 2
"""Tokens of context that are always given, where a token stands for very many bytes."""


def measure(
    model: runs.OpenModel,
    documents: Sequence[records.Document],
    *,
    dataset: str,
    split: str,
    equal_bytes: int,
    rare: frozenset[str],
    sentences: Sequence[str],
    seed: int,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The record of one cell, ready for JSON.

    `dataset` is the fingerprint of the documents' dataset. `equal_bytes` is the context in bytes
    that every arm may see; `rare` are the kanji that count as rare (`kanji.rare_kanji`) and
    `sentences` those whose segmentations are drawn (`segmentation.sentences`), both chosen once for
    all arms. `seed` decides samples and segmentations. `report(done, all)` counts windows, for the
    model's context and then for the equal one.

    Raises InputError when there is no text or `equal_bytes` is no length, DamageError when the
    model's bits are not finite.
    """
    _check_equal_bytes(equal_bytes)
    texts = [(document.id, document.source, document.text) for document in documents]
    prepared = bits.prepare(texts, model.tokenizer)
    priced = tokenizer_measure.measure(model.tokenizer, documents)
    context = model.shape.context
    equal = equal_bytes_context(equal_bytes, priced.overall, context)
    of_tokens = scoring.token_bits(model, prepared, context=context, report=report)
    of_equal = (
        of_tokens
        if equal == context
        else scoring.token_bits(model, prepared, context=equal, report=report)
    )
    return {
        "evaluated": _evaluated(
            prepared, dataset, split, equal_bytes=equal_bytes, rare=rare, sentences=sentences
        ),
        **_subject(model, context, equal),
        "documents": _columns(prepared, of_tokens, of_equal),
        **_attributed(model, [text for *_, text in texts], prepared, of_tokens, rare),
        "segmentation": segmentation.measure(model, sentences, seed=seed),
        "tokens": _tokens(priced),
        "inference": _inference(model.shape, priced),
        **_written(model, seed),
    }


def equal_bytes_context(equal_bytes: int, overall: tokenizer_measure.Count, context: int) -> int:
    """The tokens that hold about `equal_bytes` of the documents, at most the model's context."""
    assert overall.bytes_per_token, "documents with text have tokens"
    tokens = round(equal_bytes / overall.bytes_per_token)
    return min(context, max(SMALLEST_CONTEXT, tokens))


def _check_equal_bytes(equal_bytes: int) -> None:
    if equal_bytes < 1:
        raise InputError(
            f"equal_bytes={equal_bytes} is no context; choose the bytes that every arm may see, at "
            "most what the arm with the shortest context in bytes sees."
        )


def _evaluated(
    prepared: Sequence[bits.Scorable],
    dataset: str,
    split: str,
    *,
    equal_bytes: int,
    rare: frozenset[str],
    sentences: Sequence[str],
) -> dict[str, Any]:
    """What was evaluated and how; the same for all arms of a study, and for all seeds."""
    settings = {
        "dataset": dataset,
        "split": split,
        "documents": [[document.id, document.num_bytes] for document in prepared],
        "equal_bytes": equal_bytes,
        "rare": sorted(rare),
        "sentences": list(sentences),
        "segmentations": [segmentation.NUM_SAMPLES, segmentation.SHARPNESS],
        "samples": [samples.NUM_SAMPLES, samples.MAX_TOKENS],
        "positions": attribution.POSITION_EDGES,
    }
    canonical = json.dumps(settings, ensure_ascii=False, sort_keys=True)
    return {
        "fingerprint": hashlib.sha256(canonical.encode()).hexdigest(),
        "dataset": dataset,
        "split": split,
        "num_documents": len(prepared),
        "num_bytes": sum(document.num_bytes for document in prepared),
        "num_chars": sum(document.num_chars for document in prepared),
    }


def _subject(model: runs.OpenModel, context: int, equal: int) -> dict[str, Any]:
    return {
        "run": model.fingerprint,
        "step": model.step,
        "tokenizer": model.tokenizer.fingerprint,
        "vocab_size": model.tokenizer.vocab_size,
        "context": context,
        "stride": scoring.stride(context),
        "equal_bytes_context": equal,
        "equal_bytes_stride": scoring.stride(equal),
    }


def _columns(
    prepared: Sequence[bits.Scorable],
    of_tokens: Sequence[Float[np.ndarray, " tokens1"]],
    of_equal: Sequence[Float[np.ndarray, " tokens1"]],
) -> dict[str, list[Any]]:
    scores = list(map(bits.document_score, prepared, of_tokens))
    names = ("id", "source", "num_bytes", "num_chars", "num_tokens", "bits", "eot_bits")
    columns = {name: [getattr(score, name) for score in scores] for name in names}
    return {**columns, "bits_equal_bytes": [float(of_token.sum()) for of_token in of_equal]}


def _attributed(
    model: runs.OpenModel,
    texts: Sequence[str],
    prepared: Sequence[bits.Scorable],
    of_tokens: Sequence[Float[np.ndarray, " tokens1"]],
    rare: frozenset[str],
) -> dict[str, Any]:
    token_bytes = model.tokenizer.token_bytes
    lengths = [token_bytes[document.ids] for document in prepared]
    of_text = [of_token[:-1] for of_token in of_tokens]
    of_bytes = [
        tokenizer_measure.spread(of_token, length, num_bytes=document.num_bytes)
        for of_token, length, document in zip(of_text, lengths, prepared, strict=True)
    ]
    eot_bits = [float(of_token[-1]) for of_token in of_tokens]
    return {
        "by_script": attribution.by_script(texts, of_bytes, eot_bits),
        "by_position": attribution.by_position(of_bytes),
        "rare_kanji": kanji.recall(texts, lengths, of_text, rare),
    }


def _tokens(priced: tokenizer_measure.Measurement) -> dict[str, Any]:
    return {
        "bytes_per_token": priced.overall.bytes_per_token,
        "chars_per_token": priced.overall.characters_per_token,
        "byte_share": priced.byte_share,
        "restored_share": priced.restored_share,
        "is_lower_bound": bool(priced.failures),
    }


def _inference(shape: config.Model, priced: tokenizer_measure.Measurement) -> dict[str, float]:
    """What a character costs to read or write, at the documents' characters per token."""
    chars_per_token = priced.overall.characters_per_token
    assert chars_per_token, "documents with text have tokens"
    kv_bytes_per_token = (
        2 * shape.layers * shape.embed_dim * jnp.dtype(shape.compute_dtype).itemsize
    )
    # The forward pass is a third of training: 2 of the 6 operations per weight.
    flops_per_token = count.flops_per_token(shape, priced.vocab_size) / 3
    return {
        "context_chars": shape.context * chars_per_token,
        "kv_cache_bytes_per_1000_chars": 1000 * kv_bytes_per_token / chars_per_token,
        "forward_flops_per_char": flops_per_token / chars_per_token,
    }


def _written(model: runs.OpenModel, seed: int) -> dict[str, Any]:
    drawn = samples.draw(model, seed=seed)
    return {
        "samples": {"num_bytes": drawn.num_bytes, "valid_utf8_share": drawn.valid_share},
        "times": {"generated_chars_per_s": samples.chars_per_second(model, seed=seed)},
    }
