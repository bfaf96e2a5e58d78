import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jgpt2 import config
from jgpt2.model import gpt2
from jgpt2.train import optim

PEAK_LR = 0.5
FINAL_LR = 0.1


def rates(kind: str, num_steps: int, warmup: float = 0.0, decay: float = 0.2) -> np.ndarray:
    settings = config.Schedule(kind=kind, warmup=warmup, decay=decay, final_lr=FINAL_LR)
    schedule = optim.schedule(settings, peak_lr=PEAK_LR, num_steps=num_steps)
    return np.asarray([schedule(jnp.asarray(step)) for step in range(num_steps)])


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 20])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_every_schedule_rises_to_the_peak_and_ends_at_the_last_rate(kind, num_steps, share):
    lr = rates(kind, num_steps, warmup=share, decay=1 - share)
    assert lr[0] > 0
    assert lr.max() == np.float32(PEAK_LR)
    top = lr.argmax()
    assert (np.diff(lr[: top + 1]) > 0).all()
    assert (np.diff(lr[top:]) <= 0).all()
    if num_steps > 1:
        np.testing.assert_allclose(lr[-1], FINAL_LR * PEAK_LR, rtol=1e-6)


def test_the_warmup_is_a_straight_line_that_does_not_start_at_zero():
    for kind in ("cosine", "linear", "wsd"):
        lr = rates(kind, 20, warmup=0.25)
        np.testing.assert_allclose(lr[:5], PEAK_LR * np.arange(1, 6) / 5, rtol=1e-6)


def test_cosine_and_linear_fall_as_they_are_called():
    along = np.arange(16) / 15
    cosine = FINAL_LR + (1 - FINAL_LR) * (1 + np.cos(np.pi * along)) / 2
    np.testing.assert_allclose(rates("cosine", 20, warmup=0.25)[4:], PEAK_LR * cosine, rtol=1e-6)
    linear = 1 + (FINAL_LR - 1) * along
    np.testing.assert_allclose(rates("linear", 20, warmup=0.25)[4:], PEAK_LR * linear, rtol=1e-6)


def test_wsd_stays_at_the_peak_and_decays_over_its_share():
    lr = rates("wsd", 20, warmup=0.25, decay=0.2)
    assert (lr[4:16] == np.float32(PEAK_LR)).all()
    np.testing.assert_allclose(lr[15:], PEAK_LR * np.linspace(1, FINAL_LR, 5), rtol=1e-6)
    assert rates("wsd", 20, decay=0.0)[-2:].tolist() == pytest.approx([PEAK_LR, 0.05])


@pytest.mark.parametrize("scan_layers", [False, True])
def test_only_matrices_and_embeddings_are_decayed(scan_layers):
    shape = config.Model(layers=2, embed_dim=8, heads=2, context=4, scan_layers=scan_layers)
    _, params = gpt2.abstract(shape, vocab_size=20)
    is_stacked = scan_layers  # by layer, which adds an axis to vectors too
    for path, is_decayed in jax.tree_util.tree_leaves_with_path(optim.decay_mask(params)):
        name = jax.tree_util.keystr(path)
        leaf = params
        for key in path:
            leaf = leaf[key.key]
        axes = leaf.ndim - ("blocks" in name and is_stacked)
        # The bias of q, k and v is one array [3, width].
        assert is_decayed == (axes > 1 and not name.endswith("['bias']")), name


def updated(settings: config.Optimizer, grads: dict) -> dict:
    params = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full((2,), 2.0)}
    optimizer = optim.make(settings, lambda step: 0.5)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates


def test_decay_pulls_matrices_and_leaves_biases():
    grads = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros((2,))}
    updates = updated(config.Optimizer(weight_decay=0.1), grads)
    np.testing.assert_allclose(updates["kernel"], -0.5 * 0.1 * 2.0, rtol=1e-6)
    assert (updates["bias"] == 0).all()


def test_a_gradient_is_clipped_to_the_global_norm():
    # Epsilon 1 shows how large the gradient is that Adam gets: its step is g / (|g| + 1).
    grads = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full((2,), 8.0)}
    norm = np.sqrt(4 * 3.0**2 + 2 * 8.0**2)
    for clip_norm, scale in ((1.0, 1 / norm), (1000.0, 1.0), (None, 1.0)):
        settings = config.Optimizer(epsilon=1.0, weight_decay=0.0, clip_norm=clip_norm)
        updates = updated(settings, grads)
        for name, value in (("kernel", 3.0), ("bias", 8.0)):
            step = value * scale / (value * scale + 1)
            np.testing.assert_allclose(updates[name], -0.5 * step, rtol=1e-5)


@pytest.mark.parametrize("size", [0.01, 3.0])
def test_clipping_is_that_of_optax(size):
    grads = {"kernel": jnp.full((2, 3), size), "bias": jnp.arange(3.0) * size}
    ours, theirs = optim.clip(1.0), optax.clip_by_global_norm(1.0)
    state = ours.init(grads)
    assert state == theirs.init(grads)  # checkpoints of one are read by the other
    clipped, expected = ours.update(grads, state)[0], theirs.update(grads, state)[0]
    is_clipped = bool(optax.tree.norm(grads) > 1)
    assert is_clipped == (size == 3.0)
    for name in grads:
        np.testing.assert_allclose(clipped[name], expected[name], rtol=1e-6)
