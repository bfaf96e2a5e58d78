"""Other arrangements of the same parameters: stacked or listed blocks, and GPT-2's own names.

Export and import (`jgpt2.publish`) and the checks against other implementations stand on the
mapping to `transformers`' GPT2LMHeadModel; its Conv1D kernels are [in, out], like ours.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import gpt2

_TOP_NAMES = {
    ("tokens",): "wte.weight",
    ("positions",): "wpe.weight",
    ("norm", "scale"): "ln_f.weight",
    ("norm", "bias"): "ln_f.bias",
}
_BLOCK_NAMES = {
    ("attention_norm", "scale"): "ln_1.weight",
    ("attention_norm", "bias"): "ln_1.bias",
    ("attention", "qkv", "kernel"): "attn.c_attn.weight",
    ("attention", "qkv", "bias"): "attn.c_attn.bias",
    ("attention", "out", "kernel"): "attn.c_proj.weight",
    ("attention", "out", "bias"): "attn.c_proj.bias",
    ("mlp_norm", "scale"): "ln_2.weight",
    ("mlp_norm", "bias"): "ln_2.bias",
    ("mlp", "up", "kernel"): "mlp.c_fc.weight",
    ("mlp", "up", "bias"): "mlp.c_fc.bias",
    ("mlp", "down", "kernel"): "mlp.c_proj.weight",
    ("mlp", "down", "bias"): "mlp.c_proj.bias",
}
TOKENS = "transformer.wte.weight"
HEAD = "lm_head.weight"
_PREFIX = "transformer."
_BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks that old checkpoints carry


def stack_blocks(params: gpt2.Params) -> gpt2.Params:
    """Parameters in the layout of `scan_layers=True`, from that of `scan_layers=False`."""
    blocks = params["blocks"]
    layers = [blocks[layer] for layer in range(len(blocks))]
    return {**params, "blocks": jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}


def unstack_blocks(params: gpt2.Params) -> gpt2.Params:
    """Parameters in the layout of `scan_layers=False`, from that of `scan_layers=True`."""
    num_layers = jax.tree.leaves(params["blocks"])[0].shape[0]
    layers = {
        layer: jax.tree.map(lambda leaf, layer=layer: leaf[layer], params["blocks"])
        for layer in range(num_layers)
    }
    return {**params, "blocks": layers}


def to_gpt2_names(params: gpt2.Params, vocab_size: int) -> dict[str, np.ndarray]:
    """The parameters, in either layout, under GPT2LMHeadModel's names; vocabulary padding cropped.

    The head is tied to `transformer.wte.weight` and has no entry of its own.
    """
    if "attention" in params["blocks"]:
        params = unstack_blocks(params)
    tensors = {}
    for path, name in _names(len(params["blocks"])).items():
        leaf = params
        for key in path:
            leaf = leaf[key]
        tensor = np.asarray(leaf)
        if "qkv" in path:
            tensor = tensor.reshape(*tensor.shape[:-2], -1)
        tensors[name] = tensor[:vocab_size] if path == ("tokens",) else tensor
    return tensors


def from_gpt2_names(tensors: Mapping[str, np.ndarray]) -> tuple[gpt2.Params, int]:
    """Parameters in the layout of `scan_layers=False`, and the vocabulary size, from those names.

    Names may lack `transformer.`, as in GPT2Model; mask buffers are ignored. Raises InputError for
    a missing or unknown name, and for a head that is not tied to the token table.
    """
    given = with_prefix(tensors)
    head = given.pop(HEAD, None)
    layers = {name.split(".")[2] for name in given if name.startswith(_PREFIX + "h.")}
    names = _names(len(layers))
    _require_names(set(given), set(names.values()))
    tokens = given[names["tokens",]]
    if head is not None and not np.array_equal(head, tokens):
        raise InputError(
            "lm_head.weight differs from transformer.wte.weight: the head of this checkpoint is "
            "not tied to its token table, which GPT-2's is; it cannot be loaded."
        )
    params: gpt2.Params = {}
    for path, name in names.items():
        tensor = given[name].astype(np.float32)
        if path == ("tokens",):
            padding = gpt2.padded_vocab(len(tensor)) - len(tensor)
            tensor = np.pad(tensor, ((0, padding), (0, 0)))
        if "qkv" in path:
            tensor = tensor.reshape(*tensor.shape[:-1], 3, -1)
        branch = params
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = jnp.asarray(tensor)
    return params, len(tokens)


def with_prefix(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under GPT2LMHeadModel's names, without the masks that old checkpoints carry.

    Raises InputError where one stands there both with and without `transformer.`.
    """
    given = {}
    for name, tensor in tensors.items():
        if name.endswith(_BUFFERS):
            continue
        full = name if name.startswith((_PREFIX, HEAD)) else _PREFIX + name
        if full in given:
            raise InputError(
                f"the checkpoint has {full} twice, with `transformer.` and without; keep one."
            )
        given[full] = np.asarray(tensor)
    return given


def gpt2_shapes(model: config.Model, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of `to_gpt2_names`; costs nothing at any size."""
    one_block = dataclasses.replace(model, layers=1, scan_layers=False)
    _, params = gpt2.abstract(one_block, vocab_size)
    shapes = {}
    for path, name in _names(model.layers).items():
        leaf: Any = params
        for key in ("blocks", 0, *path[2:]) if path[0] == "blocks" else path:
            leaf = leaf[key]
        shape = tuple(leaf.shape)
        if "qkv" in path:
            shape = *shape[:-2], shape[-2] * shape[-1]
        shapes[name] = (vocab_size, *shape[1:]) if path == ("tokens",) else shape
    return shapes


def _names(num_layers: int) -> dict[tuple[Any, ...], str]:
    names: dict[tuple[Any, ...], str] = {path: _PREFIX + name for path, name in _TOP_NAMES.items()}
    for layer in range(num_layers):
        for path, name in _BLOCK_NAMES.items():
            names["blocks", layer, *path] = f"{_PREFIX}h.{layer}.{name}"
    return names


def _require_names(given: set[str], needed: set[str]) -> None:
    for names, what in ((needed - given, "lacks"), (given - needed, "has unknown")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise InputError(
                f"the checkpoint {what} {shown} ({len(names)} in all), so it is not a GPT-2; give "
                "one saved from GPT2LMHeadModel."
            )
