"""Estimates beside the exact sum over all segmentations, written out by other code."""

import math
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from jgpt2.ablation import scoring, segmentation
from jgpt2.evaluate import bits
from tests.ablation.conftest import BYTE, Pieces, context_free, documents, opened

TEXT = "猫の雨を見た"


def all_ways(data, pieces):
    """Every id sequence that spells the data, by recursion."""
    if not data:
        return [()]
    return [
        (i, *rest)
        for i, piece in enumerate(pieces)
        if piece and data.startswith(piece)
        for rest in all_ways(data[len(piece) :], pieces)
    ]


def exact_bits(model, text):
    """-log2 of the sum of the probabilities of all ways to spell the text, EOT after each."""
    ways = all_ways(text.encode(), model.tokenizer.pieces)
    rows = [bits.Scorable("", "", np.array(ids), 0, 0) for ids in ways]
    scored = scoring.token_bits(model, rows, context=model.shape.context)
    return -math.log2(math.fsum(2.0 ** -of_tokens.sum() for of_tokens in scored))


@pytest.fixture(scope="module")
def flat(unigram):
    """A model to which a way to cut a text is about as likely as any other."""
    weights = [10.0 ** -len(piece.decode(errors="replace")) for piece in unigram.pieces]
    chances = np.where(unigram.is_byte, 1e-4, np.array(weights))
    return context_free(unigram, chances / chances.sum())


def test_ways_are_drawn_with_the_probability_that_they_name(unigram):
    pieces = segmentation.weighted_pieces(unigram)
    weight = {i: weight for known in pieces.values() for i, weight in known}
    ways = all_ways(TEXT.encode(), unigram.pieces)
    assert len(ways) > 100
    weights = np.exp([sum(weight[i] for i in ids) for ids in ways])
    q = dict(zip(ways, weights / weights.sum(), strict=True))
    drawn = segmentation.draw(TEXT.encode(), pieces, 20_000, np.random.default_rng(0))
    for way in set(drawn):
        assert 2**way.log2_q == pytest.approx(q[way.ids], rel=1e-9)
    found = Counter(way.ids for way in drawn)
    for ids, chance in q.items():
        assert found[ids] / 20_000 == pytest.approx(chance, abs=5 * math.sqrt(chance / 20_000))
    assert len(found) > 10


def test_draws_are_those_of_sentencepiece(unigram):
    """Where byte pieces have no weight, its own sampler cuts the text as often in each way."""
    pieces = {
        piece: known
        for piece, ids in segmentation.weighted_pieces(unigram).items()
        if (known := [one for one in ids if not unigram.is_byte[one[0]]])
    }
    drawn = segmentation.draw(TEXT.encode(), pieces, 10_000, np.random.default_rng(0))
    own = Counter(way.ids for way in drawn)
    sentencepiece.set_random_generator_seed(1)
    settings = {"enable_sampling": True, "nbest_size": -1, "alpha": segmentation.SHARPNESS}
    theirs = Counter(tuple(unigram.processor.encode(TEXT, **settings)) for _ in range(10_000))
    assert len(own) > 5
    for ids in {*own, *theirs}:
        assert own[ids] / 10_000 == pytest.approx(theirs[ids] / 10_000, abs=0.03)


@pytest.mark.parametrize("name", ["flat", "random"])
def test_the_estimate_converges_to_the_sum_over_all_segmentations(name, flat, unigram):
    model = flat if name == "flat" else opened(unigram)
    exact = exact_bits(model, TEXT)
    found = segmentation.measure(model, [TEXT], seed=1, num_samples=20_000)
    assert found["bits_estimated"] == pytest.approx(exact, abs=0.01)
    if name == "flat":
        assert found["bits_one_segmentation"] > exact + 2


def test_the_estimate_is_never_above_one_segmentation_and_saves_no_more_than_there_is(flat):
    exact = exact_bits(flat, TEXT)
    found = [segmentation.measure(flat, [TEXT], seed=seed, num_samples=4) for seed in range(100)]
    estimated = np.array([one["bits_estimated"] for one in found])
    assert (estimated <= found[0]["bits_one_segmentation"]).all()
    assert len(set(estimated)) > 1
    # Above the exact bits on average (Jensen), by more than chance can hide.
    assert estimated.mean() > exact - 2 * estimated.std() / math.sqrt(len(estimated))
    # The probability itself is estimated without bias.
    chances = 2.0**-estimated
    error = chances.std() / math.sqrt(len(chances))
    assert chances.mean() == pytest.approx(2.0**-exact, abs=4 * error)


def test_a_measure_adds_up_sentences(flat):
    texts = [TEXT, "▁猫🐈"]
    both = segmentation.measure(flat, texts, seed=1)
    assert both["num_sentences"] == 2
    assert both["num_bytes"] == sum(len(text.encode()) for text in texts)
    assert both["num_samples"] == segmentation.NUM_SAMPLES
    one = [segmentation.measure(flat, [text], seed=1) for text in texts]
    assert both["bits_one_segmentation"] == pytest.approx(
        sum(part["bits_one_segmentation"] for part in one), rel=1e-6
    )
    assert segmentation.measure(flat, texts, seed=1) == both
    assert segmentation.measure(flat, texts, seed=2) != both


def test_what_has_one_segmentation_or_no_probabilities_is_not_estimated(flat):
    assert segmentation.measure(opened(BYTE), [TEXT], seed=0) is None
    bpe = Pieces(("猫".encode(), b""), kind="bpe")
    assert segmentation.measure(opened(bpe), ["猫"], seed=0) is None
    assert segmentation.measure(flat, [], seed=0) is None


def test_draws_that_are_all_the_tokenizers_own_leave_its_bits():
    assert segmentation.estimated_bits(12.5, np.zeros(0), 8) == 12.5
    # p = 1/4 of its own, and one of two draws with p/q = 1/2: 1/4 + 1/4.
    assert segmentation.estimated_bits(2.0, np.array([1.0]), 2) == pytest.approx(1.0)


def test_sentences_are_chosen_by_the_seed_alone():
    read = documents(["朝。昼！？\n夜が来た。とても長い夜であった。", "朝。　\n\n雨"])
    chosen = segmentation.sentences(read, count=10, longest_chars=6, seed=0)
    assert sorted(chosen) == sorted(["朝。", "昼！？", "夜が来た。", "雨"])
    assert segmentation.sentences(read[::-1], count=10, longest_chars=6, seed=0) == chosen
    assert segmentation.sentences(read, count=2, longest_chars=6, seed=0) == chosen[:2]
    orders = {
        tuple(segmentation.sentences(read, count=4, longest_chars=6, seed=s)) for s in range(9)
    }
    assert len(orders) > 1
