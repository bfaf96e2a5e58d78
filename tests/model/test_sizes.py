"""Sizes by any of their names, and the closed counts of parameters and FLOPs."""

import dataclasses

import jax
import pytest

from jgpt2.errors import InputError
from jgpt2.model import count, gpt2, sizes


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("tiny", "tiny"),
        ("small", "small"),
        ("117M", "small"),
        ("124m", "small"),
        ("345M", "medium"),
        ("355M", "medium"),
        ("762M", "large"),
        ("774M", "large"),
        ("1542M", "xl"),
        ("1558M", "xl"),
        ("XL", "xl"),
        ("8b", "8b"),
        ("8.3B", "8b"),
        ("small-128", "small-128"),
        ("XL-128", "xl-128"),
    ],
)
def test_sizes_answer_to_all_their_names(name, canonical):
    assert sizes.by_name(name) == (canonical, sizes.by_name(canonical)[1])


def test_an_unknown_size_lists_the_choices():
    with pytest.raises(InputError, match="'huge'; choose one of tiny, small = 117M = 124M, medium"):
        sizes.by_name("huge")


@pytest.mark.parametrize(
    ("model", "vocab_size", "parameters"),
    [
        (sizes.SMALL, 50_257, 124_439_808),
        (sizes.MEDIUM, 50_257, 354_823_168),
        (sizes.LARGE, 50_257, 774_030_080),
        (sizes.XL, 50_257, 1_557_611_200),
        (sizes.MEGATRON_8B, 50_257, 8_314_143_744),
        (sizes.SMALL, 20_573, 101_642_496),
        (sizes.MEDIUM, 20_573, 324_426_752),
    ],
)
def test_parameters_are_counted_as_published_and_as_built(model, vocab_size, parameters):
    assert count.parameters(model, vocab_size) == parameters
    _, params = gpt2.abstract(dataclasses.replace(model, scan_layers=True), vocab_size)
    padding = (gpt2.padded_vocab(vocab_size) - vocab_size) * model.embed_dim
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) - padding == parameters


@pytest.mark.parametrize("name", ["small", "medium", "large", "xl"])
def test_the_128_shapes_halve_the_heads_and_keep_the_count(name):
    _, model = sizes.by_name(name)
    _, other = sizes.by_name(f"{name}-128")
    assert other.embed_dim // other.heads == 128
    assert other.heads == model.heads // 2
    if name != "xl":  # 1600 is no multiple of 128
        assert count.parameters(other, 50_257) == count.parameters(model, 50_257)


def test_megatron_has_heads_of_128():
    assert sizes.MEGATRON_8B.embed_dim // sizes.MEGATRON_8B.heads == 128


def test_flops_of_gpt2_small_written_out():
    # 12 layers of 12*768^2 weights and a head of 50,257*768, 6 FLOPs each; then 6*N*D*T.
    matrices = 6 * (12 * 7_077_888 + 38_597_376)
    attention = 6 * 12 * 768 * 1024
    assert count.flops_per_token(sizes.SMALL, 50_257) == matrices + attention == 797_815_296


def test_flops_agree_with_the_products_in_the_traced_model(tiny):
    # Forward products of one row; training costs three times as much, the causal mask saves half.
    model, vocab_size = tiny(context=16), 256
    graphdef, params = gpt2.abstract(model, vocab_size)
    ids_BT = jax.ShapeDtypeStruct((1, 16), "int32")
    traced = jax.make_jaxpr(lambda p, ids: gpt2.forward(graphdef, p, ids))(params, ids_BT)
    dense, scores = 0, 0
    for equation in _equations(traced.jaxpr):
        if equation.primitive.name == "dot_general":
            (contracted, _), (batched, _) = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            operations = 2 * equation.outvars[0].aval.size
            for axis in contracted:
                operations *= left[axis]
            dense, scores = (
                (dense, scores + operations) if batched else (dense + operations, scores)
            )
    assert scores > 0
    assert count.flops_per_token(model, vocab_size) * 16 == 3 * (dense + scores / 2)


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from _equations(value.jaxpr)
