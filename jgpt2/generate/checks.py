"""What `jgpt2.generate.decode` refuses before any computation."""

from collections.abc import Sequence

import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Int

from jgpt2.errors import InputError


def require_prompts(
    prompts: Sequence[Int[np.ndarray, " tokens"]],
    context: int,
    sharding: NamedSharding | None,
) -> None:
    """InputError unless there are prompts that fit, and rows that divide over the devices."""
    if not prompts:
        raise InputError("no prompt to continue; give at least one, which may be empty.")
    for prompt in prompts:
        if len(prompt) >= context:
            raise InputError(
                f"the prompt has {len(prompt)} tokens, but the context of {context} holds "
                f"{context - 1} after its end-of-text token; shorten the prompt."
            )
    if sharding is None:
        return
    parts = sharding.mesh.size // sharding.shard_shape((sharding.mesh.size,))[0]
    if len(prompts) % parts:
        raise InputError(
            f"{len(prompts)} prompts do not divide over the {parts} devices that share a batch; "
            f"give a multiple of {parts}, or place every row on every device."
        )


def require_settings(seed: int, first_index: int, min_tokens: int, max_tokens: int | None) -> None:
    """InputError when seed or index are out of range, or the lengths contradict each other."""
    for name, value in (("seed", seed), ("first_index", first_index)):
        if not 0 <= value < 2**32:
            raise InputError(f"{name}={value} is out of range; choose 0 to {2**32 - 1}.")
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"max_tokens={max_tokens} asks for no text; choose 1 or more.")
    if min_tokens < 0:
        raise InputError(f"min_tokens={min_tokens} is negative; choose 0 or more.")
    if max_tokens is not None and min_tokens > max_tokens:
        raise InputError(
            f"min_tokens={min_tokens} is above max_tokens={max_tokens}; lower it, or raise "
            "max_tokens."
        )
