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
    # A comparison that is summed at once, and so never stored, in place of a gather: the gradient
    # of a gather is a scatter into a second array of logits, and needs every shard of V.
    is_target_MV = jnp.arange(logits_MV.shape[1])[None] == targets_BT.reshape(-1, 1)
    chosen_M = jnp.sum(jnp.where(is_target_MV, logits_MV, 0), axis=-1)
    nll_M = jax.nn.logsumexp(logits_MV, axis=-1) - chosen_M
    return nll_M.reshape(targets_BT.shape)
