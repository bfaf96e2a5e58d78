"""What is measured of every document before anything is decided; `filters` holds the thresholds.

Scores are counts or one division of counts, so they do not depend on the machine. A document of
any length costs bounded time: beyond SAMPLE_CHARS only its letters are counted to the end, and all
else is measured on windows of it.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from jgpt2.corpus.quality import letters, repetition, sentences, words

SAMPLE_CHARS = 1 << 17
"""Documents up to this length are measured whole, nearly every novel among them."""

_BATCH_CHARS = 1 << 15  # measured together: more would not fit a second-level cache
_NUM_WINDOWS = 8
_BLOCK_BYTES = 2048
_MAX_BLOCKS = 4


def score(text: str, *, link_share: float = 0.0) -> dict[str, float]:
    """The scores of one document; `score_all` is several times as fast for short ones.

    >>> scores = score("吾輩は猫である。名前はまだ無い。")
    >>> scores["letters"], scores["hiragana_share"], scores["mean_sentence_chars"]
    (16.0, 0.5, 8.0)
    """
    return score_all([text], [link_share])[0]


def score_all(texts: Sequence[str], link_shares: Sequence[float]) -> list[dict[str, float]]:
    """The scores of each document, finite, in the order of NAMES.

    - `letters`: characters but white space; `japanese_letters`: kana, kanji and 、，。．！？ among
      them; `japanese_share`: of the letters; `hiragana_share`, `katakana_share`: of the Japanese
      letters.
    - sentences and lines: see `sentences.measure`; n-grams: see `repetition.measure`; rates of
      words: see `words.measure`.
    - `longest_run`: the most often one character stands in a row.
    - `deflate_ratio`: see `deflate_ratio`.
    - `link_share`: the share of characters inside links, as the extractor gave it.

    Lines, n-grams, runs and words are those of `sample(text)`. A document's scores do not depend
    on those beside it.
    """
    found: list[dict[str, float]] = []
    for batch in batches(texts):
        found += _score_batch(texts[batch], link_shares[batch])
    return found


def batches(texts: Sequence[str]) -> Iterator[slice]:
    """Which texts are measured together: _BATCH_CHARS, or one that is longer."""
    first = num_chars = 0
    for number, text in enumerate(texts):
        if number > first and num_chars + len(text) >= _BATCH_CHARS:
            yield slice(first, number)
            first, num_chars = number, 0
        num_chars += len(text) + 1
    if texts:
        yield slice(first, len(texts))


def _score_batch(texts: Sequence[str], link_shares: Sequence[float]) -> list[dict[str, float]]:
    parts = [sample(text) for text in texts]
    joined = letters.join(parts)
    tally = letters.tallies(joined)
    rates = words.measure(joined, tally.all)
    for number, (text, part) in enumerate(zip(texts, parts, strict=True)):
        if part is not text:
            for counts, count in zip(tally, letters.tally(text), strict=True):
                counts[number] = count
    lines = [sentences.measure(part) for part in parts]
    columns = {
        "letters": tally.all,
        "japanese_letters": tally.japanese,
        "japanese_share": tally.japanese / np.maximum(tally.all, 1),
        "hiragana_share": tally.hiragana / np.maximum(tally.japanese, 1),
        "katakana_share": tally.katakana / np.maximum(tally.japanese, 1),
        **{name: [measured[name] for measured in lines] for name in lines[0]},
        "longest_run": letters.longest_runs(joined),
        **repetition.measure(joined),
        "deflate_ratio": [deflate_ratio(part) for part in parts],
        **rates,
        "link_share": link_shares,
    }
    rows = np.array(list(columns.values()), np.float64).T.tolist()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def sample(text: str) -> str:
    """The text itself, or of a longer one eight windows of SAMPLE_CHARS / 8, joined by line feeds.

    They lie evenly: the first begins with the text, the last ends with it.
    """
    if len(text) <= SAMPLE_CHARS:
        return text
    size = SAMPLE_CHARS // _NUM_WINDOWS
    room = len(text) - size
    starts = [room * window // (_NUM_WINDOWS - 1) for window in range(_NUM_WINDOWS)]
    return "\n".join(text[start : start + size] for start in starts)


def deflate_ratio(text: str) -> float:
    """Compressed size over size of the text in UTF-8, for blocks of 2,048 bytes; empty: 0.

    The ratio falls with length, so that of whole documents says how long they are. As many blocks
    as the text holds, but at most four, lie evenly over it: the first begins with the text, the
    last ends with it. Each is compressed alone by zlib's level 6, and the sizes are added up.
    A text shorter than a block is one block, and its ratio is higher: Japanese prose has about 0.49
    in 2,048 bytes, 0.54 in 1,024, 0.60 in 600 and 0.70 in 300 (ours: measured on 150 works).
    Other makes of zlib differ in the third digit.
    """
    data = text.encode("utf-8", "surrogatepass")
    num_blocks = min(max(len(data) // _BLOCK_BYTES, 1), _MAX_BLOCKS)
    room = max(len(data) - _BLOCK_BYTES, 0)
    starts = [room * block // max(num_blocks - 1, 1) for block in range(num_blocks)]
    blocks = [data[start : start + _BLOCK_BYTES] for start in starts]
    num_compressed = sum(len(zlib.compress(block, 6)) for block in blocks)
    return num_compressed / sum(map(len, blocks)) if data else 0.0


NAMES: tuple[str, ...] = tuple(score(""))
"""Every score, in the order in which `score` gives them."""
