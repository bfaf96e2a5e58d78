"""The optimizer of a run: learning-rate schedule, AdamW with its decay mask, clipping.

Built from Optax parts; `jgpt2.train.step` applies it. Counts are optimizer steps, from 0.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jgpt2 import config

UNDECAYED = ("bias", "scale")
"""Last path names of parameters that weight decay leaves alone: biases and LayerNorm gains."""


def schedule(settings: config.Schedule, *, peak_lr: float, num_steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then cosine, linear, or stable-and-decay (wsd).

    Step 0 already learns (the warm-up starts at peak_lr / warm-up steps), some step has the peak,
    and the last one has `final_lr * peak_lr`; where there is only one step, it has the peak. WSD
    is the schedule of Hu et al. 2024 (MiniCPM, section 4) with linear decay.
    """
    warmup_steps = max(1, min(round(settings.warmup * num_steps), num_steps - 1))
    last_lr = settings.final_lr * peak_lr
    rise = optax.linear_schedule(peak_lr / warmup_steps, peak_lr, max(1, warmup_steps - 1))
    fall_steps = max(1, num_steps - warmup_steps)
    if settings.kind == "cosine":
        fall = optax.cosine_decay_schedule(peak_lr, fall_steps, alpha=settings.final_lr)
    elif settings.kind == "linear":
        fall = optax.linear_schedule(peak_lr, last_lr, fall_steps)
    else:
        decay_steps = min(fall_steps, max(1, round(settings.decay * num_steps)))
        fall = optax.linear_schedule(peak_lr, last_lr, decay_steps, fall_steps - decay_steps)
    # Both have the peak on step warmup_steps - 1; from there `fall` ends on step num_steps - 1.
    return optax.join_schedules([rise, fall], [warmup_steps - 1])


def make(settings: config.Optimizer, lr: optax.Schedule) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) after clipping by global norm."""
    adamw = optax.adamw(
        lr,
        b1=settings.beta1,
        b2=settings.beta2,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        mask=decay_mask,
    )
    if settings.clip_norm is None:
        return adamw
    return optax.chain(clip(settings.clip_norm), adamw)


def clip(limit: float) -> optax.GradientTransformation:
    """Gradients scaled down to a global norm of `limit` where theirs is above it.

    `optax.clip_by_global_norm` divides every gradient by the norm, and XLA stores the quotients; a
    factor is multiplied in where the moments are updated, and the gradients are not written again.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        factor = limit / jnp.maximum(optax.tree.norm(updates), limit)
        return jax.tree.map(lambda grad: grad * factor.astype(grad.dtype), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def decay_mask(params: Any) -> Any:
    """True for the matrices and embeddings, False for biases and LayerNorm gains."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path[-1:], simple=True) not in UNDECAYED, params
    )
