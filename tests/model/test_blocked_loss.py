"""The loss over a vocabulary in blocks against log-softmax and its own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2.model import blocked_loss


def given(vocab_size, num_ids, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    x_CD = jax.random.normal(keys[0], (11, 16)).astype(dtype)
    tokens_VD = jax.random.normal(keys[1], (num_ids, 16)).astype(dtype)
    targets_C = jax.random.randint(keys[2], (11,), 0, vocab_size).at[:2].set(vocab_size - 1)
    return x_CD, tokens_VD, targets_C


def plain(x_CD, tokens_VD, targets_C, vocab_size):
    logs_CV = jax.nn.log_softmax(x_CD @ tokens_VD[:vocab_size].T)
    return -jnp.take_along_axis(logs_CV, targets_C[:, None], axis=1).sum()


@pytest.fixture(params=["cpu", "gpu"])
def platform(request, monkeypatch):
    monkeypatch.setattr("jgpt2.model.tuning.platform", lambda: request.param)
    return request.param


# One block; two blocks, the padding within the second; many, some of them padding alone.
@pytest.mark.parametrize(
    ("vocab_size", "num_ids", "block"),
    [(256, 256, 4096), (257, 384, 4096), (250, 256, 128), (129, 384, 40)],
)
def test_loss_and_gradients_are_those_of_log_softmax(
    monkeypatch, platform, vocab_size, num_ids, block
):
    monkeypatch.setattr(blocked_loss, "MAX_BLOCK", block)
    x_CD, tokens_VD, targets_C = given(vocab_size, num_ids)
    ours = jax.jit(blocked_loss.of_chunk, static_argnums=3)(x_CD, tokens_VD, targets_C, vocab_size)
    value, gradients = jax.value_and_grad(plain, argnums=(0, 1))(
        x_CD, tokens_VD, targets_C, vocab_size
    )
    for mine, expected in zip(ours, (value, *gradients), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5)
    assert not np.asarray(ours[2][vocab_size:]).any()


def test_bfloat16_keeps_the_sums_in_float32(platform):
    x_CD, tokens_VD, targets_C = given(257, 384, jnp.bfloat16)
    nll, dx_CD, dtokens_VD = blocked_loss.of_chunk(x_CD, tokens_VD, targets_C, 257)
    assert (nll.dtype, dx_CD.dtype, dtokens_VD.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)
    exact = [x_CD.astype(jnp.float32), tokens_VD.astype(jnp.float32)]
    value, (dx, dtokens) = jax.value_and_grad(plain, argnums=(0, 1))(*exact, targets_C, 257)
    # The logits of a GPU are bfloat16, as they are on a TPU.
    np.testing.assert_allclose(nll, value, rtol=1e-5 if platform == "cpu" else 2e-3)
    for mine, expected in ((dx_CD, dx), (dtokens_VD, dtokens)):
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(mine.astype(jnp.float32), expected, atol=2**-7 * scale)


@pytest.mark.parametrize(("num_ids", "size"), [(50304, 3144), (8064, 4032), (384, 384)])
def test_blocks_are_the_largest_that_divide_the_vocabulary(num_ids, size):
    assert blocked_loss._block(num_ids) == size
