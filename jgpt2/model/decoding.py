"""One token per row through the model, beside a cache that is only read meanwhile.

A loop that writes a large cache at every token has it copied by the compiler. So the newest tokens
lie apart, in `Recent`, whose rows all write at one place; `settle` moves them into the cache once
per chunk. Dims: B batch, S places of the cache, C places of a chunk, H heads, K head width.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jgpt2 import config
from jgpt2.model import attention, block, gpt2
from jgpt2.model import cache as kv_cache


class Recent(NamedTuple):
    """Keys and values of the tokens read since the cache was last written, one array per layer."""

    keys: tuple[Float[Array, "B H C K"], ...]
    values: tuple[Float[Array, "B H C K"], ...]


def no_recent(model: config.Model, batch: int, places: int) -> Recent:
    """Room for `places` tokens in each of `batch` rows, in compute_dtype."""
    shape = (batch, model.heads, places, model.embed_dim // model.heads)
    empty = tuple(jnp.zeros(shape, model.compute_dtype) for _ in range(model.layers))
    return Recent(empty, empty)


def read(
    module: gpt2.GPT2,
    ids_B: Int[Array, " B"],
    place: Int[Array, ""],
    held: kv_cache.KVCache,
    recent: Recent,
) -> tuple[Float[Array, "B 1 D"], Recent]:
    """Hidden states after one more token per row, which every row writes at `place` of `recent`.

    The places before it hold the tokens that follow those of `held`. Rows that are at the end of
    the context may be read on: what comes out has no meaning, and does no harm to the others.
    """
    positions_B = jnp.minimum(held.length + place, module.model.context - 1)
    x_BD = module.tokens[...][ids_B] + module.positions[...][positions_B]
    x_BD = x_BD.astype(module.model.compute_dtype)
    pairs = []
    for layer in range(module.model.layers):
        graphdef, params = module.split_layer(layer)
        old = held.keys[layer], held.values[layer]
        new = recent.keys[layer], recent.values[layer]
        x_BD, pair = _apply_block(graphdef, params, x_BD, place, held.length, old, new)
        pairs.append(pair)
    keys, values = zip(*pairs, strict=True)
    return module.norm(x_BD)[:, None], Recent(keys, values)


def settle(
    held: kv_cache.KVCache, recent: Recent, num_read_B: Int[Array, " B"]
) -> kv_cache.KVCache:
    """The cache after the first `num_read_B` tokens of `recent` in each row."""
    positions_BC = held.length[:, None] + jnp.arange(recent.keys[0].shape[2])[None]

    def write(all_held: tuple[Array, ...], all_new: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(
            kv_cache.write(held_BHSK, new_BHCK, positions_BC)
            for held_BHSK, new_BHCK in zip(all_held, all_new, strict=True)
        )

    return kv_cache.KVCache(
        keys=write(held.keys, recent.keys),
        values=write(held.values, recent.values),
        length=held.length + num_read_B,
    )


@functools.partial(jax.jit, static_argnums=0)
def _apply_block(
    graphdef: nnx.GraphDef[block.Block],
    params: gpt2.Params,
    x_BD: Float[Array, "B D"],
    place: Int[Array, ""],
    length_B: Int[Array, " B"],
    held: tuple[Array, Array],
    recent: tuple[Array, Array],
) -> tuple[Float[Array, "B D"], tuple[Array, Array]]:
    """The residual stream after one block, and `recent` with its key and value; traced once."""
    part = nnx.merge(graphdef, params)
    mixed_BD, recent = _attend(
        part.attention, part.attention_norm(x_BD), place, length_B, held, recent
    )
    x_BD = x_BD + mixed_BD
    return x_BD + part.mlp(part.mlp_norm(x_BD)), recent


def _attend(
    part: block.Attention,
    x_BD: Float[Array, "B D"],
    place: Int[Array, ""],
    length_B: Int[Array, " B"],
    held: tuple[Array, Array],
    recent: tuple[Array, Array],
) -> tuple[Float[Array, "B D"], tuple[Array, Array]]:
    """As `attention.attend` for one query, over the cache and the recent tokens together."""
    qkv_B3HK = part.qkv(x_BD).reshape(len(x_BD), 3, part.model.heads, -1)
    q_BHK, k_BHK, v_BHK = (qkv_B3HK[:, i] for i in range(3))
    k_BHSK, v_BHSK = held
    k_BHCK, v_BHCK = (
        jax.lax.dynamic_update_slice_in_dim(all_BHCK, new_BHK[:, :, None], place, 2)
        for all_BHCK, new_BHK in zip(recent, (k_BHK, v_BHK), strict=True)
    )
    scores_BHJ = jnp.concatenate(
        [
            _scores(q_BHK, k_BHSK, jnp.arange(k_BHSK.shape[2])[None] < length_B[:, None]),
            _scores(q_BHK, k_BHCK, jnp.arange(k_BHCK.shape[2])[None] <= place),
        ],
        axis=-1,
    )
    weights_BHJ = jax.nn.softmax(scores_BHJ, axis=-1).astype(v_BHK.dtype)
    weights_BHS, weights_BHC = jnp.split(weights_BHJ, [k_BHSK.shape[2]], axis=-1)
    mixed_BHK = jnp.einsum("BHS,BHSK->BHK", weights_BHS, v_BHSK)
    mixed_BHK = mixed_BHK + jnp.einsum("BHC,BHCK->BHK", weights_BHC, v_BHCK)
    return part.out(mixed_BHK.reshape(x_BD.shape)), (k_BHCK, v_BHCK)


def _scores(
    q_BHK: Float[Array, "B H K"], k_BHSK: Float[Array, "B H S K"], visible_BS: Array
) -> Float[Array, "B H S"]:
    q_BHK = q_BHK * q_BHK.shape[-1] ** -0.5
    scores_BHS = jnp.einsum("BHK,BHSK->BHS", q_BHK, k_BHSK, preferred_element_type=jnp.float32)
    return jnp.where(visible_BS[:, None], scores_BHS, attention.MASKED_SCORE)
