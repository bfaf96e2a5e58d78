"""The parts of one transformer block: dense layers, LayerNorm, attention and MLP.

`jgpt2.model.gpt2` stacks N of them. Dense layers are matrix products on two axes, x_MD with
M = B·T rows: on a CPU that is faster than three axes, with the same numbers.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int, Key

from jgpt2 import config
from jgpt2.model import attention, causal, gelu, layer_norm, product, sharding, tuning
from jgpt2.model import cache as kv_cache

SAVED_NAMES = ("qkv", "attention", "mlp", "residual")
"""What `remat="names"` keeps of a block for the backward pass; the rest is elementwise."""

WEIGHT_STD = 0.02  # Radford et al.'s code, src/model.py: matrices and token table


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
        return product.dense(x_MD, kernel) + bias[None]

    def parts(self, x_MD: Float[Array, "M D"]) -> tuple[Float[Array, "M F"], ...]:
        """The result of a kernel [D, P, F] as P arrays, none of which is cut out of another."""
        return product.dense_parts(
            x_MD, self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        )


class LayerNorm(nnx.Module):
    """Ba et al. 2016, over the width; computed in float32 whatever the type of the input."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M D"]:
        norm = {
            "cpu": layer_norm.plain,
            "gpu": layer_norm.with_own_gradient,
            "tpu": layer_norm.one_pass,
        }[tuning.platform()]
        return norm(x_MD, self.scale[...], self.bias[...])


class Attention(nnx.Module):
    """Causal multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, key: Array, model: config.Model):
        qkv_key, out_key = jax.random.split(key)
        width, dtype = model.embed_dim, model.compute_dtype
        # [D, 3, D] is GPT-2's [D, 3D] with q, k, v on their own axis: the last one can be sharded.
        self.qkv = Dense(qkv_key, width, (3, width), std=WEIGHT_STD, dtype=dtype)
        self.out = Dense(out_key, width, (width,), std=_residual_std(model), dtype=dtype)
        self.model = model

    def __call__(
        self,
        x_MD: Float[Array, "M D"],
        positions_BT: Int[Array, "#B T"],
        batch: int,
        held: tuple[Array, Array] | None,
        rng: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "M D"], tuple[Array, Array] | None]:
        """The mix and, with `held`, that with the new keys and values written in.

        Without `held` rows attend over themselves alone, and `positions_BT` plays no part.
        """
        if held is None:
            q_BTD, k_BTD, v_BTD = self._project(x_MD, batch)
            kernel = tuning.attention(self.model, q_BTD.shape[1])
            mixed_BTD = causal.attend(
                q_BTD,
                k_BTD,
                v_BTD,
                heads=self.model.heads,
                kernel=kernel,
                dropout=self.model.dropout,
                rng=rng,
            )
            return self.out(mixed_BTD.reshape(x_MD.shape)), None
        head_dim = x_MD.shape[1] // self.model.heads
        qkv_BT3HK = self.qkv(x_MD).reshape(batch, -1, 3, self.model.heads, head_dim)
        k_BHSK, v_BHSK = (
            kv_cache.write(held[i], qkv_BT3HK[:, :, 1 + i].swapaxes(1, 2), positions_BT)
            for i in range(2)
        )
        visible_BTS = attention.visible(positions_BT, k_BHSK.shape[2])
        mixed_BTHK = attention.attend(qkv_BT3HK[:, :, 0], k_BHSK, v_BHSK, visible_BTS)
        return self.out(mixed_BTHK.reshape(x_MD.shape)), (k_BHSK, v_BHSK)

    def _project(self, x_MD: Array, batch: int) -> tuple[Array, ...]:
        """[B, T, D] queries, keys and values."""
        if tuning.is_whole_on("gpu"):
            parts = (checkpoint_name(part_MD, "qkv") for part_MD in self.qkv.parts(x_MD))
            return tuple(part_MD.reshape(batch, -1, x_MD.shape[1]) for part_MD in parts)
        qkv_M3D = checkpoint_name(self.qkv(x_MD), "qkv")
        qkv_BT3D = qkv_M3D.reshape(batch, -1, *qkv_M3D.shape[1:])
        return tuple(qkv_BT3D[:, :, part] for part in range(3))


class Mlp(nnx.Module):
    """Two dense layers, four times as wide in between, with the tanh form of GELU."""

    def __init__(self, key: Array, model: config.Model):
        up_key, down_key = jax.random.split(key)
        width, dtype = model.embed_dim, model.compute_dtype
        self.up = Dense(up_key, width, (4 * width,), std=WEIGHT_STD, dtype=dtype)
        self.down = Dense(down_key, 4 * width, (width,), std=_residual_std(model), dtype=dtype)

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M D"]:
        activate = gelu.with_own_gradient if tuning.platform() == "gpu" else gelu.plain
        return self.down(activate(checkpoint_name(self.up(x_MD), "mlp")))


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
    ) -> tuple[Float[Array, "B T D"], tuple[Array, Array] | None]:
        """The residual stream after this block, and `held` with its keys and values."""
        weights_rng, attention_rng, mlp_rng = (
            (None,) * 3 if rng is None else jax.random.split(rng, 3)
        )
        x_MD = x_BTD.reshape(-1, x_BTD.shape[-1])
        mixed_MD, held = self.attention(
            self.attention_norm(x_MD), positions_BT, x_BTD.shape[0], held, weights_rng
        )
        x_MD = x_MD + attention.drop(mixed_MD, self.dropout, attention_rng)
        x_MD = checkpoint_name(x_MD, "residual")
        x_MD = x_MD + attention.drop(self.mlp(self.mlp_norm(x_MD)), self.dropout, mlp_rng)
        return sharding.constrain(x_MD.reshape(x_BTD.shape), ("batch", None, None)), held


def _residual_std(model: config.Model) -> float:
    # Radford et al., section 2.3: residual layers are scaled by 1/sqrt(their number), two a block.
    return WEIGHT_STD / math.sqrt(2 * model.layers)
