"""Against PyTorch: goldens made by tests/reference (logits.py, adamw.py), compared in fp32."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from jgpt2 import config
from jgpt2.model import gpt2, layout
from jgpt2.train import optim
from jgpt2.train import step as train_step

GOLDENS = Path(__file__).parent.parent / "goldens"
# Both sides sum in fp32 in different orders: some 10 roundings of logits of up to 8.
MAX_LOGIT_DIFFERENCE = 2e-5
MAX_LOSS_DIFFERENCE = 1e-4  # relative, at every step


def model_of(weights, heads, scan_layers=False):
    context, width = weights["transformer.wpe.weight"].shape
    layers = sum(name.endswith(".ln_1.weight") for name in weights)
    return config.Model(
        layers=layers,
        embed_dim=width,
        heads=heads,
        context=context,
        compute_dtype="float32",
        scan_layers=scan_layers,
    )


def load_logits(name):
    with safe_open(GOLDENS / f"logits-{name}.safetensors", "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return (
            tensors,
            jnp.asarray(tensors.pop("ids")),
            tensors.pop("logits"),
            int(file.metadata()["heads"]),
        )


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("name", ["2x32", "3x48", "2x64"])
def test_logits_equal_those_of_transformers(name, scan_layers):
    weights, ids, expected, heads = load_logits(name)
    model = model_of(weights, heads, scan_layers)
    params, vocab_size = layout.from_gpt2_names(weights)
    graphdef, _ = gpt2.abstract(model, vocab_size)
    params = layout.stack_blocks(params) if scan_layers else params
    logits = jax.jit(lambda params, ids: gpt2.forward(graphdef, params, ids))(params, ids)
    assert np.abs(expected).max() > 1  # otherwise the tolerance would hide errors
    assert np.abs(logits[..., :vocab_size] - expected).max() <= MAX_LOGIT_DIFFERENCE


def test_the_tolerance_notices_the_wrong_gelu_and_the_wrong_epsilon(monkeypatch):
    weights, ids, expected, heads = load_logits("2x32")
    params, vocab_size = layout.from_gpt2_names(weights)
    graphdef, _ = gpt2.abstract(model_of(weights, heads), vocab_size)

    def difference():
        jax.clear_caches()  # a block is traced once, not for every patch
        logits = gpt2.forward(graphdef, params, ids)[..., :vocab_size]
        return np.abs(logits - expected).max()

    monkeypatch.setattr("jgpt2.model.layer_norm.EPSILON", 1e-6)
    assert difference() > MAX_LOGIT_DIFFERENCE
    monkeypatch.undo()
    gelu = jax.nn.gelu
    monkeypatch.setattr(jax.nn, "gelu", lambda x, approximate: gelu(x, approximate=False))
    assert difference() > MAX_LOGIT_DIFFERENCE
    monkeypatch.undo()
    assert difference() <= MAX_LOGIT_DIFFERENCE


@pytest.fixture(scope="module")
def adamw():
    with np.load(GOLDENS / "adamw.npz") as arrays:
        return dict(arrays)


def follow(adamw, *, clip_norm, model_changes=None):
    """Our relative differences of loss and of gradient norm at each step."""
    weights = {
        key.removeprefix("weights/"): value
        for key, value in adamw.items()
        if key.startswith("weights/")
    }
    params, vocab_size = layout.from_gpt2_names(weights)
    graphdef, _ = gpt2.abstract(model_of(weights, int(adamw["heads"])), vocab_size)
    settings = config.Optimizer(
        peak_lr=float(adamw["learning_rates"].max()),
        beta1=float(adamw["betas"][0]),
        beta2=float(adamw["betas"][1]),
        epsilon=float(adamw["epsilon"]),
        weight_decay=float(adamw["weight_decay"]),
        clip_norm=clip_norm,
    )
    rates = jnp.asarray(adamw["learning_rates"], jnp.float32)

    def schedule(count):
        return rates[count]

    optimizer = optim.make(settings, schedule)
    state = train_step.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    @jax.jit
    def advance(state, rows):
        return train_step.train_step(
            state,
            rows,
            jnp.ones(vocab_size, jnp.int32),
            graphdef=graphdef,
            optimizer=optimizer,
            lr=schedule,
            accumulation=1,
            dropout_seed=None,
        )

    losses, norms = [], []
    for rows in adamw["rows"]:
        state, metrics = advance(state, rows)
        losses.append(float(metrics.loss))
        norms.append(float(metrics.grad_norm))
    return (
        np.abs(np.array(losses) / adamw["losses"] - 1),
        np.abs(np.array(norms) / adamw["grad_norms"] - 1),
    )


def test_twenty_adamw_steps_track_a_plain_pytorch_loop(adamw):
    loss_differences, norm_differences = follow(adamw, clip_norm=float(adamw["clip_norm"]))
    assert len(loss_differences) == 20
    assert loss_differences.max() <= MAX_LOSS_DIFFERENCE
    assert norm_differences.max() <= 1e-3


def test_the_golden_losses_depend_on_clipping_and_on_the_decay_mask(adamw, monkeypatch):
    assert follow(adamw, clip_norm=None)[0].max() > MAX_LOSS_DIFFERENCE
    monkeypatch.setattr(optim, "decay_mask", lambda params: jax.tree.map(lambda _: True, params))
    wrong_mask = follow(adamw, clip_norm=float(adamw["clip_norm"]))[0]
    assert wrong_mask.max() > MAX_LOSS_DIFFERENCE
