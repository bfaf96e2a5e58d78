import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from jgpt2.data import loader, mixture
from jgpt2.model import gpt2, sharding
from jgpt2.train import optim, setup, step

MESHES = [(8, 1, 1), (2, 4, 1), (2, 2, 2)]


@pytest.fixture(scope="module")
def batches(gathered, change):
    """Rows of the first three steps of the tests' experiment."""
    experiment = change()
    made = loader.batches(
        mixture.training(experiment.weights, gathered.stores),
        context=experiment.model.context,
        sequences=experiment.batch.sequences,
        seed=0,
        first_step=0,
    )
    return [rows for _, (_, rows) in zip(range(3), made, strict=False)]


@pytest.fixture(scope="module")
def make(gathered, change):
    """The jitted step on one device, by its settings, and the first state; nothing is donated."""
    experiment = change()
    lr = optim.schedule(experiment.schedule, peak_lr=experiment.optimizer.peak_lr, num_steps=14)
    optimizer = optim.make(experiment.optimizer, lr)
    vocab_size = gathered.tokenizer.vocab_size
    graphdef, _ = gpt2.abstract(experiment.model, vocab_size)

    def first_state():
        _, params = gpt2.create(experiment.model, vocab_size, experiment.seed)
        return step.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    state = jax.jit(first_state)()

    @functools.cache
    def made(*, accumulation=1, dropout_seed=None):
        take = partial(
            step.train_step,
            token_bytes_U=jnp.asarray(gathered.tokenizer.token_bytes),
            graphdef=graphdef,
            optimizer=optimizer,
            lr=lr,
            accumulation=accumulation,
            dropout_seed=dropout_seed,
        )
        return jax.jit(take), state

    return made


def assert_close(found, expected, tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=tolerance)


def distance(params, others):
    return max(
        float(jnp.abs(a - b).max())
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(others), strict=True)
    )


def test_parts_of_a_batch_give_what_the_whole_gives(make, batches):
    whole, state = make()
    parts, _ = make(accumulation=4)
    assert "scan" not in str(jax.make_jaxpr(whole)(state, batches[0]))
    assert "scan" in str(jax.make_jaxpr(parts)(state, batches[0]))
    after, metrics = whole(state, batches[0])
    after_parts, metrics_parts = parts(state, batches[0])
    assert distance(state.params, after.params) > 1e-4
    assert_close(metrics_parts, metrics, 1e-6)
    assert_close(after_parts, after, 1e-6)


def test_metrics_are_of_the_batch_and_the_rate(make, batches, gathered):
    take, state = make()
    after, metrics = take(state, batches[0])
    targets = batches[0][:, 1:]
    assert metrics.num_bytes == gathered.tokenizer.token_bytes[targets].sum()
    assert 0 < metrics.num_bytes < targets.size  # an EOT stands for no byte
    assert metrics.lr == pytest.approx(3e-3 / 3)
    assert abs(metrics.loss - np.log(257)) < 0.1
    assert after.step == 1
    _, later = take(after, batches[1])
    assert later.lr == pytest.approx(2 * 3e-3 / 3)


def test_the_loss_falls_on_a_batch_that_is_seen_again(make, batches):
    take, state = make()
    losses = []
    for _ in range(10):
        state, metrics = take(state, batches[0])
        losses.append(float(metrics.loss))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] - losses[-1] > 0.1


def test_dropout_is_decided_by_seed_and_step(make, batches):
    take, state = make(dropout_seed=0)
    other_seed, _ = make(dropout_seed=1)
    without, _ = make(dropout_seed=None)

    def loss(take, at):
        return float(take(state._replace(step=jnp.asarray(at)), batches[0])[1].loss)

    assert loss(take, 0) == loss(take, 0)
    assert len({loss(take, 0), loss(take, 1), loss(other_seed, 0), loss(without, 0)}) == 4
    assert loss(without, 0) == loss(without, 1)


@pytest.mark.parametrize("shape", MESHES)
def test_sharded_steps_equal_those_of_one_device(shape, gathered, change, trainer, make, batches):
    data, fsdp, tensor = shape
    if shape != tuple(trainer.program.mesh.shape.values()):
        mesh = {"data": data, "fsdp": fsdp, "tensor": tensor}
        trainer = setup.prepare(change(mesh=mesh), gathered)
    take, expected = make(dropout_seed=0)
    first = expected.params
    with jax.set_mesh(trainer.program.mesh):
        state = trainer.program.initialise()
        assert_sharded(state, fsdp * tensor)
        for rows in batches:
            placed = jax.device_put(rows, sharding.batch_sharding(trainer.program.mesh))
            assert placed.addressable_shards[0].data.shape[0] == 8 // (data * fsdp)
            state, metrics = trainer.program.step(
                state, placed, trainer.token_bytes, trainer.program.place_limit()
            )
            expected, expected_metrics = take(expected, rows)
            assert_close(metrics, expected_metrics, 1e-5)
    assert distance(first, expected.params) > 1e-3
    assert_close(state, expected, 1e-5)


def assert_sharded(state, parts):
    """The widest matrix lies in that many parts over 8 devices, and so do both its moments."""
    kernel = state.params["blocks"][0]["mlp"]["up"]["kernel"]
    assert isinstance(kernel.sharding, NamedSharding)
    assert len(kernel.sharding.device_set) == 8
    assert kernel.addressable_shards[0].data.size == kernel.size // parts
    like_it = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.shape == kernel.shape]
    assert [leaf.sharding for leaf in like_it] == [kernel.sharding] * 2


def test_many_steps_are_one_compilation_and_give_their_memory_on(trainer, batches):
    placement = sharding.batch_sharding(trainer.program.mesh)
    with jax.set_mesh(trainer.program.mesh):
        state = trainer.program.initialise()
        for rows in batches:
            last = state
            state, _ = trainer.program.step(
                state,
                jax.device_put(rows, placement),
                trainer.token_bytes,
                trainer.program.place_limit(),
            )
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(last))
    assert trainer.program.step._cache_size() == 1
