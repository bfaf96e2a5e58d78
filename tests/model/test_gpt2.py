"""Laws of the model: causality, one result however it is compiled, masked padding, dropout."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jgpt2.errors import InputError
from jgpt2.model import block, gpt2, layout, loss, sharding


@functools.cache
def compiled(model, vocab_size):
    graphdef, _ = gpt2.abstract(model, vocab_size)

    def mean_loss(params, rows, rng):
        return loss.next_token_nll(nnx.merge(graphdef, params), rows, rng).mean()

    return jax.jit(jax.value_and_grad(mean_loss))


def loss_and_grads(model, vocab_size, params, rows, rng=None):
    value, grads = compiled(model, vocab_size)(params, rows, rng)
    return float(value), grads


def assert_trees_close(tree, other, tolerance):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        there = other
        for key in path:
            there = there[key.key]
        np.testing.assert_allclose(leaf, there, rtol=0, atol=tolerance, err_msg=str(path))


def test_hidden_states_never_depend_on_later_tokens(tiny, made):
    graphdef, params = made(tiny())
    embedded_BTD = jax.random.normal(jax.random.key(0), (1, 8, 32))

    @jax.jit
    def influence(position):
        # The gradient of one position's output says which input positions it has seen.
        def of(x_BTD):
            module = nnx.merge(graphdef, params)
            for layer in range(2):
                x_BTD, _ = nnx.merge(*module.split_layer(layer))(x_BTD, jnp.arange(8)[None])
            return jnp.sum(x_BTD[0, position] ** 2)

        return jnp.abs(jax.grad(of)(embedded_BTD)[0]).sum(axis=-1)

    for position in range(8):
        seen = np.asarray(influence(position))
        assert (seen[: position + 1] > 0).all()
        assert (seen[position + 1 :] == 0).all()


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(tiny, vocab_size):
    _, params = gpt2.create(tiny(), vocab_size, seed=3)
    _, again = gpt2.create(tiny(), vocab_size, seed=3)
    _, other = gpt2.create(tiny(), vocab_size, seed=4)
    assert_trees_close(params, again, 0)
    assert not np.array_equal(params["tokens"], other["tokens"])


def test_initial_spread_is_that_of_gpt2(tiny):
    model = tiny(layers=8, embed_dim=128, context=256)
    _, params = gpt2.create(model, vocab_size=1000, seed=0)
    block = params["blocks"][5]
    residual = 0.02 / np.sqrt(2 * 8)
    for leaf, spread in (
        (params["tokens"][:1000], 0.02),
        (params["positions"], 0.01),
        (block["attention"]["qkv"]["kernel"], 0.02),
        (block["attention"]["out"]["kernel"], residual),
        (block["mlp"]["up"]["kernel"], 0.02),
        (block["mlp"]["down"]["kernel"], residual),
    ):
        assert np.std(leaf) == pytest.approx(spread, rel=0.03)
    assert (block["mlp"]["up"]["bias"] == 0).all()
    assert (params["norm"]["scale"] == 1).all()


def test_initial_numbers_do_not_depend_on_scan_layers(tiny, made):
    _, params = made(tiny())
    _, stacked = made(tiny(scan_layers=True))
    assert_trees_close(layout.stack_blocks(params), stacked, 0)
    assert_trees_close(layout.unstack_blocks(stacked), params, 0)
    kernels = stacked["blocks"]["mlp"]["up"]["kernel"]
    assert not np.array_equal(kernels[0], kernels[1])


def test_numbers_are_the_same_when_drawn_inside_jit(tiny, made, vocab_size):
    _, params = made(tiny())
    jitted = jax.jit(lambda: gpt2.create(tiny(), vocab_size, seed=0)[1])()
    assert_trees_close(params, jitted, 1e-8)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_scan_equals_unrolled(tiny, made, vocab_size, rows, dropout):
    model = tiny(dropout=dropout)
    scanned = dataclasses.replace(model, scan_layers=True)
    _, params = made(model)
    rng = jax.random.key(5)
    value, grads = loss_and_grads(model, vocab_size, params, rows, rng)
    stacked = layout.stack_blocks(params)
    scan_value, scan_grads = loss_and_grads(scanned, vocab_size, stacked, rows, rng)
    assert scan_value == pytest.approx(value, abs=1e-6)
    assert_trees_close(grads, layout.unstack_blocks(scan_grads), 1e-6)


def traced(model, positions=4):
    """The forward pass as JAX has it before it is lowered, as text."""
    graphdef, params = gpt2.abstract(model, 257)
    ids_BT = jax.ShapeDtypeStruct((1, positions), jnp.int32)
    return str(jax.make_jaxpr(lambda p, ids: gpt2.forward(graphdef, p, ids))(params, ids_BT))


def test_scan_and_remat_show_in_what_is_traced(tiny):
    def repeats(text):
        return set(re.findall(r"\b(scan|remat)2?\[", text))

    assert repeats(traced(tiny(remat="none"))) == set()
    assert repeats(traced(tiny(remat="none", scan_layers=True))) == {"scan"}
    dots, full = (traced(tiny(remat=remat)) for remat in ("dots", "full"))
    assert repeats(dots) == repeats(full) == {"remat"}
    assert dots != full


def test_a_block_is_traced_once_for_all_layers(tiny, monkeypatch):
    calls = []
    of_block = block.Block.__call__
    monkeypatch.setattr(
        block.Block,
        "__call__",
        lambda *args, **kwargs: calls.append(1) or of_block(*args, **kwargs),
    )
    traced(tiny(layers=5, embed_dim=48))
    assert len(calls) == 1


def test_a_block_is_traced_anew_for_other_devices(tiny):
    model = tiny(context=128, embed_dim=64, heads=1)
    on_cpu = traced(model, positions=128)
    device = jax.sharding.AbstractDevice("TPU v5 lite", None, "tpu")
    axes = (jax.sharding.AxisType.Auto,) * 3
    mesh = jax.sharding.AbstractMesh((1, 1, 1), sharding.MESH_AXES, axes, abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        assert "pallas_call" in traced(model, positions=128)
    assert "pallas_call" not in on_cpu
    assert traced(model, positions=128) == on_cpu


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("remat", ["dots", "names", "full"])
def test_remat_equals_plain(tiny, made, vocab_size, rows, remat, scan_layers):
    model = tiny(
        scan_layers=scan_layers,
        dropout=0.1 * (scan_layers and remat == "dots"),
        remat="none",
    )
    _, params = made(model)
    rng = jax.random.key(5)
    value, grads = loss_and_grads(model, vocab_size, params, rows, rng)
    saving = dataclasses.replace(model, remat=remat)
    remat_value, remat_grads = loss_and_grads(saving, vocab_size, params, rows, rng)
    assert remat_value == pytest.approx(value, abs=1e-6)
    assert_trees_close(grads, remat_grads, 1e-6)


def test_padding_is_zero_masked_and_never_learns(tiny, made, forward, vocab_size, rows):
    _, params = made(tiny())
    assert params["tokens"].shape == (gpt2.padded_vocab(vocab_size), 32) == (384, 32)
    assert (params["tokens"][vocab_size:] == 0).all()
    logits_BTV = forward(tiny())(params, rows[:, :-1])
    assert np.isfinite(logits_BTV).all()
    probabilities = jax.nn.softmax(logits_BTV, axis=-1)
    assert (probabilities[..., vocab_size:] == 0).all()
    _, grads = loss_and_grads(tiny(), vocab_size, params, rows)
    assert (grads["tokens"][vocab_size:] == 0).all()
    assert (np.abs(grads["tokens"][:vocab_size]).sum(axis=1) > 0).all()


@pytest.mark.parametrize(("vocab_size", "rows"), [(1, 128), (128, 128), (129, 256), (50257, 50304)])
def test_vocabulary_is_padded_to_a_multiple_of_128(vocab_size, rows):
    assert gpt2.padded_vocab(vocab_size) == rows


def test_bfloat16_is_near_float32_and_keeps_float32_where_promised(tiny, made, vocab_size, rows):
    _, params = made(tiny())
    half = tiny(compute_dtype="bfloat16")
    value, grads = loss_and_grads(tiny(), vocab_size, params, rows)
    half_value, half_grads = loss_and_grads(half, vocab_size, params, rows)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((params, half_grads)))
    assert 0 < abs(half_value - value) < 5e-3
    for leaf, half_leaf in zip(jax.tree.leaves(grads), jax.tree.leaves(half_grads), strict=True):
        assert np.linalg.norm(leaf - half_leaf) <= 0.05 * np.linalg.norm(leaf) + 1e-4
    graphdef, _ = gpt2.abstract(half, vocab_size)
    hidden_BTD = jax.eval_shape(lambda: nnx.merge(graphdef, params)(rows[:, :-1]))
    logits_BTV = jax.eval_shape(lambda: gpt2.forward(graphdef, params, rows[:, :-1]))
    assert hidden_BTD.dtype == jnp.bfloat16
    assert logits_BTV.dtype == jnp.float32


def test_dropout_is_off_without_a_key_and_off_at_zero(tiny, made, vocab_size, rows):
    _, params = made(tiny())
    plain = loss_and_grads(tiny(), vocab_size, params, rows)[0]
    without_key = loss_and_grads(tiny(dropout=0.1), vocab_size, params, rows)[0]
    at_zero = loss_and_grads(tiny(), vocab_size, params, rows, jax.random.key(0))[0]
    assert plain == without_key == at_zero


def test_dropout_follows_its_key(tiny, made, vocab_size, rows):
    _, params = made(tiny())

    def with_key(seed):
        return loss_and_grads(tiny(dropout=0.5), vocab_size, params, rows, jax.random.key(seed))[0]

    assert with_key(0) == with_key(0)
    assert with_key(0) != with_key(1)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_dropout_draws_differ_between_layers(tiny, made, scan_layers):
    # Nothing but a bias of 1 out of each of two attentions, kept (and doubled) or dropped: a sum
    # of 2, between 0 and 4, appears only where the layers disagree.
    graphdef, params = made(tiny(dropout=0.5, scan_layers=scan_layers))
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full(leaf.shape, float("out" in str(path) and "bias" in str(path))),
        params,
    )
    params["norm"]["scale"] = jnp.ones(32)
    ids_BT = jnp.zeros((1, 1), jnp.int32)
    read = jax.jit(lambda rng: nnx.merge(graphdef, params)(ids_BT, dropout_rng=rng))
    hidden_BTD = read(jax.random.key(0))
    assert len(np.unique(np.round(hidden_BTD, 4))) == 3


def test_positions_can_be_given(tiny, made, rows):
    graphdef, params = made(tiny())
    ids_BT = rows[:, :5]

    @jax.jit
    def hidden(positions_BT):
        return nnx.merge(graphdef, params)(ids_BT, positions_BT=positions_BT)

    given = hidden(jnp.arange(5)[None])
    np.testing.assert_allclose(hidden(None), given, atol=1e-5)
    shifted = hidden(jnp.broadcast_to(jnp.arange(5) + 3, (8, 5)))
    assert not np.allclose(given, shifted)


def test_rows_longer_than_the_context_are_refused(tiny, made):
    graphdef, params = made(tiny())
    ids_BT = jnp.zeros((1, 17), jnp.int32)
    with pytest.raises(InputError, match="rows of 17 tokens do not fit a context of 16; cut"):
        gpt2.forward(graphdef, params, ids_BT)


def test_abstract_has_the_shapes_of_the_real_thing(tiny, made, vocab_size):
    for model in (tiny(), tiny(scan_layers=True)):
        graphdef, params = made(model)
        abstract_graphdef, abstract = gpt2.abstract(model, vocab_size)
        assert graphdef == abstract_graphdef
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), abstract
        )
