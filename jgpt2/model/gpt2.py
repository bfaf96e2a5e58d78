"""GPT-2 (Radford et al. 2019) as Flax NNX modules: token ids in, hidden states and logits out.

`create` gives the static part and the parameters; everything after that is `jax.jit` over the
parameters, with `nnx.merge(graphdef, params)` inside. Parameters are float32, activations
`compute_dtype`; LayerNorm statistics, softmax and logits are float32. Dims: B batch, T positions,
D model width, H heads, K head width, F MLP width, V padded vocabulary, N layers, M = B·T rows.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, overload

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import attention, block, blocked_loss, sharding, tuning
from jgpt2.model import cache as kv_cache

Params = dict[str, Any]
"""Nested plain dict of float32 arrays; `blocks` is keyed by layer number, or stacked (N first)."""

VOCAB_MULTIPLE = 128
"""The token table is padded to this: the width of a TPU's matrix unit, and of any tensor mesh."""

POSITION_STD = 0.01  # Radford et al.'s code, src/model.py `wpe` (transformers takes 0.02)


class GPT2(nnx.Module):
    """The whole model; call it for hidden states, then `logits` for predictions."""

    def __init__(self, model: config.Model, vocab_size: int, seed: int):
        token_key, position_key, layers_key = jax.random.split(jax.random.key(seed), 3)
        self.model = model
        self.vocab_size = vocab_size
        tokens = block.WEIGHT_STD * jax.random.normal(token_key, (vocab_size, model.embed_dim))
        padding = padded_vocab(vocab_size) - vocab_size
        self.tokens = nnx.Param(jnp.pad(tokens, ((0, padding), (0, 0))))
        self.positions = nnx.Param(
            POSITION_STD * jax.random.normal(position_key, (model.context, model.embed_dim))
        )
        layer_keys = [jax.random.fold_in(layers_key, layer) for layer in range(model.layers)]
        if model.scan_layers:
            self.blocks = nnx.vmap(lambda key: block.Block(key, model))(jnp.stack(layer_keys))
        else:
            self.blocks = nnx.List([block.Block(key, model) for key in layer_keys])
        self.norm = block.LayerNorm(model.embed_dim)

    @overload
    def __call__(
        self,
        ids_BT: Int[Array, "B T"],
        *,
        positions_BT: Int[Array, "#B T"] | None = None,
        cache: None = None,
        dropout_rng: Key[Array, ""] | None = None,
    ) -> Float[Array, "B T D"]: ...

    @overload
    def __call__(
        self, ids_BT: Int[Array, "B T"], *, cache: kv_cache.KVCache
    ) -> tuple[Float[Array, "B T D"], kv_cache.KVCache]: ...

    def __call__(
        self,
        ids_BT: Int[Array, "B T"],
        *,
        positions_BT: Int[Array, "#B T"] | None = None,
        cache: kv_cache.KVCache | None = None,
        dropout_rng: Key[Array, ""] | None = None,
    ) -> Float[Array, "B T D"] | tuple[Float[Array, "B T D"], kv_cache.KVCache]:
        """Hidden states after the last LayerNorm, and with `cache` the cache after these tokens.

        With `cache`, the T tokens continue each row at its own `length`. `dropout_rng` turns
        dropout on. Raises InputError when T does not fit.
        """
        num_positions = ids_BT.shape[1]
        self._require_fit(num_positions, cache)
        if positions_BT is None:
            positions_BT = jnp.arange(num_positions)[None]
        if cache is not None:
            positions_BT = positions_BT + cache.length[:, None]
        embed_rng, layers_rng = (
            (None,) * 2 if dropout_rng is None else jax.random.split(dropout_rng)
        )
        x_BTD = self._embed(ids_BT, positions_BT, embed_rng)
        if cache is None:
            return self._norm(self._apply_blocks(x_BTD, positions_BT, layers_rng))
        held = []
        for layer in range(self.model.layers):
            graphdef, params = self.split_layer(layer)
            pair = cache.keys[layer], cache.values[layer]
            x_BTD, pair = _apply_block(graphdef, params, x_BTD, positions_BT, None, pair)
            held.append(pair)
        keys, values = zip(*held, strict=True)
        return self._norm(x_BTD), kv_cache.KVCache(keys, values, cache.length + num_positions)

    def _require_fit(self, num_positions: int, cache: kv_cache.KVCache | None) -> None:
        places = self.model.context if cache is None else cache.places
        if num_positions > places:
            raise InputError(
                f"rows of {num_positions} tokens do not fit a "
                f"{'context' if cache is None else 'cache'} of {places}; cut them, or choose a "
                "model with a longer context."
            )

    def split_layer(self, layer: int) -> tuple[nnx.GraphDef[block.Block], Params]:
        """One block by its number as `create` gives a model, in either layout of the parameters."""
        if isinstance(self.blocks, nnx.List):
            graphdef, state = nnx.split(self.blocks[layer])
        else:
            graphdef, stacked = nnx.split(self.blocks)
            state = jax.tree.map(lambda leaf: leaf[layer], stacked)
        return graphdef, nnx.to_pure_dict(state)

    def head(self) -> Float[Array, "V D"]:
        """The token table as the last matrix, in the type of activations."""
        return self.tokens[...].astype(self.model.compute_dtype)

    def logits(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Float32 scores of the next token over the padded vocabulary, the padding masked out."""
        tokens_VD = self.tokens[...].astype(x_BTD.dtype)
        x_MD = x_BTD.reshape(-1, x_BTD.shape[-1])
        logits_MV = jnp.einsum("MD,VD->MV", x_MD, tokens_VD, preferred_element_type=jnp.float32)
        if self.vocab_size < tokens_VD.shape[0]:
            is_real_V = jnp.arange(tokens_VD.shape[0]) < self.vocab_size
            logits_MV = jnp.where(is_real_V[None], logits_MV, blocked_loss.PADDING_LOGIT)
        return logits_MV.reshape(*x_BTD.shape[:2], -1)

    def _embed(self, ids_BT: Array, positions_BT: Array, rng: Array | None) -> Array:
        x_BTD = look_up(self.tokens[...], ids_BT) + self.positions[...][positions_BT]
        x_BTD = sharding.constrain(x_BTD, ("batch", None, None))
        return attention.drop(x_BTD.astype(self.model.compute_dtype), self.model.dropout, rng)

    def _norm(self, x_BTD: Array) -> Array:
        return self.norm(x_BTD.reshape(-1, x_BTD.shape[-1])).reshape(x_BTD.shape)

    def _apply_blocks(self, x_BTD: Array, positions_BT: Array, rng: Array | None) -> Array:
        if isinstance(self.blocks, block.Block):
            graphdef, stacked = nnx.split(self.blocks)

            def body(x_BTD: Array, layer: tuple[Array, Any]) -> tuple[Array, None]:
                layer_rng = _layer_rng(rng, layer[0])
                return _apply_block(graphdef, layer[1], x_BTD, positions_BT, layer_rng)

            layers = (jnp.arange(self.model.layers), nnx.to_pure_dict(stacked))
            return jax.lax.scan(body, x_BTD, layers)[0]
        for layer in range(self.model.layers):
            graphdef, params = self.split_layer(layer)
            x_BTD, _ = _apply_block(graphdef, params, x_BTD, positions_BT, _layer_rng(rng, layer))
        return x_BTD


def create(model: config.Model, vocab_size: int, seed: int) -> tuple[nnx.GraphDef[GPT2], Params]:
    """The static part and freshly drawn parameters of a GPT-2; the same for the same arguments.

    The numbers depend neither on `scan_layers` nor on the padding of the vocabulary. To draw them
    where they will live: `jax.jit(lambda: create(...)[1], out_shardings=...)()`.
    """
    # One layer's random numbers, mapped over the layers: less to trace and to compile.
    stacked = dataclasses.replace(model, scan_layers=True)
    params = nnx.to_pure_dict(nnx.split(GPT2(stacked, vocab_size, seed), nnx.Param)[1])
    graphdef, _ = abstract(model, vocab_size)
    if not model.scan_layers:
        layers = range(model.layers)
        params["blocks"] = {
            layer: jax.tree.map(lambda leaf, layer=layer: leaf[layer], params["blocks"])
            for layer in layers
        }
    return graphdef, params


@functools.lru_cache(maxsize=8)
def abstract(model: config.Model, vocab_size: int) -> tuple[nnx.GraphDef[GPT2], Params]:
    """What `create` gives with shapes and types in place of arrays; costs nothing at any size."""
    module = nnx.eval_shape(lambda: GPT2(model, vocab_size, seed=0))
    graphdef, state = nnx.split(module, nnx.Param)
    return graphdef, nnx.to_pure_dict(state)


def forward(
    graphdef: nnx.GraphDef[GPT2], params: Params, ids_BT: Int[Array, "B T"]
) -> Float[Array, "B T V"]:
    """Logits over the padded vocabulary, from parameters alone: the form to hand to `jax.jit`."""
    module = nnx.merge(graphdef, params)
    return module.logits(module(ids_BT))


def padded_vocab(vocab_size: int) -> int:
    """Rows of the token table: the vocabulary rounded up to a multiple of 128."""
    return math.ceil(vocab_size / VOCAB_MULTIPLE) * VOCAB_MULTIPLE


@functools.partial(jax.jit, static_argnums=0)
def _apply_block(
    graphdef: nnx.GraphDef[block.Block],
    params: Params,
    x_BTD: Array,
    positions_BT: Array,
    rng: Array | None,
    held: tuple[Array, Array] | None = None,
) -> tuple[Array, Any]:
    """One block as a function of its own: traced and lowered once, however many layers there are.

    The compiler puts it back where it is called.
    """

    def apply(params: Params, *inputs: Any) -> tuple[Array, Any]:
        x_BTD, positions_BT, rng, held = inputs
        whole = sharding.gather(params, model.compute_dtype)
        return nnx.merge(graphdef, whole)(x_BTD, positions_BT, held, rng)

    model = nnx.merge(graphdef, params).attention.model
    return _rematerialised(apply, model)(params, x_BTD, positions_BT, rng, held)


def _rematerialised(apply: Callable[..., Any], model: config.Model) -> Callable[..., Any]:
    remat = tuning.remat(model)
    if remat == "none":
        return apply
    policies = jax.checkpoint_policies
    policy = {
        # Without batch dims: the T x T scores of attention are computed again, projections kept.
        "dots": policies.dots_with_no_batch_dims_saveable,
        "names": policies.save_only_these_names(*block.SAVED_NAMES),
        "attention": policies.save_only_these_names("attention"),
        "full": policies.nothing_saveable,
    }[remat]
    # A scan body runs once per layer, so nothing outside it can be merged with its recomputation.
    return jax.checkpoint(apply, policy=policy, prevent_cse=not model.scan_layers)


@jax.custom_vjp
def look_up(table_VD: Array, ids_BT: Array) -> Array:
    return table_VD[ids_BT]


def look_up_forward(table_VD: Array, ids_BT: Array) -> tuple[Array, Any]:
    return table_VD[ids_BT], (jnp.zeros((0, *table_VD.shape), table_VD.dtype), ids_BT)


def look_up_backward(residuals: Any, x_BTD: Array) -> tuple[Array, None]:
    # Summed in float32 also where the table is bfloat16: a frequent token has hundreds of terms.
    like_0VD, ids_BT = residuals
    sums_VD = jnp.zeros(like_0VD.shape[1:], jnp.float32)
    return sums_VD.at[ids_BT].add(x_BTD.astype(jnp.float32)).astype(like_0VD.dtype), None


look_up.defvjp(look_up_forward, look_up_backward)


def _layer_rng(rng: Array | None, layer: Array | int) -> Array | None:
    return None if rng is None else jax.random.fold_in(rng, layer)
