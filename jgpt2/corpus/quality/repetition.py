"""How much texts repeat themselves, measured by their character n-grams.

An n-gram is n characters in a row, white space and line breaks too. Equal n-grams get one number,
that of a place where it stands, so the figures are exact. An n-gram is looked at only if its first
n - 1 characters come more than once, and nothing is sorted.
"""

import math

import numpy as np
from numpy.typing import NDArray

from jgpt2.corpus.quality import letters

Places = NDArray[np.int64]
Keys = NDArray[np.uint64]

_TOP = (2, 3, 4)
_DUPLICATE = (5, 6, 7, 8, 9, 10)
_LONGEST = _DUPLICATE[-1]

_LETTER_BITS = np.uint64(21)  # code points and END
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads over the high bits
_WORD = (1 << 64) - 1
_MIN_BITS = 6


def measure(joined: letters.Joined) -> dict[str, NDArray[np.float64]]:
    """The scores of repetition, each for all texts; 0 where a text has no n-gram.

    With N the number of n-grams of a text, D that of different ones:

    - `top_{2,3,4}gram_share`: times the most frequent n-gram comes, over N.
    - `duplicate_{5..10}gram_share`: different n-grams that come more than once, over D.
    - `repeated_5gram_share`: times the k most frequent 5-grams come, over N, where k is the floor
      of the root of D, but at most the number of those that come more than once.

    The first two are as Swallow computes them (Okazaki et al. 2024; its program, not its README,
    which says N for D), after Gopher (Rae et al. 2021, table A1), which counts words and not
    characters. The third is HojiChar's, after BigScience's filter of OSCAR.
    All grow with the length of the text.
    """
    scores: dict[str, NDArray[np.float64]] = {}
    repeated_5grams = np.zeros(len(joined.lengths))
    codes = joined.codes.astype(np.uint64)
    # An n-gram across the end of its text holds END, so it is alone and drops out.
    places = np.arange(len(codes) - 1)
    grams = joined.owners[:-1].view(np.uint64) << _LETTER_BITS | codes[:-1]
    for n in range(_TOP[0], _LONGEST + 1):
        grams <<= _LETTER_BITS
        grams |= _take(codes, places + (n - 1))
        firsts = _firsts(grams)
        counts = np.bincount(firsts)
        repeated = (counts > 1).nonzero()[0]
        sizes, owners = counts[repeated], joined.owners[_take(places, repeated)]
        num_grams = np.maximum(joined.lengths - (n - 1), 0)
        if n in _TOP:
            most = np.minimum(num_grams, 1)
            np.maximum.at(most, owners, sizes)
            scores[f"top_{n}gram_share"] = most / np.maximum(num_grams, 1)
        else:
            num_repeated = np.bincount(owners, minlength=len(num_grams))
            num_same = np.bincount(owners, weights=sizes - 1, minlength=len(num_grams))
            num_distinct = num_grams - num_same.astype(np.int64)
            scores[f"duplicate_{n}gram_share"] = num_repeated / np.maximum(num_distinct, 1)
            if n == _DUPLICATE[0]:
                num_frequent = _frequent(owners, sizes, num_repeated, num_distinct)
                repeated_5grams = num_frequent / np.maximum(num_grams, 1)
        again = (_take(counts, firsts) > 1).nonzero()[0]
        places, grams = _take(places, again), _take(firsts, again).view(np.uint64)
    return scores | {"repeated_5gram_share": repeated_5grams}


def _firsts(keys: Keys, multiplier: int = _MULTIPLIER) -> Places:
    """For each key the place of one that is equal, the same for all that are equal.

    All keys write their place into the bucket that a hash gives them, and the last one stays.
    Those that find a place of another key there, about a sixth, try again with another hash.
    """
    # Two to four buckets a key: fewer send more keys on, more do not fit the cache.
    bits = max(len(keys).bit_length(), _MIN_BITS) + 1
    hashes = keys * np.uint64(multiplier)
    hashes >>= np.uint64(64 - bits)
    buckets = hashes.view(np.int64)
    table = np.empty(1 << bits, np.int64)
    table[buckets] = np.arange(len(keys))
    firsts = _take(table, buckets)
    others = (_take(keys, firsts) != keys).nonzero()[0]
    if len(others):
        next_multiplier = multiplier * _MULTIPLIER & _WORD
        firsts[others] = _take(others, _firsts(_take(keys, others), next_multiplier))
    return firsts


def _take[Array: (Keys, Places)](array: Array, places: Places) -> Array:
    """`array[places]`, in half the time: with "clip" numpy leaves out a check."""
    return array.take(places, mode="clip")


def _frequent(
    owners: Places, sizes: Places, num_repeated: Places, num_distinct: Places
) -> NDArray[np.int64]:
    """For each text the sum of its highest frequencies above 1, as many as the root of D."""
    order = np.lexsort((-sizes, owners))
    sums = np.concatenate(([0], np.cumsum(sizes[order])))
    begins = np.cumsum(num_repeated) - num_repeated
    roots = np.array([math.isqrt(number) for number in num_distinct.tolist()])
    return sums[begins + np.minimum(roots, num_repeated)] - sums[begins]
