"""LoRA (Hu et al. 2021, arXiv:2106.09685): a kernel W that stays counts as W + alpha/rank · A·B.

Adapters A and B (`lora_in`, `lora_out`) lie beside each kernel of a block: attention's qkv (as one
matrix) and out, the MLP's up and down. The paper adapts attention alone; with all kernels LoRA
reaches full fine-tuning (Dettmers et al. 2023, arXiv:2305.14314, section 4). Embeddings, biases
and LayerNorms stay. `merged` gives plain parameters, which is all that anyone but training sees.
"""

import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jaxtyping import Array, Float

from jgpt2 import config
from jgpt2.model import block, gpt2, product

NAMES = ("lora_in", "lora_out")
"""Last path names of the adapters."""


class LoraDense(block.Dense):
    """A dense layer with its adapter beside it: x·W + bias + scale·(x·A)·B."""

    def __init__(self, dense: block.Dense, tuning: config.Tuning, *, is_stacked: bool):
        """Adapters of zeros; `is_stacked` where `dense` holds the kernels of all layers."""
        self.kernel, self.bias, self.dtype = dense.kernel, dense.bias, dense.dtype
        self.scale = tuning.lora_alpha / tuning.lora_rank
        shape, width_axis = dense.kernel.shape, int(is_stacked)
        self.lora_in = nnx.Param(jnp.zeros((*shape[: width_axis + 1], tuning.lora_rank)))
        out = (*shape[:width_axis], tuning.lora_rank, *shape[width_axis + 1 :])
        self.lora_out = nnx.Param(jnp.zeros(out))

    def __call__(self, x_MD: Float[Array, "M D"]) -> Float[Array, "M *out"]:
        low_MR = product.dense(x_MD, self.lora_in[...].astype(self.dtype))
        added = product.dense(low_MR, self.lora_out[...].astype(self.dtype))
        return super().__call__(x_MD) + self.scale * added

    def parts(self, x_MD: Float[Array, "M D"]) -> tuple[Float[Array, "M F"], ...]:
        """The parts of that sum."""
        whole_MPF = self(x_MD)
        return tuple(whole_MPF[:, part] for part in range(whole_MPF.shape[1]))


@functools.lru_cache(maxsize=8)
def abstract(
    model: config.Model, vocab_size: int, tuning: config.Tuning | None
) -> tuple[nnx.GraphDef[gpt2.GPT2], gpt2.Params]:
    """`gpt2.abstract` with the adapters that the tuning asks for; without them the very same."""
    if tuning is None or tuning.method != "lora":
        return gpt2.abstract(model, vocab_size)
    module = nnx.eval_shape(lambda: _adapted(gpt2.GPT2(model, vocab_size, seed=0), tuning))
    graphdef, state = nnx.split(module, nnx.Param)
    return graphdef, nnx.to_pure_dict(state)


def _adapted(module: gpt2.GPT2, tuning: config.Tuning) -> gpt2.GPT2:
    is_stacked = isinstance(module.blocks, block.Block)
    blocks: Any = [module.blocks] if is_stacked else module.blocks
    for one in list(blocks)[tuning.frozen_layers or 0 :]:
        for owner, name in (
            (one.attention, "qkv"),
            (one.attention, "out"),
            (one.mlp, "up"),
            (one.mlp, "down"),
        ):
            setattr(owner, name, LoraDense(getattr(owner, name), tuning, is_stacked=is_stacked))
    return module


def add(params: gpt2.Params, like: gpt2.Params, seed: int) -> gpt2.Params:
    """The parameters with the adapters that `like` has beside them; the model stays what it is.

    A is Gaussian and B is zero (Hu et al., section 4.1). The standard deviation, 1/√D of the
    kernel's input, gives x·A the size of x. The numbers depend on the seed, the layer and the
    kernel's name, not on the layout of the blocks.
    """
    flat: Any = traverse_util.flatten_dict(params)
    wanted: Any = traverse_util.flatten_dict(like)
    for path, leaf in wanted.items():
        if path[-1] == "lora_out":
            flat[path] = jnp.zeros(leaf.shape)
        elif path[-1] == "lora_in":
            key = jax.random.fold_in(jax.random.key(seed), zlib.crc32("/".join(path[-3:]).encode()))
            draw = functools.partial(_draw, key, leaf.shape[-2:])
            is_stacked = leaf.ndim > 2
            flat[path] = jax.vmap(draw)(jnp.arange(len(leaf))) if is_stacked else draw(path[1])
    return traverse_util.unflatten_dict(flat)


def _draw(key: Array, shape: tuple[int, int], layer: Array | int) -> Float[Array, "D R"]:
    return jax.random.normal(jax.random.fold_in(key, layer), shape) * shape[0] ** -0.5


def merged(params: gpt2.Params, tuning: config.Tuning | None) -> gpt2.Params:
    """Plain GPT-2 parameters that give the same logits: every kernel with its adapter added.

    They are placed as the given ones, which are theirs but for the changed kernels.
    """
    if tuning is None or tuning.method != "lora":
        return params
    flat: Any = traverse_util.flatten_dict(params)
    places = {path: leaf.sharding for path, leaf in flat.items() if path[-1] not in NAMES}
    merge = jax.jit(_merge, static_argnums=1, out_shardings=traverse_util.unflatten_dict(places))
    return merge(params, tuning.lora_alpha / tuning.lora_rank)


def _merge(params: gpt2.Params, scale: float) -> gpt2.Params:
    flat: Any = traverse_util.flatten_dict(params)
    plain = {path: leaf for path, leaf in flat.items() if path[-1] not in NAMES}
    for path in [path for path in flat if path[-1] == "lora_in"]:
        low, up = flat[path], flat[(*path[:-1], "lora_out")]
        times = functools.partial(jnp.tensordot, axes=1, precision="highest")
        added = jax.vmap(times)(low, up) if low.ndim > 2 else times(low, up)
        kernel = (*path[:-1], "kernel")
        plain[kernel] = plain[kernel] + scale * added
    return traverse_util.unflatten_dict(plain)
