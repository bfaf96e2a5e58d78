"""The parts of one transformer block: dense layers, LayerNorm, attention and MLP.

`jgpt2.model.gpt2` stacks N of them. Dense layers are matrix products on two axes, x_MD with
M = B·T rows: on a CPU that is faster than three axes, with the same numbers.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jgpt2 import config
from jgpt2.model import attention, sharding
from jgpt2.model import cache as kv_cache

NORM_EPSILON = 1e-5  # Radford et al.'s code, src/model.py `norm`
WEIGHT_STD = 0.02  # same file: matrices and token table


class Dense(nnx.Module):
    """x·kernel + bias, as one product on two axes; `out` may be several axes of the kernel."""

    def __init__(self, key: Array, width: int, out: tuple[int, ...], *, std: float, dtype: str):
        drawn = std * jax.random.normal(key, (width, math.prod(out)))
        self.kernel = nnx.Param(drawn.reshape(width, *out))
        self.bias = nnx.Param(jnp.zeros(out))
        self.dtype = dtype

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M *out"]:
        kernel = self.kernel[...].astype(self.dtype)
        bias = self.bias[...].astype(self.dtype)
        return jax.lax.dot_general(x_MD, kernel, (((1,), (0,)), ((), ()))) + bias[None]


class LayerNorm(nnx.Module):
    """Ba et al. 2016, over the width; computed in float32 whatever the type of the input."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M D"]:
        x32_MD = x_MD.astype(jnp.float32)
        centred_MD = x32_MD - jnp.mean(x32_MD, axis=-1, keepdims=True)
        variance_M1 = jnp.mean(jnp.square(centred_MD), axis=-1, keepdims=True)
        unit_MD = centred_MD * jax.lax.rsqrt(variance_M1 + NORM_EPSILON)
        return (unit_MD * self.scale[...][None] + self.bias[...][None]).astype(x_MD.dtype)


class Attention(nnx.Module):
    """Causal multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, key: Array, model: config.Model):
        qkv_key, out_key = jax.random.split(key)
        width, dtype = model.embed_dim, model.compute_dtype
        # [D, 3, D] is GPT-2's [D, 3D] with q, k, v on their own axis: the last one can be sharded.
        self.qkv = Dense(qkv_key, width, (3, width), std=WEIGHT_STD, dtype=dtype)
        self.out = Dense(out_key, width, (width,), std=_residual_std(model), dtype=dtype)
        self.heads = model.heads
        self.dropout = model.dropout

    def __call__(
        self,
        x_MD: Float[Array, "M D"],
        positions_BT: Int[Array, "#B T"],
        batch: int,
        held: tuple[Array, Array] | None,
        rng: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "M D"], tuple[Array, Array]]:
        """The mix and the keys and values it looked at: `held` with the new ones written in."""
        qkv_BT3HK = self.qkv(x_MD).reshape(batch, -1, 3, self.heads, x_MD.shape[1] // self.heads)
        q_BTHK = qkv_BT3HK[:, :, 0]
        k_BHSK, v_BHSK = (qkv_BT3HK[:, :, part].swapaxes(1, 2) for part in (1, 2))
        if held is not None:
            k_BHSK = kv_cache.write(held[0], k_BHSK, positions_BT)
            v_BHSK = kv_cache.write(held[1], v_BHSK, positions_BT)
        visible_BTS = attention.visible(positions_BT, k_BHSK.shape[2])
        mixed_BTHK = attention.attend(
            q_BTHK, k_BHSK, v_BHSK, visible_BTS, dropout=self.dropout, rng=rng
        )
        return self.out(mixed_BTHK.reshape(x_MD.shape)), (k_BHSK, v_BHSK)


class Mlp(nnx.Module):
    """Two dense layers, four times as wide in between, with the tanh form of GELU."""

    def __init__(self, key: Array, model: config.Model):
        up_key, down_key = jax.random.split(key)
        width, dtype = model.embed_dim, model.compute_dtype
        self.up = Dense(up_key, width, (4 * width,), std=WEIGHT_STD, dtype=dtype)
        self.down = Dense(down_key, 4 * width, (width,), std=_residual_std(model), dtype=dtype)

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M D"]:
        return self.down(jax.nn.gelu(self.up(x_MD), approximate=True))


class Block(nnx.Module):
    """One pre-LN transformer block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, key: Array, model: config.Model):
        attention_key, mlp_key = jax.random.split(key)
        self.attention_norm = LayerNorm(model.embed_dim)
        self.attention = Attention(attention_key, model)
        self.mlp_norm = LayerNorm(model.embed_dim)
        self.mlp = Mlp(mlp_key, model)
        self.dropout = model.dropout

    def __call__(
        self,
        x_BTD: Float[Array, "B T D"],
        positions_BT: Int[Array, "#B T"],
        held: tuple[Array, Array] | None = None,
        rng: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, "B T D"], tuple[Array, Array]]:
        """The residual stream after this block, and its keys and values."""
        weights_rng, attention_rng, mlp_rng = (
            (None,) * 3 if rng is None else jax.random.split(rng, 3)
        )
        x_MD = x_BTD.reshape(-1, x_BTD.shape[-1])
        mixed_MD, held = self.attention(
            self.attention_norm(x_MD), positions_BT, x_BTD.shape[0], held, weights_rng
        )
        x_MD = x_MD + attention.drop(mixed_MD, self.dropout, attention_rng)
        x_MD = x_MD + attention.drop(self.mlp(self.mlp_norm(x_MD)), self.dropout, mlp_rng)
        return sharding.constrain(x_MD.reshape(x_BTD.shape), ("batch", None, None)), held


def _residual_std(model: config.Model) -> float:
    # Radford et al., section 2.3: residual layers are scaled by 1/sqrt(their number), two a block.
    return WEIGHT_STD / math.sqrt(2 * model.layers)
