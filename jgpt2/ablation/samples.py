"""What a model writes unasked: how much of it is valid UTF-8, and how fast it comes.

A byte vocabulary, and byte pieces of the others, can end a character halfway or begin one in the
middle; pieces of whole characters cannot.
"""

import codecs
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jgpt2 import runs
from jgpt2.generate import decode, sampling
from jgpt2.model import sharding

NUM_SAMPLES = 16
MAX_TOKENS = 128
"""Longest sample; shorter where the context is."""


@dataclass(frozen=True)
class Validity:
    """Bytes of samples, and how many of them lie in complete, valid UTF-8 sequences."""

    num_bytes: int
    num_valid_bytes: int
    num_chars: int
    """Characters of the valid sequences."""

    @property
    def valid_share(self) -> float | None:
        """None where nothing was written."""
        return self.num_valid_bytes / self.num_bytes if self.num_bytes else None


def draw(model: runs.OpenModel, *, seed: int) -> Validity:
    """The validity of NUM_SAMPLES samples from nothing, of the model as it is (temperature 1)."""
    return _validity(model, _rows(model, seed=seed, min_tokens=0))


def chars_per_second(model: runs.OpenModel, *, seed: int) -> float:
    """Characters written per second by NUM_SAMPLES rows at once, to full length.

    Call `draw` before: it compiles what this measures.
    """
    start = time.perf_counter()
    rows = _rows(model, seed=seed, min_tokens=_max_tokens(model))
    taken_s = time.perf_counter() - start
    return _validity(model, rows).num_chars / taken_s


def validity(texts: Sequence[tuple[bytes, bool]]) -> Validity:
    """Judges bytes, each with whether they were cut: a character begun at a cut is not counted.

    >>> validity([("日本".encode()[:5], True)])
    Validity(num_bytes=3, num_valid_bytes=3, num_chars=1)
    >>> validity([("日本".encode()[:5], False)])
    Validity(num_bytes=5, num_valid_bytes=3, num_chars=1)
    """
    num_bytes = num_valid = num_chars = 0
    for data, is_cut in texts:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        text = decoder.decode(data)
        unfinished = len(decoder.getstate()[0])
        num_bytes += len(data) - (unfinished if is_cut else 0)
        num_valid += len(text.encode())
        num_chars += len(text)
    return Validity(num_bytes, num_valid, num_chars)


def _validity(model: runs.OpenModel, rows: Sequence[decode.Row]) -> Validity:
    return validity([(model.tokenizer.decode_bytes(ids), end != "eot") for ids, end in rows])


def _rows(model: runs.OpenModel, *, seed: int, min_tokens: int) -> list[decode.Row]:
    return decode.generate(
        model.graphdef,
        model.params,
        model.shape,
        [np.zeros(0, np.int32)] * NUM_SAMPLES,
        eot=model.tokenizer.eot,
        begin=model.tokenizer.begin,
        sampler=sampling.Sampler(),
        seed=seed,
        min_tokens=min_tokens,
        max_tokens=_max_tokens(model),
        sharding=sharding.replicated(model.mesh),
    )


def _max_tokens(model: runs.OpenModel) -> int:
    return min(MAX_TOKENS, model.shape.context)
