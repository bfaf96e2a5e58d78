"""Signatures: what they depend on, how well they estimate, and the bits themselves."""

import hashlib
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jgpt2.corpus.duplicates import minhash

MASK = (1 << 64) - 1
SENTENCES = [
    "山路を登りながら、こう考えた。",
    "智に働けば角が立つ。",
    "情に棹させば流される。意地を通せば窮屈だ。",
]
GOLDEN = "d995508024ef5a9fd1c3b945acf4cb4395ebd18e894231e654eef91afb0e04e3"
GOLDEN_KEYS = "ab27c3677e6488722193f1ebcb8db4e0ee428fb3ff0424aea54a878dadf62a61"
ANY_TEXT = st.text(st.characters(), max_size=60)  # surrogates, NULs and white space among them


def mixed(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def defined(text: str) -> list[int]:
    """The signature by its definition, a shingle and a round at a time."""
    codes = [ord(character) for character in "".join(text.split())]
    if 0 < len(codes) < 5:
        codes += [0x110000] * (5 - len(codes))
    shingles = {tuple(codes[at : at + 5]) for at in range(len(codes) - 4)}
    hashes = set()
    for shingle in shingles:
        word = 0
        for code in shingle:
            word = (word * 0xC4CEB9FE1A85EC53 + code) & MASK
        hashes.add(mixed(word))
    row = [minhash.NONE] * minhash.NUM_HASHES
    for number in range(8):
        holes = {entry for entry, value in enumerate(row) if value == minhash.NONE}
        for first in hashes:
            word = mixed((first + number * 0x9E3779B97F4A7C15) & MASK) if number else first
            entry = (word >> 32) * minhash.NUM_HASHES >> 32
            if entry in holes:
                row[entry] = min(row[entry], word & 0xFFFFFFFF)
    for entry, value in enumerate(row):
        if value == minhash.NONE and hashes:
            step = (8 + entry) * 0x9E3779B97F4A7C15
            row[entry] = min(mixed((first + step) & MASK) & 0xFFFFFFFF for first in hashes)
    return row


def written(length: int, seed: int) -> str:
    """Characters drawn from 2,000 kanji."""
    draw = random.Random(seed)
    return "".join(chr(0x4E00 + draw.randrange(2000)) for _ in range(length))


def shingles(text: str) -> set[str]:
    return {text[at : at + 5] for at in range(len(text) - 4)}


def test_the_signature_of_some_sentences_is_always_this_one() -> None:
    found = minhash.signatures(SENTENCES)
    assert found.dtype == np.uint32
    assert found.shape == (3, minhash.NUM_HASHES)
    content = found.astype("<u4").tobytes()
    assert hashlib.sha256(content).hexdigest() == GOLDEN
    keys = minhash.band_keys(found).astype("<u8").tobytes()
    assert hashlib.sha256(keys).hexdigest() == GOLDEN_KEYS


@settings(deadline=None)
@given(st.lists(ANY_TEXT, max_size=5))
def test_signatures_are_as_defined(texts: list[str]) -> None:
    found = minhash.signatures(texts)
    assert found.tolist() == [defined(text) for text in texts]


def test_a_text_longer_than_a_block_is_as_defined() -> None:
    for length in (32768, 32769, 32772, 32773, 40000):
        text = written(length, seed=length)
        assert minhash.signatures([text])[0].tolist() == defined(text), length


def test_a_long_text_of_few_shingles_is_as_defined() -> None:
    for text in ("あ" * 70_000, "いろはにほへと" * 10_000, "いろはにほへと" * 500):
        assert minhash.signatures([text])[0].tolist() == defined(text)


def test_a_text_has_the_same_signature_in_any_company() -> None:
    texts = [written(length, seed=length) for length in (0, 3, 5, 40, 300, 3000, 33_000, 0, 700)]
    alone = np.concatenate([minhash.signatures([text]) for text in texts])
    assert np.array_equal(minhash.signatures(texts), alone)
    assert np.array_equal(minhash.signatures(texts[::-1]), alone[::-1])
    many = [written(100, seed=seed) for seed in range(700)]
    assert np.array_equal(
        minhash.signatures(many),
        np.concatenate([minhash.signatures([text]) for text in many]),
    )


def test_only_the_set_of_shingles_counts() -> None:
    text = written(300, seed=1)
    once, twice, spaced = minhash.signatures([text * 2, text * 3, "\u3000\n".join(text * 2)])
    assert np.array_equal(once, twice)
    assert np.array_equal(once, spaced)


def test_texts_shorter_than_a_shingle_differ_from_each_other() -> None:
    texts = [
        "",
        "山",
        "山路",
        "山路を",
        "山路を登",
        "山路を登\0",
        "山\0",
        "山\0\0\0\0",
        "\0",
        "\ud800",
    ]
    found = minhash.signatures(texts)
    assert (found[0] == minhash.NONE).all()
    assert not (found[1:] == minhash.NONE).any()
    for first in range(len(texts)):
        for second in range(first):
            assert minhash.jaccard(found[first], found[second]) == 0.0


def test_no_texts_give_no_rows() -> None:
    assert minhash.signatures([]).shape == (0, minhash.NUM_HASHES)
    assert minhash.band_keys(minhash.signatures([])).shape == (0, minhash.NUM_BANDS)


def test_the_estimate_is_right_on_average_and_as_close_as_stated() -> None:
    for length in (12, 40, 150, 600, 2500):
        errors, deviations = [], []
        for seed in range(150):
            text = written(length, seed=seed)
            kept = length * (seed % 10 + 1) // 11
            other = text[:kept] + written(length - kept, seed=seed + 1000)
            a, b = shingles(text), shingles(other)
            exact = len(a & b) / len(a | b)
            left, right = minhash.signatures([text, other])
            errors.append(float(minhash.jaccard(left, right)) - exact)
            deviations.append((exact * (1 - exact) / minhash.NUM_HASHES) ** 0.5)
        assert max(np.abs(errors)) < 5 * max(deviations), length
        assert abs(np.mean(errors)) < 4 * np.mean(deviations) / 150**0.5, length
        # At most the deviation of independent entries, but for the error of 150 samples.
        assert np.std(errors) < 1.2 * np.mean(deviations), length


def test_entries_of_unlike_texts_never_agree() -> None:
    found = minhash.signatures([written(2000, seed=seed) for seed in range(50)])
    agreeing = sum((found[i] == found[:i]).sum() for i in range(50))
    assert agreeing <= 2  # chance: 50 * 49 / 2 pairs * 192 entries, with least values near 2^32/10


def test_a_key_stands_for_one_band_and_its_number() -> None:
    rows = np.zeros((2, minhash.NUM_HASHES), np.uint32)
    rows[1, 7] = 1  # in the second band of six
    keys = minhash.band_keys(rows)
    assert keys.dtype == np.uint64
    assert np.flatnonzero(keys[0] != keys[1]).tolist() == [1]
    assert len(set(keys.ravel().tolist())) == minhash.NUM_BANDS + 1


def test_near_copies_share_a_key_as_often_as_stated() -> None:
    def shared(jaccard: float) -> float:
        return 1 - (1 - jaccard**minhash.NUM_ROWS) ** minhash.NUM_BANDS

    assert [round(shared(jaccard), 4) for jaccard in (0.5, 0.7, 0.8)] == [0.3959, 0.9818, 0.9999]
    hits = 0
    for seed in range(200):
        text = written(900, seed=seed)
        other = text[:741] + written(159, seed=seed + 1000)  # 737 of 1,055 shingles: J = 0.70
        left, right = minhash.band_keys(minhash.signatures([text, other]))
        hits += bool((left == right).any())
    assert 190 <= hits <= 200
