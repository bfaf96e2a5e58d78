"""From a budget to a number of steps: the same arithmetic for steps, tokens, bytes and FLOPs."""

import math

from jgpt2 import config
from jgpt2.model import count


def tokens_per_step(experiment: config.Experiment) -> int:
    """Tokens predicted in one optimizer step, over all devices."""
    return experiment.batch.sequences * experiment.model.context


def num_steps(experiment: config.Experiment, *, vocab_size: int, bytes_per_token: float) -> int:
    """Optimizer steps that reach the budget, rounded up: at most one step is seen beyond it.

    `bytes_per_token` is the average over the training split, or over the mixture of several, so
    a budget in bytes is met on average over the order of the data; the bytes really seen are
    counted in metrics.jsonl.
    """
    budget = experiment.budget
    if budget.steps is not None:
        return budget.steps
    if budget.tokens is not None:
        tokens = float(budget.tokens)
    elif budget.num_bytes is not None:
        tokens = budget.num_bytes / bytes_per_token
    else:
        assert budget.flops is not None
        tokens = budget.flops / count.flops_per_token(experiment.model, vocab_size)
    return math.ceil(tokens / tokens_per_step(experiment))
