"""Keys and values of the tokens already read, so that each further token costs one position.

Rows are left-aligned and each has its own length: the next token of row b goes to place
`length[b]`. Decoding (`jgpt2.generate`) carries one `KVCache` through a loop and donates it.
"""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jgpt2 import config
from jgpt2.errors import InputError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KVCache:
    """What attention remembers; a pytree of fixed shapes."""

    # Heads before places: attention reads [S, K] per head as it lies, without a transposed copy of
    # the whole cache at every token (a CPU writes 16 rows 1.7 times as fast for it).
    keys: tuple[Float[Array, "B H S K"], ...]
    """One array per layer; places from `length` on hold nothing of meaning."""
    values: tuple[Float[Array, "B H S K"], ...]
    """Like the keys."""
    length: Int[Array, " B"]
    """Tokens read so far in each row."""

    @property
    def places(self) -> int:
        """Tokens that each row has room for (S)."""
        return self.keys[0].shape[2]


def empty(model: config.Model, batch: int, length: int, dtype: jnp.dtype | None = None) -> KVCache:
    """A cache with room for `length` tokens in each of `batch` rows; by default in compute_dtype.

    Raises InputError when `length` is above `model.context`: there are no positions for the rest.
    """
    if not 0 < length <= model.context:
        raise InputError(
            f"a cache of {length} tokens does not fit a model with a context of {model.context}; "
            f"choose a length from 1 to {model.context}."
        )
    dtype = jnp.dtype(model.compute_dtype) if dtype is None else dtype
    shape = (batch, model.heads, length, model.embed_dim // model.heads)
    # Every layer has its own buffers, so that a donated cache is updated in place.
    return KVCache(
        keys=tuple(jnp.zeros(shape, dtype) for _ in range(model.layers)),
        values=tuple(jnp.zeros(shape, dtype) for _ in range(model.layers)),
        length=jnp.zeros(batch, jnp.int32),
    )


def with_length(cache: KVCache, length_B: Int[Array, " B"]) -> KVCache:
    """The same cache, each row cut to `length_B` tokens.

    After a batch of prompts padded on the right has been read, this drops the padding: what lies
    beyond a row's length is never seen, and the next tokens overwrite it.
    """
    return dataclasses.replace(cache, length=jnp.asarray(length_B, jnp.int32))


def write(
    held_BHSK: Float[Array, "B H S K"],
    new_BHTK: Float[Array, "B H T K"],
    positions_BT: Int[Array, "B T"],
) -> Float[Array, "B H S K"]:
    """`held_BHSK` with the new entries at their places; entries beyond the last place are lost."""
    rows_B1 = jnp.arange(held_BHSK.shape[0])[:, None]
    new_BTHK = new_BHTK.swapaxes(1, 2).astype(held_BHSK.dtype)
    return held_BHSK.at[rows_B1, :, positions_BT].set(new_BTHK, mode="drop", unique_indices=True)
