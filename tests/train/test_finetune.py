"""A run that starts from another model: what it begins with, what it changes, what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import NamedSharding

from jgpt2 import checkpoint, config, runs
from jgpt2.data import loader
from jgpt2.errors import InputError
from jgpt2.model import gpt2, lora, sharding
from jgpt2.train import inputs, loop, optim, setup, start, step, stop
from tests.train.test_loop import assert_same_run, go_until

TUNINGS = {
    "full": config.Tuning(),
    "lora": config.Tuning(method="lora", lora_rank=2, lora_alpha=3.0),
    "frozen": config.Tuning(frozen_layers=1),
    "lora above": config.Tuning(method="lora", frozen_layers=1),
}
MODEL = {"layers": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def base(gathered, change, tmp_path_factory):
    """The run folder of a model of two layers, trained on the stories."""
    experiment = change(model=MODEL, budget=config.Budget(steps=3), name="親")
    run = tmp_path_factory.mktemp("base") / "親 の run"
    assert loop.train(experiment, gathered, run) == 0
    return run


@pytest.fixture(scope="module")
def told(base, change):
    """told("lora", model={...}): the experiment of a fine-tuning on the poems."""

    def made(kind, **fields):
        found = runs.find(base)
        begun = config.Start(model=found.fingerprint, step=found.step, tuning=TUNINGS[kind])
        model = MODEL | fields.pop("model", {})
        return change(dataset="poems", model=model, start=begun, **fields)

    return made


@pytest.fixture(scope="module")
def prepare(told, places, base):
    """The inputs and the trainer of each kind of fine-tuning."""

    @functools.cache
    def prepared(kind):
        gathered = inputs.gather(told(kind), dataclasses.replace(places, start=base))
        return gathered, setup.prepare(told(kind), gathered)

    return prepared


@pytest.fixture(scope="module")
def trained(prepare, tmp_path_factory):
    """The finished run folder of each kind of fine-tuning."""

    @functools.cache
    def run(kind):
        folder = tmp_path_factory.mktemp("tuned") / kind
        gathered, trainer = prepare(kind)
        assert loop.execute(trainer, gathered, folder, stop.StopRequest()) == 0
        return folder

    return run


def flat(params):
    return {path: np.asarray(x) for path, x in traverse_util.flatten_dict(params).items()}


def same(found, expected):
    """Which leaves hold the very same bits."""
    return {path for path in expected if found[path].tobytes() == expected[path].tobytes()}


def begin(trainer, gathered):
    with jax.set_mesh(trainer.program.mesh):
        return trainer.program.begin(start.load(gathered.start, trainer.experiment))


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_first_state_is_the_start(prepare, base, kind):
    gathered, trainer = prepare(kind)
    opened = runs.open_model(base)
    state = begin(trainer, gathered)
    assert state.step == 0
    plain = lora.merged(state.params, TUNINGS[kind])
    expected = flat(opened.params)
    assert same(flat(plain), expected) == set(expected) == set(flat(plain))
    ids = jnp.arange(32).reshape(2, 16) * 7 % 257
    logits = jax.jit(functools.partial(gpt2.forward, opened.graphdef))
    assert np.array_equal(logits(plain, ids), logits(opened.params, ids))
    # The adapters beside the kernels, as training has them, add exactly nothing yet.
    graphdef, like = lora.abstract(trainer.experiment.model, 257, TUNINGS[kind])
    assert (kind == "lora") == (jax.tree.structure(like) != jax.tree.structure(opened.params))
    beside = jax.jit(functools.partial(gpt2.forward, graphdef))(state.params, ids)
    assert np.array_equal(beside, logits(opened.params, ids))


def test_frozen_layers_stay_bit_for_bit_and_have_no_moments(trained, base, prepare):
    before = flat(runs.open_model(base).params)
    after = flat(runs.open_model(trained("frozen")).params)
    kept = {path for path in before if path[0] in ("tokens", "positions") or path[1] == 0}
    assert {"tokens", "positions"} == {path[0] for path in kept if len(path) == 1}
    assert same(after, before) == kept
    moved = sum(leaf.size for path, leaf in before.items() if path not in kept)
    assert num_moments(prepare("frozen")[1]) == 2 * moved


def num_moments(trainer):
    leaves = jax.tree.leaves(trainer.program.abstract_state.opt_state)
    return sum(leaf.size for leaf in leaves if leaf.ndim)


def test_lora_trains_the_adapters_alone_and_opens_merged(trained, base, prepare):
    _, trainer = prepare("lora")
    run = trained("lora")
    before = flat(runs.open_model(base).params)
    saved = checkpoint.restore(run / runs.CHECKPOINTS, 14, trainer.program.abstract_state)
    params = flat(saved.params)
    adapters = {path: leaf for path, leaf in params.items() if path[-1] in lora.NAMES}
    assert same(params, before) == set(before)
    assert len(adapters) == 2 * 4 * 2 and params.keys() == before.keys() | adapters.keys()
    first = flat(begin(trainer, prepare("lora")[0]).params)
    assert same(first, adapters) == set()
    assert num_moments(trainer) == 2 * sum(leaf.size for leaf in adapters.values())

    opened = flat(runs.open_model(run).params)
    assert opened.keys() == before.keys()
    for path, kernel in before.items():
        low = adapters.get((*path[:-1], "lora_in"))
        if path[-1] == "kernel" and low is not None:
            up = adapters[*path[:-1], "lora_out"].astype(np.float64)
            kernel = kernel + 1.5 * np.tensordot(low.astype(np.float64), up, axes=1)
            assert np.abs(opened[path] - before[path]).max() > 1e-5
        np.testing.assert_allclose(opened[path], kernel, rtol=0, atol=1e-7)


def test_lora_above_frozen_layers_has_no_adapters_below(prepare):
    params = prepare("lora above")[1].program.abstract_state.params
    assert [len(flat_names(params["blocks"][layer])) for layer in (0, 1)] == [0, 8]


def flat_names(block):
    return [path for path in traverse_util.flatten_dict(block) if path[-1] in lora.NAMES]


def test_what_is_not_trained_has_no_backward_work(prepare):
    def flops(kind):
        analysis = prepare(kind)[1].program.lower().compile().cost_analysis()
        assert analysis is not None
        return analysis["flops"]

    # Of 16 rows' share of one device: products of the kernels' gradients, and of the table's.
    kernels, table, tokens = 2 * 12 * 16**2, 384 * 16, 16
    adapters = num_moments(prepare("lora")[1]) // 2
    saved = 2 * tokens * (kernels + table) - 6 * tokens * adapters
    assert flops("full") - flops("lora") > 0.9 * saved > 0


def test_a_lora_run_stopped_and_resumed_is_the_same_run(prepare, trained, tmp_path, monkeypatch):
    gathered, trainer = prepare("lora")
    run = tmp_path / "run"
    assert go_until(4, trainer, gathered, run) == 130
    # From its first checkpoint on, a run needs its start no more.
    monkeypatch.setattr(start, "load", None)
    for steps in (3, 5):
        assert go_until(steps, trainer, gathered, run) == 130
    assert loop.execute(trainer, gathered, run, stop.StopRequest()) == 0
    assert_same_run(trainer, run, trained("lora"))


@pytest.fixture(scope="module")
def alone(prepare):
    """The parameters before and after three LoRA steps on one device, and the rows of these."""
    gathered, trainer = prepare("lora")
    settings, model = trainer.experiment, trainer.experiment.model
    made = loader.batches(trainer.training, context=16, sequences=8, seed=0, first_step=0)
    batches = [rows for _, (_, rows) in zip(range(3), made, strict=False)]
    rate = optim.schedule(settings.schedule, peak_lr=settings.optimizer.peak_lr, num_steps=14)
    take = jax.jit(
        functools.partial(
            step.train_step,
            token_bytes_U=jnp.asarray(gathered.tokenizer.token_bytes),
            graphdef=lora.abstract(model, 257, TUNINGS["lora"])[0],
            optimizer=optim.make(settings.optimizer, rate),
            lr=rate,
            accumulation=1,
            dropout_seed=None,
            tuning=TUNINGS["lora"],
        )
    )
    state = jax.tree.map(lambda leaf: jnp.asarray(jax.device_get(leaf)), begin(trainer, gathered))
    first = flat(state.params)
    for rows in batches:
        state, _ = take(state, rows)
    return first, flat(state.params), batches


@pytest.mark.parametrize(
    "mesh", [(8, 1, 1), (2, 4, 1), pytest.param((2, 2, 2), marks=pytest.mark.slow)]
)
def test_sharded_steps_equal_those_of_one_device(told, places, base, alone, prepare, mesh):
    first, expected, batches = alone
    gathered, sharded = prepare("lora")
    if mesh != (8, 1, 1):
        experiment = told("lora", mesh=dict(zip(("data", "fsdp", "tensor"), mesh, strict=True)))
        gathered = inputs.gather(experiment, dataclasses.replace(places, start=base))
        sharded = setup.prepare(experiment, gathered)
    state = begin(sharded, gathered)
    kernel = state.params["blocks"][0]["mlp"]["up"]["kernel"]
    assert isinstance(kernel.sharding, NamedSharding)
    assert kernel.addressable_shards[0].data.size == kernel.size // (mesh[1] * mesh[2])
    placement = sharding.batch_sharding(sharded.program.mesh)
    with jax.set_mesh(sharded.program.mesh):
        for rows in batches:
            state, _ = sharded.program.step(
                state,
                jax.device_put(rows, placement),
                sharded.token_bytes,
                sharded.program.place_limit(),
            )
    found = flat(state.params)
    assert max(np.abs(leaf - first[path]).max() for path, leaf in expected.items()) > 1e-3
    for path, leaf in expected.items():
        np.testing.assert_allclose(found[path], leaf, rtol=0, atol=1e-5)


def test_another_layout_of_the_blocks_holds_the_same_model_and_adapters(
    told, places, base, prepare
):
    experiment = told("lora", model={"scan_layers": True})
    gathered = inputs.gather(experiment, dataclasses.replace(places, start=base))
    stacked = begin(setup.prepare(experiment, gathered), gathered).params
    listed = flat(begin(prepare("lora")[1], prepare("lora")[0]).params)
    for path, leaf in flat(stacked).items():
        parts = [leaf] if path[0] != "blocks" else leaf
        for layer, part in enumerate(parts):
            own = path if path[0] != "blocks" else ("blocks", layer, *path[1:])
            assert part.tobytes() == listed[own].tobytes()


def refused(experiment, places, folder):
    with pytest.raises(InputError) as caught:
        inputs.gather(experiment, dataclasses.replace(places, start=folder))
    return str(caught.value)


def test_a_start_that_is_not_given_is_asked_for(told, places):
    assert "which is not given; give its folder with `jgpt2 finetune FOLDER`" in refused(
        told("full"), places, None
    )


def test_another_model_is_refused_by_its_fingerprint(told, places, trained):
    experiment = told("full")
    changed = dataclasses.replace(experiment, start=dataclasses.replace(experiment.start, step=14))
    message = refused(changed, places, trained("lora"))
    assert f"starts from {experiment.start.model[:12]}; give that one's folder" in message


def test_another_vocabulary_or_shape_is_refused(told, places, base):
    message = refused(dataclasses.replace(told("full"), tokenizer="sp-8k"), places, base)
    assert "tokenizer='sp-8k' is not the vocabulary of" in message and "'byte'" in message
    message = refused(told("full", model={"context": 8}), places, base)
    assert "model.context=8 is not that of" in message and "have context=16" in message


def test_a_step_that_the_start_has_not_is_refused(told, places, base):
    experiment = told("full")
    other = dataclasses.replace(experiment.start, step=99)
    message = refused(dataclasses.replace(experiment, start=other), places, base)
    assert "no checkpoint of step 99" in message


@pytest.mark.parametrize(
    ("tuning", "model", "problem"),
    [
        ({"frozen_layers": 2}, {}, "leaves none of 2 blocks to train; choose 1 or fewer"),
        ({"frozen_layers": 1}, {"scan_layers": True}, "set model.scan_layers to False"),
        ({"frozen_layers": -1}, {}, "is negative; 0 keeps the embeddings alone"),
        ({"lora_rank": 0}, {}, "tuning.lora_rank=0 is not positive"),
        ({"lora_alpha": 0.0}, {}, "tuning.lora_alpha=0.0 is not positive"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(change, tuning, model, problem):
    with pytest.raises(InputError, match=problem):
        begun = config.Start(model="a", step=1, tuning=config.Tuning(**tuning))
        change(model=MODEL | model, start=begun)
