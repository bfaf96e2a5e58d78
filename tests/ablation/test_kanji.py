import numpy as np
import pytest

from jgpt2.ablation import kanji, measures
from tests.ablation.conftest import Pieces, context_free, documents


def test_rare_kanji_are_those_of_the_evaluated_text_that_training_seldom_saw():
    training = iter(["山山川", "川の山", "空"])
    evaluated = ["山の空へ", "海と川、カナと𠮷"]
    assert kanji.rare_kanji(training, evaluated, common=2) == frozenset("空海𠮷")
    assert kanji.rare_kanji(["山川"], ["山川"], common=1) == {"川"}  # 山 U+5C71 is before 川 U+5DDD
    assert kanji.rare_kanji([], ["山"]) == {"山"}
    assert kanji.rare_kanji(["山"], ["カナ"]) == frozenset()


def test_a_planted_model_recalls_the_kanji_that_it_expects():
    chances = {"鰯": 0.6, "鱈": 0.3, "": 0.1}
    tokenizer = Pieces(tuple(piece.encode() for piece in chances))
    found = measures.measure(
        context_free(tokenizer, list(chances.values())),
        documents(["鰯鱈鰯", "鱈鰯"]),
        dataset="",
        split="test",
        equal_bytes=999,
        rare=frozenset("鰯鱈"),
        sentences=[],
        seed=0,
    )["rare_kanji"]
    assert (found["num_occurrences"], found["num_recalled"]) == (5, 3)
    assert found["bits"] == pytest.approx(-3 * np.log2(0.6) - 2 * np.log2(0.3), rel=1e-6)


@pytest.mark.parametrize(
    ("lengths", "chances", "num_recalled"),
    [
        ([3, 3, 3], [0.1, 0.6, 0.1], 1),
        ([3, 1, 1, 1, 3], [0.1, 0.8, 0.8, 0.8, 0.1], 1),  # 0.512
        ([3, 1, 1, 1, 3], [0.9, 0.7, 0.8, 0.8, 0.9], 0),  # 0.448
        ([6, 3], [0.6, 0.1], 1),
        ([3, 6], [0.9, 0.4], 0),
        ([4, 2, 3], [0.7, 0.8, 0.1], 1),  # a token that ends inside it: both hold a part
        ([4, 2, 3], [0.6, 0.8, 0.9], 0),
    ],
)
def test_all_tokens_that_hold_a_byte_of_a_kanji_decide(lengths, chances, num_recalled):
    found = kanji.recall(
        ["の鰯は"], [np.array(lengths)], [-np.log2(np.array(chances))], frozenset("鰯")
    )
    assert (found["num_occurrences"], found["num_recalled"]) == (1, num_recalled)


def test_its_bits_are_those_of_its_bytes():
    found = kanji.recall(
        ["の鰯は"], [np.array([4, 2, 3])], [np.array([8.0, 3.0, 5.0])], frozenset("鰯")
    )
    assert found["bits"] == 8 / 4 + 3


def test_of_a_text_that_is_not_restored_nothing_is_recalled():
    found = kanji.recall(["鰯"], [np.array([0])], [np.array([0.1])], frozenset("鰯"))
    assert found == {"num_occurrences": 1, "num_recalled": 0, "bits": pytest.approx(0.1)}


def test_no_rare_kanji_and_no_text_give_zeros():
    nothing = {"num_occurrences": 0, "num_recalled": 0, "bits": 0}
    empty = np.zeros(0)
    assert kanji.recall([""], [empty.astype(int)], [empty], frozenset("鰯")) == nothing
    assert kanji.recall(["鰯"], [np.array([3])], [np.ones(1)], frozenset()) == nothing
