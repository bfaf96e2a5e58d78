import numpy as np
import pytest

from jgpt2.ablation import prediction, statistics
from jgpt2.errors import InputError

SIZES = (25_000, 100_000, 400_000)
VOCABULARIES = np.array([1024, 2048, 4096, 8192, 16_384])
TARGETS = {"small": 85_000_000, "near": 200_000}
SLOPE, AT_SMALLEST = 0.25, 11.0


def best(parameters):
    """The planted law: log2 V* grows by SLOPE for every doubling of the body."""
    return AT_SMALLEST + SLOPE * np.log2(parameters / SIZES[0])


def bits(parameters):
    return 2.0 + 0.01 * (np.log2(VOCABULARIES) - best(parameters)) ** 2


def study(noise, number=0, seeds=3, documents=80):
    rng = np.random.default_rng(number)
    num_bytes = rng.integers(500, 4000, documents)
    curves, scores = [], []
    for size in SIZES:
        own = []
        for level in bits(size):
            of_seed = rng.normal(0, noise, (seeds, 1))
            own.append(statistics.Scores((level + of_seed) * num_bytes[None], num_bytes))
        measured = np.array([one.bits_per_byte for one in own])
        curves.append(prediction.Curve(str(size), size, VOCABULARIES, measured))
        scores.append(own)
    return curves, scores


def predicted(noise, number=0, **given):
    curves, scores = study(noise, number, **given)
    return prediction.record(curves, scores, targets=TARGETS, level=0.95)


def test_a_planted_law_is_found():
    found = predicted(0.0)
    assert found["reason"] is None
    for body, size in zip(found["bodies"], SIZES, strict=True):
        assert np.log2(body["vocab_size"]) == pytest.approx(best(size))
        assert body["is_inside"] and body["rms"] < 1e-9
    for name, parameters in TARGETS.items():
        target = found["targets"][name]
        assert np.log2(target["vocab_size"]) == pytest.approx(best(parameters))
        assert np.log2([target["low"], target["high"]]) == pytest.approx(best(parameters))


def test_the_interval_covers_the_planted_law():
    covered = 0
    for number in range(100):
        target = predicted(0.002, number)["targets"]["near"]
        covered += np.log2(target["low"]) <= best(TARGETS["near"]) <= np.log2(target["high"])
    assert covered >= 85  # three seeds tell their variance roughly, so not all of 95


def test_extrapolation_is_labelled():
    targets = predicted(0.0)["targets"]
    assert targets["small"]["is_extrapolated"] and targets["small"]["factor"] == 85e6 / 400e3
    assert not targets["near"]["is_extrapolated"]
    assert targets["small"]["published"] == (7_000, 9_000)
    assert targets["near"]["published"] is None


def test_the_order_of_the_arms_does_not_matter():
    curves, _ = study(0.002)
    turned = [
        prediction.Curve(
            one.body, one.body_parameters, one.vocab_sizes[::-1], one.bits_per_byte[::-1]
        )
        for one in curves
    ]
    for one, other in zip(curves, turned, strict=True):
        assert prediction.fit(one).log2_vocab == pytest.approx(prediction.fit(other).log2_vocab)


def test_a_hill_has_no_best_vocabulary():
    curves, scores = study(0.0)
    hill = prediction.Curve("hill", SIZES[1], VOCABULARIES, 4 - curves[1].bits_per_byte)
    assert prediction.fit(hill).log2_vocab is None
    found = prediction.record([curves[0], hill, curves[2]], scores, targets=TARGETS, level=0.95)
    assert found["targets"] == {} and found["reason"] == {"lacks": "valley", "body": "hill"}


def test_a_lowest_point_outside_is_said():
    size = SIZES[0]
    right = VOCABULARIES >= 4096
    curve = prediction.Curve("x", size, VOCABULARIES[right], bits(size)[right])
    assert not prediction.fit(curve).is_inside


def test_noise_that_hides_the_valleys_gives_no_interval():
    for target in predicted(0.2)["targets"].values():
        assert target["low"] is None and target["answered_share"] < 0.9


def test_one_seed_gives_no_interval():
    for target in predicted(0.0, seeds=1)["targets"].values():
        assert target["low"] is None and target["answered_share"] == 0


def test_too_little_is_said_and_not_guessed():
    curves, scores = study(0.0)
    two = prediction.record(curves[:2], scores[:2], targets=TARGETS, level=0.95)
    assert two["reason"] == {"lacks": "bodies", "found": 2} and two["targets"] == {}
    short = prediction.Curve("x", 9, VOCABULARIES[:2], bits(9)[:2])
    with pytest.raises(InputError, match="the body x has 2 vocabularies"):
        prediction.fit(short)
    found = prediction.record([*curves[:2], short], scores, targets=TARGETS, level=0.95)
    assert found["reason"] == {"lacks": "vocabularies", "body": "x", "found": 2}
