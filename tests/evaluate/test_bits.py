import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from jgpt2 import config
from jgpt2.errors import DamageError, InputError
from jgpt2.evaluate import bits
from jgpt2.model import gpt2, loss, sharding

MODEL = config.Model(layers=2, embed_dim=32, heads=2, context=64, compute_dtype="float32")
VOCAB_SIZE, EOT = 257, 256


@pytest.fixture(scope="module")
def created():
    graphdef, shapes = gpt2.abstract(MODEL, VOCAB_SIZE)
    # Wider than trained weights begin: predictions then depend much on context and position.
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(0, 0.2, leaf.shape), leaf.dtype), shapes
    )
    return graphdef, params


@pytest.fixture(scope="module")
def prepared(texts, tokenizer):
    return bits.prepare(texts, tokenizer)


@pytest.fixture(scope="module")
def scores(created, prepared):
    return bits.score(*created, prepared, model=MODEL, eot=EOT)


@pytest.fixture(scope="module")
def next_token_nll(created):
    """Nats of all tokens but the first of a row that fits the context, by the training loss."""
    graphdef, params = created
    nll = jax.jit(lambda rows_BT1: loss.next_token_nll(nnx.merge(graphdef, params), rows_BT1))

    def of_row(row):
        row_1T = np.zeros((1, MODEL.context + 1), np.int32)
        row_1T[0, : len(row)] = row
        return np.asarray(nll(row_1T))[0, : len(row) - 1].astype(np.float64)

    return of_row


def test_a_document_brings_its_own_bytes_and_characters(prepared):
    emoji = prepared[1]
    assert (emoji.id, emoji.source) == ("w1", "web")
    assert (emoji.num_bytes, emoji.num_chars, len(emoji.ids)) == (17, 5, 17)


def test_a_uniform_model_needs_log2_of_the_vocabulary_for_each_token_and_eot(created, prepared):
    graphdef, params = created
    uniform = jax.tree.map(jnp.zeros_like, params)
    scores = bits.score(graphdef, uniform, prepared, model=MODEL, eot=EOT, stride=16)
    for row, document in zip(scores, prepared, strict=True):
        expected = math.log2(VOCAB_SIZE) * (len(document.ids) + 1)
        assert row.bits == pytest.approx(expected, rel=1e-6)
        assert row.eot_bits == pytest.approx(math.log2(VOCAB_SIZE), rel=1e-6)
    total = bits.summary(scores).overall
    num_targets = sum(len(document.ids) + 1 for document in prepared)
    num_bytes = sum(document.num_bytes for document in prepared)
    assert total.bits_per_byte == pytest.approx(
        math.log2(VOCAB_SIZE) * num_targets / num_bytes, rel=1e-6
    )


def test_a_document_within_the_context_costs_its_next_token_nll(prepared, scores, next_token_nll):
    for document, row in zip(prepared, scores, strict=True):
        if len(document.ids) + 1 > MODEL.context:
            continue
        nll_T = next_token_nll([EOT, *document.ids, EOT])
        assert row.bits == pytest.approx(nll_T.sum() / math.log(2), rel=1e-6)
        assert row.eot_bits == pytest.approx(nll_T[-1] / math.log(2), rel=1e-5)
    assert sum(len(document.ids) + 1 <= MODEL.context for document in prepared) == 4


def test_a_document_is_conditioned_on_the_id_that_begins_it(created, prepared, next_token_nll):
    begun = dataclasses.replace(prepared[1], begin=65)
    (scored,) = bits.score(*created, [begun], model=MODEL, eot=EOT)
    nll_T = next_token_nll([65, *begun.ids, EOT])
    assert scored.bits == pytest.approx(nll_T.sum() / math.log(2), rel=1e-6)
    (usual,) = bits.score(*created, [prepared[1]], model=MODEL, eot=EOT)
    assert abs(usual.bits - scored.bits) > 0.01


def test_a_long_document_costs_what_its_windows_say_token_by_token(
    created, prepared, next_token_nll
):
    document, stride = prepared[2], 24
    row = [EOT, *document.ids, EOT]
    assert len(row) > 2 * MODEL.context
    expected, eot_bits = 0.0, 0.0
    for target in range(1, len(row)):
        # The first window, and later ones every `stride` tokens, that reach the target.
        window = max(0, -(-(target - MODEL.context) // stride))
        eot_bits = next_token_nll(row[window * stride : target + 1])[-1] / math.log(2)
        expected += eot_bits
    (scored,) = bits.score(*created, [document], model=MODEL, eot=EOT, stride=stride)
    assert scored.bits == pytest.approx(expected, rel=1e-5)
    assert scored.eot_bits == pytest.approx(eot_bits, rel=1e-5)


def test_a_document_costs_the_sum_of_its_tokens_and_its_eot(created, prepared, scores):
    of_tokens = bits.token_bits(*created, prepared, model=MODEL, eot=EOT)
    for document, row, of_token in zip(prepared, scores, of_tokens, strict=True):
        assert len(of_token) == len(document.ids) + 1
        assert row == bits.document_score(document, of_token)
        assert (row.bits, row.eot_bits) == (of_token.sum(), of_token[-1])


@pytest.mark.parametrize("stride", [1, 24, 64])
def test_every_token_costs_what_its_own_window_says(created, prepared, next_token_nll, stride):
    of_tokens = bits.token_bits(*created, prepared, model=MODEL, eot=EOT, stride=stride)
    assert len(prepared[2].ids) > 2 * MODEL.context
    for document, of_token in zip(prepared[:4], of_tokens, strict=False):
        row = [EOT, *document.ids, EOT]
        expected = []
        for target in range(1, len(row)):
            window = max(0, -(-(target - MODEL.context) // stride))
            expected.append(next_token_nll(row[window * stride : target + 1])[-1] / math.log(2))
        np.testing.assert_allclose(of_token, expected, rtol=1e-4)


def test_a_smaller_stride_changes_only_documents_beyond_the_context(created, prepared, scores):
    finer = bits.score(*created, prepared, model=MODEL, eot=EOT, stride=1)
    differs = [abs(a.bits - b.bits) > 1e-5 * a.bits for a, b in zip(scores, finer, strict=True)]
    assert differs == [len(document.ids) + 1 > MODEL.context for document in prepared]


def test_batch_size_and_order_do_not_matter(created, prepared, scores):
    backwards = bits.score(*created, prepared[::-1], model=MODEL, eot=EOT, rows=3)[::-1]
    assert [row.id for row in backwards] == [row.id for row in scores]
    np.testing.assert_allclose(
        [row.bits for row in backwards], [row.bits for row in scores], rtol=1e-6
    )


def test_bits_add_up_over_documents_and_sources(created, prepared, scores):
    summary = bits.summary(scores)
    alone = [bits.score(*created, [one], model=MODEL, eot=EOT)[0] for one in prepared]
    assert summary.overall.bits == pytest.approx(sum(row.bits for row in alone), rel=1e-6)
    assert list(summary.by_source) == ["aozora", "web"]
    for name in ("bits", "eot_bits", "num_bytes", "num_chars", "num_tokens", "num_documents"):
        parts = sum(getattr(total, name) for total in summary.by_source.values())
        assert parts == pytest.approx(getattr(summary.overall, name))


def test_ratios_are_ratios_of_sums():
    total = bits.Total(
        num_documents=2, bits=90.0, eot_bits=10.0, num_bytes=40, num_chars=15, num_tokens=20
    )
    assert total.record() == {
        "num_documents": 2,
        "bits": 90.0,
        "eot_bits": 10.0,
        "num_bytes": 40,
        "num_chars": 15,
        "num_tokens": 20,
        "num_unrestored_documents": 0,
        "num_unrestored_bytes": 0,
        "is_lower_bound": False,
        "bits_per_byte": 2.25,
        "bits_per_byte_without_eot": 2.0,
        "bits_per_char": 6.0,
        "bytes_per_token": 2.0,
    }


class Characters:
    """A vocabulary of another size: one id for each code point, cut to 1,000 of them."""

    begin = 0
    is_lossless = True

    def encode_batch(self, texts):
        return [np.asarray([ord(char) % 1000 for char in text], np.uint16) for text in texts]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_denominators_are_the_same_for_every_vocabulary(tokenizer, drawn):
    drawn = [*drawn, "猫"]
    documents = [(str(i), "drawn", text) for i, text in enumerate(drawn)]
    by_byte = bits.prepare(documents, tokenizer)
    by_char = bits.prepare(documents, Characters())
    for text, one, other in zip(drawn, by_byte, by_char, strict=True):
        assert (one.num_bytes, one.num_chars) == (other.num_bytes, other.num_chars)
        assert (one.num_bytes, one.num_chars) == (len(text.encode()), len(text))
        assert len(one.ids) == one.num_bytes
        assert len(other.ids) == one.num_chars


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 4, 1), (2, 2, 2)])
def test_sharded_over_eight_devices_equals_one_device(created, prepared, scores, shape):
    data, fsdp, tensor = shape
    mesh = sharding.make_mesh(config.Mesh(data=data, fsdp=fsdp, tensor=tensor))
    graphdef, params = created
    params = jax.device_put(params, sharding.shardings(params, mesh))
    placement = sharding.batch_sharding(mesh)
    (sharded,) = bits.score(
        graphdef, params, [prepared[2]], model=MODEL, eot=EOT, sharding=placement
    )
    assert sharded.bits == pytest.approx(scores[2].bits, rel=1e-5)


def test_a_second_evaluation_compiles_nothing(created, prepared, scores):
    compiled = bits._next_token_nll._cache_size()
    graphdef, params = created
    trained = jax.tree.map(lambda leaf: leaf / 2, params)
    again = bits.score(graphdef, trained, prepared[:4], model=MODEL, eot=EOT, stride=8)
    assert again[0].bits != scores[0].bits
    assert bits._next_token_nll._cache_size() == compiled


def test_nothing_moves_between_host_and_device_unasked(created, prepared, scores):
    with jax.transfer_guard("disallow"):
        guarded = bits.score(*created, prepared, model=MODEL, eot=EOT)
    assert guarded == scores


def test_progress_counts_windows_to_the_last(created, prepared):
    seen = []
    bits.score(*created, prepared, model=MODEL, eot=EOT, report=lambda *at: seen.append(at))
    assert len(seen) == 4
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == seen[-1][1]


def test_no_documents_are_refused(tokenizer):
    with pytest.raises(InputError) as caught:
        bits.prepare([], tokenizer)
    assert str(caught.value) == (
        "no documents to evaluate; give a split or files that hold at least one document."
    )


def test_a_source_without_text_is_refused(tokenizer):
    with pytest.raises(InputError) as caught:
        bits.prepare([("1", "web", "犬"), ("2", "aozora", ""), ("3", "web", "")], tokenizer)
    assert str(caught.value) == (
        "all documents of source 'aozora' are empty, so there is nothing to evaluate; leave them "
        "out."
    )


def test_rows_that_make_no_batch_are_refused(created, prepared):
    with pytest.raises(InputError) as caught:
        bits.score(*created, prepared, model=MODEL, eot=EOT, rows=0)
    assert str(caught.value) == "rows=0 is not a batch; choose 1 or more."


def test_rows_that_do_not_divide_over_the_devices_are_refused(created, prepared):
    mesh = sharding.make_mesh(config.Mesh(data=2, fsdp=2, tensor=2))
    placement = sharding.batch_sharding(mesh)
    with pytest.raises(InputError) as caught:
        bits.score(*created, prepared, model=MODEL, eot=EOT, rows=6, sharding=placement)
    assert str(caught.value) == (
        "rows=6 does not divide over the 4 devices that share a batch; choose a multiple of 4."
    )


def test_bits_that_are_not_finite_are_damage_and_name_the_document(created, prepared):
    graphdef, params = created
    broken = dict(params, tokens=params["tokens"].at[ord("x")].set(jnp.nan))
    documents = [dataclasses.replace(prepared[4], id="猫")]
    with pytest.raises(DamageError) as caught:
        bits.score(graphdef, broken, documents, model=MODEL, eot=EOT)
    assert str(caught.value) == (
        "the model gives nan bits for document '猫' (1 of 1 are not finite): its weights are "
        "damaged or its training diverged; use an earlier checkpoint."
    )
