"""The training loss: negative log-likelihood of each next token, in nats, float32 throughout."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jgpt2.model import gpt2


def next_token_nll(
    module: gpt2.GPT2,
    rows_BT1: Int[Array, "B T1"],
    dropout_rng: Key[Array, ""] | None = None,
) -> Float[Array, "B T"]:
    """Nats of the tokens at 1..T given all before them, from rows of T+1 tokens.

    The mean over all of them is the loss. Padding ids of the vocabulary have no probability.
    """
    ids_BT, targets_BT = rows_BT1[:, :-1], rows_BT1[:, 1:]
    logits_BTV = module.logits(module(ids_BT, dropout_rng=dropout_rng))
    logits_MV = logits_BTV.reshape(-1, logits_BTV.shape[-1])
    targets_M1 = targets_BT.reshape(-1, 1)
    chosen_M1 = jnp.take_along_axis(logits_MV, targets_M1, axis=-1)
    nll_M1 = jax.nn.logsumexp(logits_MV, axis=-1, keepdims=True) - chosen_M1
    return nll_M1.reshape(targets_BT.shape)
