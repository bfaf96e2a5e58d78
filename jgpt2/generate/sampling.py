"""How one token is drawn from the model's scores: temperature, then top-k, then top-p.

Pure functions of logits and one random key per row, called inside the loop of
`jgpt2.generate.decode`. Dims: B rows, V vocabulary, K candidates.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jgpt2.errors import InputError

SMALLEST_TEMPERATURE = 1e-6
"""Below this, logits divided by it could overflow float32."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
    """A way to draw tokens; the filters combine, in the order of the fields."""

    temperature: float = 1.0
    """Logits are divided by this; 0 always takes the likeliest token."""
    top_k: int | None = None
    """Only the k likeliest tokens stay, the lower id first among equals; None keeps all."""
    top_p: float | None = None
    """Of those, renormalised, the likeliest stay until their probabilities reach p (nucleus
    sampling, Holtzman et al. 2020): the token that crosses p is kept. None keeps all."""

    def __post_init__(self) -> None:
        if self.temperature != 0 and not SMALLEST_TEMPERATURE <= self.temperature < math.inf:
            raise InputError(
                f"temperature={self.temperature} is neither 0 nor {SMALLEST_TEMPERATURE} or more; "
                "0 always takes the likeliest token, 1 samples from the model as it is."
            )
        if self.top_k is not None and self.top_k < 1:
            raise InputError(
                f"top_k={self.top_k} keeps no token; choose 1 or more, or leave it out to keep all."
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(
                f"top_p={self.top_p} is not a probability in (0, 1]; 0.95 is usual, and leaving it "
                "out keeps all tokens."
            )

    @property
    def is_greedy(self) -> bool:
        """Whether chance plays no part."""
        return self.temperature == 0 or self.top_k == 1


def sample(
    logits_BV: Float[Array, "B V"], rng_B: Key[Array, " B"], sampler: Sampler
) -> Int[Array, " B"]:
    """One id for each row, drawn by the row's own key."""
    if sampler.is_greedy:
        return jnp.argmax(logits_BV, axis=-1)
    if sampler.top_k is None and sampler.top_p is None:
        return jax.vmap(jax.random.categorical)(rng_B, logits_BV / sampler.temperature)
    logits_BK, ids_BK = _candidates(logits_BV, sampler)
    chosen_B = jax.vmap(jax.random.categorical)(rng_B, logits_BK)
    return jnp.take_along_axis(ids_BK, chosen_B[:, None], axis=-1)[:, 0]


def filter_logits(logits_BV: Float[Array, "B V"], sampler: Sampler) -> Float[Array, "B V"]:
    """What `sample` draws from: the softmax of this; -inf for tokens that are out."""
    if sampler.is_greedy:
        is_best_BV = jnp.arange(logits_BV.shape[1])[None] == jnp.argmax(logits_BV, -1)[:, None]
        return jnp.where(is_best_BV, logits_BV, -jnp.inf)
    if sampler.top_k is None and sampler.top_p is None:
        return logits_BV / sampler.temperature
    logits_BK, ids_BK = _candidates(logits_BV, sampler)
    rows_B1 = jnp.arange(len(logits_BV))[:, None]
    return jnp.full_like(logits_BV, -jnp.inf).at[rows_B1, ids_BK].set(logits_BK)


def _candidates(
    logits_BV: Float[Array, "B V"], sampler: Sampler
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The likeliest tokens, best first, with their ids; -inf where top-p rules one out."""
    num_ids = logits_BV.shape[1]
    num_candidates = num_ids if sampler.top_k is None else min(sampler.top_k, num_ids)
    logits_BK, ids_BK = jax.lax.top_k(logits_BV / sampler.temperature, num_candidates)
    if sampler.top_p is None:
        return logits_BK, ids_BK
    probs_BK = jax.nn.softmax(logits_BK, axis=-1)
    # A token stays while those before it have not reached p: so the crossing token stays too.
    before_BK = jnp.cumsum(probs_BK, axis=-1) - probs_BK
    before_BK = before_BK.at[:, 0].set(0)  # the best token stays, however small p is
    return jnp.where(before_BK < sampler.top_p, logits_BK, -jnp.inf), ids_BK
