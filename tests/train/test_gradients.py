"""The mean loss and its gradients: each way to make them gives what one device gives plainly."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from flax import nnx

from jgpt2 import config
from jgpt2.model import gelu, gpt2, layer_norm, layout, loss, product, sharding
from jgpt2.train import step

VOCAB = 300
MODEL = config.Model(layers=2, embed_dim=32, heads=2, context=16, compute_dtype="float32")
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def rows():
    return jax.random.randint(jax.random.key(1), (16, 17), 0, VOCAB)


@pytest.fixture(scope="module")
def plain(rows):
    """Of one device, from all logits at once, blocks listed."""
    graphdef, params = gpt2.create(MODEL, VOCAB, seed=0)

    def mean(params):
        return loss.next_token_nll(nnx.merge(graphdef, params), rows).mean()

    return params, jax.jit(jax.value_and_grad(mean))(params)


def make(changes, rows, params, accumulation=1):
    model = dataclasses.replace(MODEL, **changes)
    graphdef, _ = gpt2.abstract(model, VOCAB)
    params = layout.stack_blocks(params) if model.scan_layers else params
    take = functools.partial(step.loss_and_grads, graphdef=graphdef, accumulation=accumulation)
    return take, params


def assert_plain(plain, value, grads):
    _, (expected, expected_grads) = plain
    if "attention" in grads["blocks"]:
        grads = layout.unstack_blocks(grads)
    np.testing.assert_allclose(value, expected, atol=TOLERANCE)
    assert jax.tree.structure(grads) == jax.tree.structure(expected_grads)
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


@pytest.mark.parametrize("chunks", [1, 2, 8])
def test_any_number_of_chunks_of_the_loss(plain, rows, chunks):
    take, params = make({"loss_chunks": chunks}, rows, plain[0])
    assert_plain(plain, *jax.jit(take)(params, rows))


def spied(monkeypatch, *functions):
    """The names of those of the functions, given as (module, name), that are called from now on."""
    used = set()

    def spy(name, run, *given):
        used.add(name)
        return run(*given)

    for module, name in functions:
        full = f"{module.__name__.rpartition('.')[2]}.{name}"
        monkeypatch.setattr(module, name, functools.partial(spy, full, getattr(module, name)))
    return used


@pytest.fixture
def as_on(monkeypatch):
    """as_on(platform): traces from now on what those devices are given; any can run it."""

    def say(platform):
        jax.clear_caches()  # what was traced before does not know that the devices are others
        monkeypatch.setattr("jgpt2.model.tuning.platform", lambda: platform)

    yield say
    jax.clear_caches()


@pytest.mark.parametrize("changes", [{}, {"scan_layers": True}, {"remat": "names"}])
def test_what_gpus_are_given(plain, rows, changes, as_on, monkeypatch):
    as_on("gpu")
    own = (product, "dense_parts"), (layer_norm, "with_own_gradient"), (gelu, "with_own_gradient")
    used = spied(monkeypatch, *own, (layer_norm, "plain"))
    take, params = make(changes, rows, plain[0])
    assert_plain(plain, *jax.jit(take)(params, rows))
    assert "layer_norm.plain" not in used
    assert used >= {
        "product.dense_parts",
        "layer_norm.with_own_gradient",
        "gelu.with_own_gradient",
    }


def test_what_tpus_are_given_but_for_their_kernel(plain, rows, as_on, monkeypatch):
    as_on("tpu")
    used = spied(monkeypatch, (layer_norm, "one_pass"), (layer_norm, "plain"))
    take, params = make({"attention": "plain"}, rows, plain[0])
    assert_plain(plain, *jax.jit(take)(params, rows))
    assert used == {"layer_norm.one_pass"}


@pytest.mark.parametrize(
    ("shape", "changes", "accumulation"),
    [
        ((8, 1), {}, 1),
        ((1, 8), {}, 1),
        ((2, 4), {"scan_layers": True}, 1),
        ((2, 4), {"scan_layers": True, "remat": "names"}, 2),
        ((4, 2), {"remat": "attention", "loss_chunks": 2}, 1),
        ((2, 4), {"scan_layers": True, "remat": "full"}, 1),
    ],
)
def test_every_device_works_on_its_rows_and_says_what_it_sends(
    plain, rows, shape, changes, accumulation
):
    take, params = make(changes, rows, plain[0], accumulation)
    mesh = sharding.make_mesh(config.Mesh(data=shape[0], fsdp=shape[1]))
    params = jax.device_put(params, sharding.shardings(params, mesh))
    rows = jax.device_put(rows, sharding.batch_sharding(mesh))
    with jax.set_mesh(mesh):
        program = str(jax.make_jaxpr(take)(params, rows))
        value, grads = jax.jit(take)(params, rows)
    assert "shard_map" in program
    assert ("all_gather" in program) == ("reduce_scatter" in program) == (shape[1] > 1)
    assert_plain(plain, value, grads)
    for grad, param in zip(jax.tree.leaves(grads), jax.tree.leaves(params), strict=True):
        assert grad.sharding.is_equivalent_to(param.sharding, grad.ndim)


def test_one_device_needs_no_mesh(plain, rows):
    take, params = make({}, rows, plain[0])
    program = str(jax.make_jaxpr(take)(params, rows))
    assert "shard_map" not in program
    assert_plain(plain, *jax.jit(take)(params, rows))


def test_bfloat16_differs_by_its_roundings_alone(plain, rows):
    take, params = make({"compute_dtype": "bfloat16"}, rows, plain[0])
    value, grads = jax.jit(take)(params, rows)
    _, (expected, expected_grads) = plain
    np.testing.assert_allclose(value, expected, rtol=2e-3)
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True):
        assert ours.dtype == np.float32
        difference = np.linalg.norm(np.asarray(ours) - theirs) / np.linalg.norm(theirs)
        assert 0 < difference < 0.03  # 2^-8 of rounding, a few times over


def test_a_frequent_token_keeps_every_term_of_its_gradient():
    # In bfloat16 a sum of ones stops growing at 256.
    table = jax.numpy.zeros((4, 8), "bfloat16")
    ids = jax.numpy.full((1, 1000), 3)
    grad = jax.grad(lambda table: gpt2.look_up(table, ids).astype("float32").sum())(table)
    np.testing.assert_array_equal(np.asarray(grad[3], np.float32), 1000.0)
