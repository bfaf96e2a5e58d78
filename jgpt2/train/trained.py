"""Which parameters a run trains: all of them, or what its tuning leaves free.

The others have no gradients, no optimizer state and no decay.
"""

from typing import Any

from flax import traverse_util

from jgpt2 import config
from jgpt2.model import gpt2, lora


def split(params: gpt2.Params, tuning: config.Tuning | None) -> tuple[gpt2.Params, gpt2.Params]:
    """The parameters that are trained and those that stay, each as a tree of what it has."""
    if tuning is None:
        return params, {}
    parts: tuple[dict[Any, Any], dict[Any, Any]] = {}, {}
    for path, leaf in traverse_util.flatten_dict(params).items():
        parts[0 if _is_trained(path, tuning) else 1][path] = leaf
    return traverse_util.unflatten_dict(parts[0]), traverse_util.unflatten_dict(parts[1])


def join(trained: gpt2.Params, frozen: gpt2.Params) -> gpt2.Params:
    """The parameters whose two parts these are."""
    if not frozen:
        return trained
    flat = traverse_util.flatten_dict(trained) | traverse_util.flatten_dict(frozen)
    return traverse_util.unflatten_dict(flat)


def _is_trained(path: tuple[Any, ...], tuning: config.Tuning) -> bool:
    if tuning.method == "lora":
        return path[-1] in lora.NAMES
    if tuning.frozen_layers is None or path[0] == "norm":
        return True
    return path[0] == "blocks" and (tuning.frozen_layers == 0 or path[1] >= tuning.frozen_layers)
