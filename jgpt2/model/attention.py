"""Masked softmax attention over whole key arrays, used by training and by cached decoding alike.

Dims: B batch, T query positions, S key positions, H heads, K head width.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

MASKED_SCORE = -1e30
"""Score of a key that must not be seen: its weight is exactly 0 in float32, and never NaN."""


def visible(queries_BT: Int[Array, "#B T"], num_keys: int) -> Bool[Array, "#B T S"]:
    """Which keys each query sees: the key at place s is visible from position t when s <= t."""
    return jnp.arange(num_keys)[None, None, :] <= queries_BT[:, :, None]


def attend(
    q_BTHK: Float[Array, "B T H K"],
    k_BHSK: Float[Array, "B H S K"],
    v_BHSK: Float[Array, "B H S K"],
    visible_BTS: Bool[Array, "#B T S"],
    *,
    dropout: float = 0.0,
    rng: Key[Array, ""] | None = None,
) -> Float[Array, "B T H K"]:
    """softmax(q·k / √K)·v over the visible keys (Vaswani et al. 2017, section 3.2.1).

    Scores and softmax are float32; the weights return to the type of `v_BHSK`. With `rng`, that
    share of the weights is dropped.
    """
    q_BTHK = q_BTHK * q_BTHK.shape[-1] ** -0.5
    scores_BHTS = jnp.einsum("BTHK,BHSK->BHTS", q_BTHK, k_BHSK, preferred_element_type=jnp.float32)
    scores_BHTS = jnp.where(visible_BTS[:, None], scores_BHTS, MASKED_SCORE)
    weights_BHTS = jax.nn.softmax(scores_BHTS, axis=-1).astype(v_BHSK.dtype)
    weights_BHTS = drop(weights_BHTS, dropout, rng)
    return jnp.einsum("BHTS,BHSK->BTHK", weights_BHTS, v_BHSK)


def drop(
    x: Float[Array, "*dims"], share: float, rng: Key[Array, ""] | None
) -> Float[Array, "*dims"]:
    """Inverted dropout: zero that share of `x` and scale up the rest; `x` itself without `rng`."""
    if rng is None or share == 0:
        return x
    # Drawn on two axes, the same numbers: on four, XLA takes twenty times as long to compile it.
    kept = jax.random.bernoulli(rng, 1 - share, (x.size // x.shape[-1], x.shape[-1]))
    kept = kept.reshape(x.shape)
    return jnp.where(kept, x / (1 - share), 0).astype(x.dtype)
