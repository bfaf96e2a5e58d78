"""Rounded scores: exact multiples, and nothing else of the model changes."""

import io

import pytest
import sentencepiece

from jgpt2.errors import InputError
from jgpt2.tokenizer import score, train


@pytest.fixture(scope="module")
def model(texts):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in texts for line in text.splitlines() if line]),
        model_writer=made,
        model_type="unigram",
        vocab_size=540,
        minloglevel=2,
        **train.SPEC,
    )
    return made.getvalue()


def test_every_score_becomes_the_nearest_multiple_and_nothing_else_changes(model):
    before = sentencepiece.SentencePieceProcessor(model_proto=model)
    after = sentencepiece.SentencePieceProcessor(model_proto=score.rounded(model))
    exact = [before.get_score(number) for number in range(540)]
    assert sum(value * 64 % 1 != 0 for value in exact) > 100  # there was something to round
    for number, value in enumerate(exact):
        assert after.get_score(number) == round(value * 64) / 64
        assert after.id_to_piece(number) == before.id_to_piece(number)
        assert after.is_byte(number) == before.is_byte(number)
    assert len(score.rounded(model)) == len(model)
    assert score.rounded(score.rounded(model)) == score.rounded(model)


def test_trained_vocabularies_have_such_scores(folders):
    for kind in ("unigram", "bpe"):
        content = (folders[kind] / train.MODEL_FILE).read_bytes()
        assert score.rounded(content) == content


@pytest.mark.parametrize("length", [1, 20, 1000, -1])
def test_a_cut_model_is_refused(model, length):
    with pytest.raises(InputError, match="cut or none"):
        score.rounded(model[:length])
