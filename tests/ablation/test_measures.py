"""The instrument before the measurement: closed forms, and laws that hold for any vocabulary."""

import dataclasses
import json
import math

import numpy as np
import pytest

from jgpt2 import inference
from jgpt2.ablation import measures
from jgpt2.corpus import records
from jgpt2.errors import InputError
from jgpt2.tokenizer import measure as tokenizer_measure
from tests.ablation.conftest import BYTE, LINES, SHAPE, Pieces, context_free, documents, opened

DOCUMENTS = documents([*LINES, "", "".join(LINES), "日本 GPT-2 🐈！"])
SETTINGS = {"dataset": "da7a", "split": "test", "equal_bytes": 24, "seed": 3}


def measured(model, read=DOCUMENTS, *, rare=frozenset("駅🐈"), sentences=(), **changes):
    return measures.measure(model, read, rare=rare, sentences=sentences, **{**SETTINGS, **changes})


def total(record, name="bits"):
    return math.fsum(record["documents"][name])


@pytest.fixture(scope="module")
def byte_model():
    return opened(BYTE)


@pytest.fixture(scope="module")
def byte_record(byte_model):
    return measured(byte_model)


@pytest.fixture(scope="module")
def unigram_record(unigram):
    return measured(opened(unigram), sentences=["猫の雨を見ていた。"])


@pytest.mark.parametrize("kind", ["byte", "unigram"])
def test_a_uniform_model_gives_log2_of_the_vocabulary_over_bytes_per_token(kind, unigram):
    tokenizer = {"byte": BYTE, "unigram": unigram}[kind]
    size = tokenizer.vocab_size
    found = measured(context_free(tokenizer, np.full(size, 1 / size)))
    num_bytes, num_tokens = found["evaluated"]["num_bytes"], total(found, "num_tokens")
    eot_bits = total(found, "eot_bits")
    assert num_tokens == sum(len(tokenizer.encode(one.text)) for one in DOCUMENTS)
    assert found["tokens"]["bytes_per_token"] == num_bytes / num_tokens
    for name in ("bits", "bits_equal_bytes"):
        assert (total(found, name) - eot_bits) / num_bytes == pytest.approx(
            math.log2(size) / found["tokens"]["bytes_per_token"], rel=1e-6
        )
    assert eot_bits == pytest.approx(math.log2(size) * len(DOCUMENTS), rel=1e-6)
    for row in found["by_position"][:2]:
        share = row["num_bytes"] / num_bytes
        if kind == "byte":
            assert row["bits"] == pytest.approx(share * (total(found) - eot_bits), rel=1e-6)


def test_a_vocabulary_of_other_numbers_for_the_bytes_changes_nothing(byte_model, byte_record):
    order = np.random.default_rng(1).permutation(257)  # byte b has the id order[b]
    pieces = [b""] * 257
    for value in range(256):
        pieces[order[value]] = bytes([value])
    renamed = Pieces(tuple(pieces), kind="byte")
    tokens = np.array(byte_model.params["tokens"])
    tokens[order] = tokens[:257].copy()
    found = measured(opened(renamed, {**byte_model.params, "tokens": tokens}))
    assert not np.array_equal(renamed.encode(LINES[0]), BYTE.encode(LINES[0]))
    for name in ("num_bytes", "num_tokens"):
        assert found["documents"][name] == byte_record["documents"][name]
    for name in ("bits", "eot_bits", "bits_equal_bytes"):
        np.testing.assert_allclose(
            found["documents"][name], byte_record["documents"][name], rtol=1e-6
        )
    for script, row in byte_record["by_script"].items():
        assert found["by_script"][script]["bits"] == pytest.approx(row["bits"], rel=1e-6)
    for row, other in zip(byte_record["by_position"], found["by_position"], strict=True):
        assert other["bits"] == pytest.approx(row["bits"], rel=1e-6)


@pytest.mark.parametrize("longest", [1, 2])
def test_characters_and_pairs_of_them_around_one_byte_model_cost_the_same_bits(longest):
    """Each piece has the product of its bytes' probabilities, so the models are one distribution.

    Byte sequences that no text uses keep their probability in an id of their own.
    """
    of_byte = np.random.default_rng(2).dirichlet(np.ones(256)) * 0.9
    by_bytes = measured(context_free(BYTE, [*of_byte, 0.1]))
    singles = sorted({char for one in DOCUMENTS for char in one.text})
    pairs = [a + b for a in singles for b in singles] if longest == 2 else []
    written = [text.encode() for text in [*singles, *pairs]]
    chances = [math.prod(of_byte[value] for value in piece) for piece in written]
    rest = 0.9 - math.fsum(chances)
    assert rest > 0
    tokenizer = Pieces((*written, b"\xff", b""))
    found = measured(context_free(tokenizer, [*chances, rest, 0.1]))
    assert total(found, "num_tokens") < total(by_bytes, "num_tokens") / (2 * longest)
    for name in ("bits", "bits_equal_bytes"):
        assert total(found, name) / found["evaluated"]["num_bytes"] == pytest.approx(
            total(by_bytes, name) / by_bytes["evaluated"]["num_bytes"], abs=1e-6
        )
    assert found["evaluated"] == by_bytes["evaluated"]
    if longest == 1:  # pieces of one character keep the scripts apart
        for script, row in by_bytes["by_script"].items():
            assert found["by_script"][script]["bits"] == pytest.approx(row["bits"], rel=1e-5)


def test_documents_cost_what_an_evaluation_says(byte_model, byte_record):
    answer = inference.evaluate(byte_model, DOCUMENTS, evaluated="test", with_documents=True)
    columns = byte_record["documents"]
    for name in ("id", "source", "num_bytes", "num_chars", "num_tokens", "bits", "eot_bits"):
        assert columns[name] == [row[name] for row in answer["documents"]]
    assert byte_record["stride"] == answer["stride"] == 16


@pytest.mark.parametrize("kind", ["byte", "unigram"])
def test_scripts_and_positions_add_up_to_all_bits(kind, byte_record, unigram_record):
    found = {"byte": byte_record, "unigram": unigram_record}[kind]
    by_script, evaluated = found["by_script"], found["evaluated"]
    assert math.fsum(row["bits"] for row in by_script.values()) == pytest.approx(
        total(found), rel=1e-12
    )
    assert sum(row["num_bytes"] for row in by_script.values()) == evaluated["num_bytes"]
    assert sum(row["num_chars"] for row in by_script.values()) == evaluated["num_chars"]
    assert by_script["eot"]["bits"] == pytest.approx(total(found, "eot_bits"), rel=1e-12)
    assert math.fsum(row["bits"] for row in found["by_position"]) == pytest.approx(
        total(found) - total(found, "eot_bits"), rel=1e-12
    )
    assert sum(row["num_bytes"] for row in found["by_position"]) == evaluated["num_bytes"]
    assert [row["num_bytes"] > 0 for row in found["by_position"]] == [True] * 2 + [False] * 4


def test_the_equal_context_is_counted_in_bytes(byte_record, unigram_record):
    assert (byte_record["equal_bytes_context"], byte_record["equal_bytes_stride"]) == (24, 12)
    tokens = round(24 / unigram_record["tokens"]["bytes_per_token"])
    assert 2 < tokens < 24
    assert unigram_record["equal_bytes_context"] == tokens
    for found in (byte_record, unigram_record):
        long, short = 6, 7
        columns = found["documents"]
        assert columns["num_tokens"][long] > 2 * SHAPE.context
        assert columns["bits"][long] != pytest.approx(columns["bits_equal_bytes"][long], rel=1e-4)
        assert columns["bits"][short] == pytest.approx(columns["bits_equal_bytes"][short], rel=0.5)


def test_the_equal_context_stays_within_the_models():
    one = tokenizer_measure.Count(num_bytes=300, num_characters=100, num_tokens=75)
    assert measures.equal_bytes_context(100, one, 1024) == 25
    assert measures.equal_bytes_context(100, one, 16) == 16
    assert measures.equal_bytes_context(3, one, 1024) == 2


def test_a_context_that_is_equal_already_is_scored_once(byte_model):
    seen = []
    found = measured(
        byte_model, equal_bytes=SHAPE.context, report=lambda done, windows: seen.append(done)
    )
    assert found["documents"]["bits_equal_bytes"] == found["documents"]["bits"]
    assert seen == sorted(seen)


def test_a_record_is_plain_and_names_what_it_is_of(byte_model, byte_record):
    assert json.loads(json.dumps(byte_record)) == byte_record
    subject = {"run": "c0ffee", "step": 7, "tokenizer": "0" * 64, "vocab_size": 257, "context": 32}
    assert byte_record.items() >= subject.items()
    again = measured(byte_model)
    assert {**again, "times": None} == {**byte_record, "times": None}


def test_what_was_evaluated_is_the_same_for_every_arm_and_seed(byte_model, byte_record):
    sentences = ["猫の雨を見ていた。"]
    other = measured(byte_model, sentences=sentences, seed=4)
    assert other["evaluated"] != byte_record["evaluated"]
    assert other["evaluated"] == measured(opened(BYTE, seed=9), sentences=sentences)["evaluated"]


@pytest.mark.parametrize(
    "changed",
    [
        {"dataset": "0dd"},
        {"split": "validation"},
        {"equal_bytes": 25},
        {"rare": frozenset("駅")},
        {"read": DOCUMENTS[1:]},
        {"read": [dataclasses.replace(DOCUMENTS[0], id="other"), *DOCUMENTS[1:]]},
    ],
)
def test_another_evaluation_has_another_fingerprint(byte_model, byte_record, changed):
    other = measured(byte_model, **changed)["evaluated"]["fingerprint"]
    assert other != byte_record["evaluated"]["fingerprint"]


def test_inference_has_its_closed_forms(unigram, unigram_record):
    chars_per_token = unigram_record["tokens"]["chars_per_token"]
    assert chars_per_token == (
        unigram_record["evaluated"]["num_chars"] / total(unigram_record, "num_tokens")
    )
    found = unigram_record["inference"]
    assert found["context_chars"] == 32 * chars_per_token
    # Keys and values of one layer, 16 wide, four bytes each.
    assert found["kv_cache_bytes_per_1000_chars"] == 1000 * (2 * 1 * 16 * 4) / chars_per_token
    forward = 2 * (12 * 16**2 + unigram.vocab_size * 16) + 2 * 16 * 32
    assert found["forward_flops_per_char"] == pytest.approx(forward / chars_per_token)


def test_a_lossy_vocabulary_is_a_lower_bound_and_still_adds_up(byte_record):
    class Unknowing(Pieces):
        """Gives an id of no bytes for characters that it does not know."""

        is_lossless = False

        def encode(self, text):
            known = {piece.decode(): i for i, piece in enumerate(self.pieces) if piece}
            return np.array([known.get(char, 0) for char in text], np.uint16)

    characters = sorted(set(LINES[0]))
    lossy = Unknowing((b"", *(char.encode() for char in characters)))
    found = measured(opened(lossy), rare=frozenset("雨駅"), equal_bytes=999)
    assert found["tokens"]["is_lower_bound"]
    assert found["tokens"]["restored_share"] == pytest.approx(2 / 8)  # the first and the empty one
    assert math.fsum(row["bits"] for row in found["by_script"].values()) == pytest.approx(
        total(found), rel=1e-12
    )
    assert found["evaluated"]["num_bytes"] == byte_record["evaluated"]["num_bytes"]
    assert not byte_record["tokens"]["is_lower_bound"]


def test_what_cannot_be_measured_is_refused(byte_model):
    with pytest.raises(InputError) as caught:
        measured(byte_model, equal_bytes=0)
    assert str(caught.value) == (
        "equal_bytes=0 is no context; choose the bytes that every arm may see, at most what the "
        "arm with the shortest context in bytes sees."
    )
    with pytest.raises(InputError, match="no documents to evaluate"):
        measured(byte_model, read=list[records.Document]())
