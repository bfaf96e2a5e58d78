"""Signatures that tell how alike two texts are, without the texts.

Workers make them as they read documents; `duplicates.search` finds from them alone which
documents are near-copies of each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

NGRAM = 5
"""Characters in a shingle."""
NUM_HASHES = 192
NUM_BANDS = 32
NUM_ROWS = NUM_HASHES // NUM_BANDS
"""Entries of a signature in a band."""
THRESHOLD = 0.7
"""The least estimated Jaccard figure of near-copies. Half of it is what 8% changed characters
leave: 0.92^5 = 0.66 of the shingles survive, of 2 - 0.66 in the union: 0.49."""

NONE = 0xFFFFFFFF
"""An entry that no shingle fell into; an empty text has no other."""

_ROUNDS = 8  # after which a text of 100 distinct shingles has 192 exp(-8 * 100 / 192) = 3 holes
_BLOCK = 1 << 15  # characters: the arrays of 8 bytes a character stay in the second-level cache
_PAD = 0x110000  # one above the last code point
_WORD = (1 << 64) - 1
# The odd constants of splitmix64 (Steele, Lea and Flood 2014) and of MurmurHash3's finaliser.
_STEP = 0x9E3779B97F4A7C15
_BASE = 0xC4CEB9FE1A85EC53
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures [len(texts), NUM_HASHES] of the sets of 5-grams of characters.

    White space does not count: shingles are those of `"".join(text.split())`. A text of 1 to 4
    characters is one shingle, an empty one has none. Two signatures are equal in an entry with a
    probability that is the Jaccard figure J of the two sets, so the share of equal entries
    estimates J with a standard deviation of at most sqrt(J (1 - J) / 192): 0.029 at J = 0.8.

    The sketch is that of Dahlgaard, Knudsen and Thorup, "Fast Similarity Sketching" (2017): a
    shingle goes into one entry by its hash, not into all 192, which costs O(shingles) where
    MinHash with a permutation for each entry costs O(192 shingles). What remains empty in a short
    text is filled by further rounds with other hashes. An entry holds the least hash of the first
    round that reached it, so texts with holes and texts without compare like any others.

    >>> a, b, c = signatures(["山路を登りながら", "山路を 登り\\nながら", ""])
    >>> float(jaccard(a, b)), float(jaccard(a, c))
    (1.0, 0.0)
    """
    found = np.full((len(texts), NUM_HASHES), NONE, np.uint32)
    for first, batch in _batches(texts):
        if len(batch[0]) > _BLOCK:
            _sketch_long(batch[0], found[first : first + 1])
        else:
            hashes, counts = _shingles(batch)
            _sketch(hashes, counts, found[first : first + len(batch)])
    return found


def band_keys(signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Keys [n, NUM_BANDS]; documents with a key in common are candidates for near-copies.

    A key stands for the 6 entries of a band and for the band's number. Two documents have at
    least one of 32 keys in common with probability 1 - (1 - J^6)^32: 0.40 at J = 0.5, 0.98 at
    0.7, 0.9999 at 0.8. So a threshold below about 0.65 would miss more than it says.

    Of candidates those count whose estimate reaches THRESHOLD. By the normal law the estimate
    falls below 0.7 with probability 0.0003 at J = 0.8, and reaches it with 1e-8 at J = 0.5.
    """
    entries = signatures.reshape(-1, NUM_BANDS, NUM_ROWS)
    keys = np.tile(np.arange(1, NUM_BANDS + 1, dtype=np.uint64), (len(entries), 1))
    for row in range(NUM_ROWS):
        keys *= np.uint64(_BASE)
        keys += entries[:, :, row]
    return _mixed(keys)


def jaccard(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The estimated Jaccard figure: the share of equal entries along the last axis."""
    return np.mean(a == b, axis=-1)


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the first, texts without white space): about a block together, or one longer."""
    first, batch, room = 0, [], _BLOCK
    for number, text in enumerate(texts):
        text = "".join(text.split())
        if batch and len(text) > room:
            yield first, batch
            first, batch, room = number, [], _BLOCK
        batch.append(text)
        room -= max(len(text), NGRAM)
    if batch:
        yield first, batch


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all shingles, text after text, and how many each text has."""
    lengths = np.array([len(text) for text in texts])
    padded = np.where(lengths > 0, np.maximum(lengths, NGRAM), 0)
    joined = "".join(text.ljust(NGRAM, "\0") if text else "" for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    stops = np.cumsum(padded)
    for number in np.flatnonzero((lengths > 0) & (lengths < NGRAM)):
        codes[stops[number] - NGRAM + lengths[number] : stops[number]] = _PAD
    if not len(codes):
        return codes, padded
    hashes = _window_hashes(codes)
    if len(texts) == 1:
        return hashes, np.array([len(hashes)])
    is_inside = np.ones(len(codes), bool)  # not across the end of a text
    full = stops[padded > 0]
    is_inside[(full[:, None] - np.arange(1, NGRAM)).ravel()] = False
    return hashes[is_inside[: len(hashes)]], np.maximum(padded - NGRAM + 1, 0)


def _window_hashes(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A mixed hash of each window of 5: a polynomial in an odd base, by way of pairs and fours."""
    pairs = codes[:-1] * np.uint64(_BASE)
    pairs += codes[1:]
    fours = pairs[:-2] * np.uint64(_BASE * _BASE & _WORD)
    fours += pairs[2:]
    fives = fours[:-1] * np.uint64(_BASE)
    fives += codes[4:]
    return _mixed(fives)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The words, overwritten by their images under splitmix64's bijection."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words


def _rehashed(hashes: NDArray[np.uint64], number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Other hashes of the same shingles, for the round (or each of the rounds) of this number."""
    return _mixed(hashes + number * np.uint64(_STEP))


def _place(hashes: NDArray[np.uint64], counts: NDArray[np.int64], rows: NDArray) -> None:
    """Runs one round: a hash's upper half chooses the entry, where the least lower half stays."""
    entries = hashes >> np.uint64(32)
    entries *= np.uint64(NUM_HASHES)
    entries >>= np.uint64(32)
    at = entries.view(np.int64)
    at += np.repeat(np.arange(len(counts)) * NUM_HASHES, counts)
    np.minimum.at(rows.reshape(-1), at, hashes.astype(np.uint32))


def _sketch_long(text: str, row: NDArray) -> None:
    """Fills the row [1, NUM_HASHES] of one text in bounded memory."""
    starts = range(0, len(text) - NGRAM + 1, _BLOCK)
    for start in starts:
        _place(*_shingles([text[start : start + _BLOCK + NGRAM - 1]]), row)
    if (row == NONE).any():  # a long text of few different shingles
        distinct = np.empty(0, np.uint64)
        for start in starts:
            hashes, _ = _shingles([text[start : start + _BLOCK + NGRAM - 1]])
            distinct = np.union1d(distinct, hashes)
        _fill(distinct, np.array([len(distinct)]), row, 1)


def _sketch(hashes: NDArray[np.uint64], counts: NDArray[np.int64], rows: NDArray) -> None:
    """Fills the rows of several texts, given their shingles' hashes."""
    _place(hashes, counts, rows)
    _fill_holes(hashes, counts, rows, 1)


def _fill_holes(
    hashes: NDArray[np.uint64], counts: NDArray[np.int64], rows: NDArray, number: int
) -> None:
    """Passes to the round of this number the rows that have holes."""
    has_holes = (rows == NONE).any(axis=1) & (counts > 0)
    if not has_holes.any():
        return
    hashes, counts = hashes[np.repeat(has_holes, counts)], counts[has_holes]
    left = rows[has_holes]
    _fill(hashes, counts, left, number)
    rows[has_holes] = left


def _fill(
    hashes: NDArray[np.uint64], counts: NDArray[np.int64], rows: NDArray, number: int
) -> None:
    """Fills the holes that the rounds below this number left in rows of texts with shingles."""
    if number < _ROUNDS:
        image = np.full_like(rows, NONE)
        _place(_rehashed(hashes, np.array([number], np.uint64)), counts, image)
        np.copyto(rows, image, where=rows == NONE)
        _fill_holes(hashes, counts, rows, number + 1)
        return
    for own, row in zip(np.split(hashes, np.cumsum(counts)[:-1]), rows, strict=True):
        own = np.unique(own)  # few, even if they are many: perhaps one sentence over and over
        holes = np.flatnonzero(row == NONE)
        numbers = (_ROUNDS + holes).astype(np.uint64)  # a hash of its own for each entry
        row[holes] = _rehashed(own, numbers[:, None]).astype(np.uint32).min(axis=1)
