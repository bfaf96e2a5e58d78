"""The training loss: negative log-likelihood of each next token, in nats.

`next_token_nll` gives every token's, for evaluation; `total_nll` their sum, for training: its
gradients are made in the forward pass, chunk by chunk, so that the logits of a batch are neither
kept nor made twice. Log-sum-exp is float32 throughout.

Dims: B batch, T positions, D width, V padded vocabulary, M = B·T rows, C rows of a chunk.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jgpt2.model import blocked_loss, gpt2, tuning


def next_token_nll(
    module: gpt2.GPT2,
    rows_BT1: Int[Array, "B T1"],
    dropout_rng: Key[Array, ""] | None = None,
) -> Float[Array, "B T"]:
    """Nats of the tokens at 1..T given all before them, from rows of T+1 tokens.

    The mean over all of them is the loss. Padding ids of the vocabulary have no probability.
    """
    logits_BTV = module.logits(module(rows_BT1[:, :-1], dropout_rng=dropout_rng))
    return nll(logits_BTV, rows_BT1[:, 1:])


def nll(logits_BTV: Float[Array, "B T V"], targets_BT: Int[Array, "B T"]) -> Float[Array, "B T"]:
    """Nats of each target under its logits."""
    logits_MV = logits_BTV.reshape(-1, logits_BTV.shape[-1])
    # A comparison that is summed at once, and so never stored, in place of a gather: the gradient
    # of a gather is a scatter into a second array of logits, and needs every shard of V.
    is_target_MV = jnp.arange(logits_MV.shape[1])[None] == targets_BT.reshape(-1, 1)
    chosen_M = jnp.sum(jnp.where(is_target_MV, logits_MV, 0), axis=-1)
    nll_M = jax.nn.logsumexp(logits_MV, axis=-1) - chosen_M
    return nll_M.reshape(targets_BT.shape)


def total_nll(
    module: gpt2.GPT2,
    rows_BT1: Int[Array, "B T1"],
    dropout_rng: Key[Array, ""] | None = None,
) -> Float[Array, ""]:
    """The sum of `next_token_nll`, with gradients that cost three products with the token table."""
    targets_M = rows_BT1[:, 1:].reshape(-1)
    x_BTD = module(rows_BT1[:, :-1], dropout_rng=dropout_rng)
    tokens_VD = module.head()
    chunks = tuning.loss_chunks(module.model, targets_M.size, tokens_VD.shape[0])
    x_MD = x_BTD.reshape(-1, x_BTD.shape[-1])
    return _chunked_nll(x_MD, tokens_VD, targets_M, module.vocab_size, chunks)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _chunked_nll(
    x_MD: Float[Array, "M D"],
    tokens_VD: Float[Array, "V D"],
    targets_M: Int[Array, " M"],
    vocab_size: int,
    chunks: int,
) -> Float[Array, ""]:
    return _chunked_forward(x_MD, tokens_VD, targets_M, vocab_size, chunks)[0]


def _chunked_forward(x_MD, tokens_VD, targets_M, vocab_size, chunks):
    total: Any = 0.0
    dtokens_VD: Any = 0.0
    dx = []
    of_chunk = blocked_loss.of_chunk if tuning.is_whole_on("cpu", "gpu") else _of_chunk
    for x_CD, targets_C in zip(jnp.split(x_MD, chunks), jnp.split(targets_M, chunks), strict=True):
        if dx:  # one chunk after another: together, the logits of several would be in memory
            x_CD, dtokens_VD = jax.lax.optimization_barrier((x_CD, dtokens_VD))
        nll, dx_CD, share_VD = of_chunk(x_CD, tokens_VD, targets_C, vocab_size)
        total, dtokens_VD = total + nll, dtokens_VD + share_VD
        dx.append(dx_CD)
    return total, (jnp.concatenate(dx), dtokens_VD.astype(tokens_VD.dtype))


def _chunked_backward(vocab_size, chunks, residuals, cotangent):
    dx_MD, dtokens_VD = residuals
    scale = cotangent.astype(jnp.float32)
    return (dx_MD * scale).astype(dx_MD.dtype), (dtokens_VD * scale).astype(dtokens_VD.dtype), None


_chunked_nll.defvjp(_chunked_forward, _chunked_backward)


def _of_chunk(x_CD, tokens_VD, targets_C, vocab_size):
    """The chunk's nats, and the gradients of their sum by x (in x's type) and the table (float32).

    The gradient by the logits is p - [target]. Σ exp comes out of the product that makes x's share
    of it, through columns of ones beside the table: no pass over the logits is made for it alone.
    """
    ids_V = jnp.arange(tokens_VD.shape[0])
    logits_CV = jax.lax.dot_general(x_CD, tokens_VD, (((1,), (1,)), ((), ())))
    if vocab_size < len(ids_V):
        logits_CV = jnp.where(ids_V[None] < vocab_size, logits_CV, blocked_loss.PADDING_LOGIT)
    best_C1 = jnp.max(logits_CV, axis=-1, keepdims=True).astype(jnp.float32)
    exps_CV = jnp.exp(logits_CV.astype(jnp.float32) - best_C1)
    ones_VL = jnp.ones((tokens_VD.shape[0], 128), tokens_VD.dtype)
    sums_CX = jnp.dot(
        exps_CV.astype(tokens_VD.dtype),
        jnp.concatenate([tokens_VD, ones_VL], axis=1),
        preferred_element_type=jnp.float32,
    )
    total_C1 = sums_CX[:, -1:]
    own_CD = tokens_VD[targets_C].astype(jnp.float32)
    chosen_C = jnp.sum(x_CD.astype(jnp.float32) * own_CD, axis=-1)
    nll = jnp.sum(jnp.log(total_C1[:, 0]) + best_C1[:, 0] - chosen_C)
    dx_CD = sums_CX[:, : x_CD.shape[1]] / total_C1 - own_CD
    is_target_CV = ids_V[None] == targets_C[:, None]
    dlogits_CV = (exps_CV / total_C1 - is_target_CV).astype(x_CD.dtype)
    dtokens_VD = jax.lax.dot_general(
        dlogits_CV, x_CD, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32
    )
    return nll, dx_CD.astype(x_CD.dtype), dtokens_VD
