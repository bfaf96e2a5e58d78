"""Rare kanji: which they are, and how often a model has the true one as its likeliest writing.

A vocabulary without a kanji spells it by bytes, and one with it has seldom seen its piece; which is
worse is a question for measurement. One set of rare kanji serves all arms of a study.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jgpt2.tokenizer import measure, scripts

COMMON = 2136
"""As many as the jōyō table of 2010 holds."""

_KANJI = scripts.SCRIPTS.index("kanji")


def rare_kanji(
    training: Iterable[str], evaluated: Iterable[str], *, common: int = COMMON
) -> frozenset[str]:
    """The kanji of the evaluated texts that are not among the most frequent of the training text.

    `common` kanji are frequent; of equally frequent ones the lower code point comes first.

    >>> sorted(rare_kanji(["山と山", "川"], ["山は遠く、川は近い。"], common=2))
    ['近', '遠']
    """
    counts = np.zeros(0x110000, np.int64)
    for text in training:
        codes, occurrences = np.unique(_kanji_codes(text), return_counts=True)
        counts[codes] += occurrences
    seen = np.flatnonzero(counts)
    frequent = seen[np.argsort(-counts[seen], kind="stable")][:common]
    wanted = set[int]().union(*(np.unique(_kanji_codes(text)).tolist() for text in evaluated))
    return frozenset(map(chr, wanted.difference(frequent.tolist())))


def recall(
    texts: Sequence[str],
    lengths: Sequence[Int[np.ndarray, " tokens"]],
    of_tokens: Sequence[Float[np.ndarray, " tokens"]],
    rare: frozenset[str],
) -> dict[str, Any]:
    """How many occurrences of rare kanji there are, are recalled, and what bits their bytes cost.

    `lengths` and `of_tokens` are the bytes and the bits of each text's tokens, without EOT. An
    occurrence is recalled when the product of the probabilities of all tokens that hold a byte of
    it is above 1/2: whatever else could stand there is then less likely. Where tokens do not add
    up to the text, none is.
    """
    codes_of_rare = np.array(sorted(map(ord, rare)), np.uint32)
    num_occurrences = num_recalled = 0
    bits = []
    for text, length, of_token in zip(texts, lengths, of_tokens, strict=True):
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        sizes = scripts.utf8_lengths(codes)
        places = np.flatnonzero(np.isin(codes, codes_of_rare))
        ends = np.cumsum(sizes)[places]
        starts = ends - sizes[places]
        of_byte = measure.spread(of_token, length, num_bytes=int(sizes.sum()))
        bits += [float(of_byte[start:end].sum()) for start, end in zip(starts, ends, strict=True)]
        num_occurrences += len(places)
        if measure.adds_up(length, len(of_byte)):
            num_recalled += int(_is_recalled(starts, ends, length, of_token).sum())
    return {
        "num_occurrences": num_occurrences,
        "num_recalled": num_recalled,
        "bits": math.fsum(bits),
    }


def _is_recalled(
    starts: Int[np.ndarray, " occurrences"],
    ends: Int[np.ndarray, " occurrences"],
    length: Int[np.ndarray, " tokens"],
    of_token: Float[np.ndarray, " tokens"],
) -> Bool[np.ndarray, " occurrences"]:
    token_ends = np.cumsum(length)
    first = np.searchsorted(token_ends, starts, side="right")
    last = np.searchsorted(token_ends, ends, side="left")
    before = np.concatenate([[0.0], np.cumsum(of_token)])
    return before[last + 1] - before[first] < 1


def _kanji_codes(text: str) -> Int[np.ndarray, " kanji"]:
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return codes[scripts.classify(codes) == _KANJI]
