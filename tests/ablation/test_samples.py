import time

import numpy as np
import pytest

from jgpt2.ablation import samples
from tests.ablation.conftest import BYTE, SHAPE, Pieces, context_free, opened


def of_bytes(chances, eot):
    """A byte model that writes these bytes, whatever came before."""
    probabilities = np.full(257, 1e-30)
    for value, chance in chances.items():
        probabilities[value] = chance
    probabilities[256] = max(eot, 1e-30)
    return context_free(BYTE, probabilities)


def test_whole_characters_are_valid_and_halves_are_not():
    whole = samples.draw(of_bytes({ord("a"): 1}, 0), seed=0)
    assert whole == samples.Validity(16 * 32, 16 * 32, 16 * 32)
    assert whole.valid_share == 1
    assert samples.draw(of_bytes({0x80: 1}, 0), seed=0).valid_share == 0
    # One first byte after another: the last may have been cut, the others are wrong.
    assert samples.draw(of_bytes({0xE3: 1}, 0), seed=0) == samples.Validity(16 * 31, 0, 0)
    mixed = samples.draw(of_bytes({ord("a"): 0.5, 0xFF: 0.5}, 0), seed=0)
    assert 0.4 < mixed.valid_share < 0.6


def test_a_model_that_writes_nothing_has_no_share():
    assert samples.draw(of_bytes({}, 1), seed=0).valid_share is None


def test_samples_are_decided_by_their_seed():
    model = opened(BYTE)
    assert samples.draw(model, seed=5) == samples.draw(model, seed=5)
    assert samples.draw(model, seed=5) != samples.draw(model, seed=6)


def test_speed_is_of_full_length_and_in_characters():
    model = context_free(Pieces(("雨雪".encode(), b"")), [0.5, 0.5])
    chars = samples.NUM_SAMPLES * SHAPE.context * 2
    samples.draw(model, seed=0)
    start = time.perf_counter()
    rate = samples.chars_per_second(model, seed=0)
    whole_s = time.perf_counter() - start
    assert whole_s / 10 < chars / rate <= whole_s


@pytest.mark.parametrize(
    ("data", "is_cut", "expected"),
    [
        ("雨a".encode(), False, (4, 4, 2)),
        ("🐈".encode()[:3], True, (0, 0, 0)),
        ("🐈".encode()[:3], False, (3, 0, 0)),
        (b"\xe3\xe3" + "雨".encode(), True, (5, 3, 1)),
        (b"\xed\xa0\x80", False, (3, 0, 0)),  # a surrogate is no UTF-8
        (b"", False, (0, 0, 0)),
    ],
)
def test_validity(data, is_cut, expected):
    assert samples.validity([(data, is_cut)]) == samples.Validity(*expected)
