"""The loss and its gradients in the fewest passes over the logits, as CPUs and GPUs make them.

`jgpt2.model.loss`, which a TPU runs, makes probabilities beside its products; here that would be a
pass of its own over all logits, and one extra column costs what such a pass does. On a CPU a
product over 50,000 ids at once leaves the caches: the vocabulary is cut into blocks of one batch,
which lie in the token table as they are. A GPU takes it whole, with the logits in x's type.

Dims: C rows of a chunk, D width, V padded vocabulary, G blocks of S ids, V = G·S.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgpt2.model import tuning

MAX_BLOCK = 4096
"""Most ids of a block."""
LANES = 8
"""What a block is a multiple of: float32 in a vector register of AVX2."""
PADDING_LOGIT = -1e30
"""Logit of the padding: probability exactly 0 in float32, and never NaN."""


def of_chunk(
    x_CD: Float[Array, "C D"],
    tokens_VD: Float[Array, "V D"],
    targets_C: Int[Array, " C"],
    vocab_size: int,
) -> tuple[Float[Array, ""], Float[Array, "C D"], Float[Array, "V D"]]:
    """The chunk's nats, and the gradients of their sum by x (in x's type) and the table (float32).

    With e = exp(logits - best) and Z = Σ e, both gradients are products with e itself, x's divided
    by Z after it and the table's before it; the targets' share is added row by row. So the logits
    are read twice and written once, and never turned into probabilities.
    """
    num_ids, width = tokens_VD.shape
    is_gpu = tuning.platform() == "gpu"
    size = num_ids if is_gpu else _block(num_ids)
    tokens_GSD = tokens_VD.reshape(-1, size, width)
    logits_dtype = x_CD.dtype if is_gpu else jnp.float32
    logits_GCS = _batched(_spread(x_CD, len(tokens_GSD)), tokens_GSD, (2, 2), logits_dtype)
    if vocab_size < num_ids:
        is_real_GS = jnp.arange(num_ids).reshape(-1, size) < vocab_size
        logits_GCS = jnp.where(is_real_GS[:, None], logits_GCS, PADDING_LOGIT)
    best_C = jnp.max(logits_GCS, axis=(0, 2)).astype(jnp.float32)
    exps_GCS = jnp.exp(logits_GCS.astype(jnp.float32) - best_C[None, :, None])
    total_C = jnp.sum(exps_GCS, axis=(0, 2))
    x32_CD, own_CD = x_CD.astype(jnp.float32), tokens_VD[targets_C].astype(jnp.float32)
    nll = jnp.sum(jnp.log(total_C) + best_C - jnp.sum(x32_CD * own_CD, axis=-1))
    exps_GCS = exps_GCS.astype(x_CD.dtype)
    dx_CD = jnp.sum(_batched(exps_GCS, tokens_GSD, (2, 1)), axis=0) / total_C[:, None] - own_CD
    shares_GCD = _spread((x32_CD / total_C[:, None]).astype(x_CD.dtype), len(tokens_GSD))
    dtokens_VD = _batched(exps_GCS, shares_GCD, (1, 1)).reshape(tokens_VD.shape)
    return nll, dx_CD.astype(x_CD.dtype), dtokens_VD.at[targets_C].add(-x32_CD)


def _block(num_ids: int) -> int:
    """The largest multiple of 8 that divides the vocabulary, up to `MAX_BLOCK`."""
    return max(size for size in range(LANES, MAX_BLOCK + 1, LANES) if num_ids % size == 0)


def _spread(x_CD: Array, blocks: int) -> Float[Array, "G C D"]:
    """The same rows for each block; stored, or XLA would make one long product of all blocks."""
    return jax.lax.optimization_barrier(jnp.broadcast_to(x_CD[None], (blocks, *x_CD.shape)))


def _batched(
    left: Array, right: Array, contracted: tuple[int, int], dtype: DTypeLike = jnp.float32
) -> Array:
    """One product for each block, of type `dtype`, summed over these axes."""
    numbers = (((contracted[0],), (contracted[1],)), ((0,), (0,)))
    return jax.lax.dot_general(left, right, numbers, preferred_element_type=dtype)
