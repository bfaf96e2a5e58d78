"""Attention of whole rows over themselves, by one of several kernels with the same result.

`jgpt2.model.tuning` chooses; cached decoding uses `jgpt2.model.attention` alone.
Dims: B batch, T positions, H heads, K head width, D = H·K.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key

from jgpt2.model import attention, blockwise, sharding, tuning


def attend(
    q_BTD: Float[Array, "B T D"],
    k_BTD: Float[Array, "B T D"],
    v_BTD: Float[Array, "B T D"],
    *,
    heads: int,
    kernel: str,
    dropout: float = 0.0,
    rng: Key[Array, ""] | None = None,
) -> Float[Array, "B T D"]:
    """softmax(q·k / √K)·v of each head, over the keys up to each query.

    What the backward pass needs of it is named "attention" for `model.remat`, by every kernel for
    itself: a second name around it would be a second copy. With `rng` that share of the weights is
    dropped, which only the plain kernel does.
    """
    if kernel == "plain" or (rng is not None and dropout):
        return _plain(q_BTD, k_BTD, v_BTD, heads, dropout, rng)
    if kernel == "cudnn":
        return _cudnn(q_BTD, k_BTD, v_BTD, heads)
    run = {"blockwise": blockwise.attend, "pallas": _pallas, "splash": _splash}[kernel]

    def local(q_BTD: Array, k_BTD: Array, v_BTD: Array) -> Array:
        return run(q_BTD, k_BTD, v_BTD, q_BTD.shape[-1] * heads // width)

    width = q_BTD.shape[-1]
    if sharding.is_manual() or jax.sharding.get_abstract_mesh().empty:
        return local(q_BTD, k_BTD, v_BTD)
    spec = sharding.spec(("batch", None, "heads"))
    return jax.shard_map(local, in_specs=(spec,) * 3, out_specs=spec, check_vma=False)(
        q_BTD, k_BTD, v_BTD
    )


def _plain(q_BTD, k_BTD, v_BTD, heads, dropout, rng):
    q_BTHK, k_BTHK, v_BTHK = (_split(x, heads) for x in (q_BTD, k_BTD, v_BTD))
    visible_1TS = attention.visible(jnp.arange(q_BTD.shape[1])[None], q_BTD.shape[1])
    mixed_BTHK = attention.attend(
        q_BTHK,
        k_BTHK.swapaxes(1, 2),
        v_BTHK.swapaxes(1, 2),
        visible_1TS,
        dropout=dropout,
        rng=rng,
    )
    return checkpoint_name(mixed_BTHK.reshape(q_BTD.shape), "attention")


def _pallas(q_BTD, k_BTD, v_BTD, heads):
    from jgpt2.model import pallas_attention  # Pallas is a tenth of what a CPU's run imports

    width = q_BTD.shape[-1]
    spare = -width % pallas_attention.LANES  # heads that do not fill a group get one of zeros
    wide = [jnp.pad(x, ((0, 0), (0, 0), (0, spare))) if spare else x for x in (q_BTD, k_BTD, v_BTD)]
    heads += spare * heads // width
    return pallas_attention.attend(*wide, heads, tuning.platform() != "tpu")[..., :width]


def _splash(q_BTD, k_BTD, v_BTD, heads):
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    q_BTHK, k_BTHK, v_BTHK = (_split(x, heads) for x in (q_BTD, k_BTD, v_BTD))
    positions, head_dim = q_BTHK.shape[1], q_BTHK.shape[3]
    block = next(size for size in (1024, 512, 256, 128) if positions % size == 0)
    kernel = splash.make_splash_mha(
        mask=masks.MultiHeadMask([masks.CausalMask((positions, positions))] * heads),
        block_sizes=splash.BlockSizes(
            block_q=block,
            block_kv=block,
            block_kv_compute=block,
            block_q_dkv=block,
            block_kv_dkv=block,
            block_kv_dkv_compute=block,
            use_fused_bwd_kernel=True,
        ),
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name="attention",
        interpret=tuning.platform() != "tpu",
    )
    q_BHTK = (q_BTHK * head_dim**-0.5).swapaxes(1, 2)
    mixed_BHTK: Any = jax.vmap(kernel)(q_BHTK, k_BTHK.swapaxes(1, 2), v_BTHK.swapaxes(1, 2))
    return mixed_BHTK.swapaxes(1, 2).reshape(q_BTD.shape).astype(q_BTD.dtype)


def _cudnn(q_BTD, k_BTD, v_BTD, heads):
    mixed_BTHK = jax.nn.dot_product_attention(
        *(_split(x, heads) for x in (q_BTD, k_BTD, v_BTD)), is_causal=True, implementation="cudnn"
    )
    return checkpoint_name(mixed_BTHK.reshape(q_BTD.shape), "attention")


def _split(x_BTD: Array, heads: int) -> Array:
    return x_BTD.reshape(*x_BTD.shape[:2], heads, -1)
