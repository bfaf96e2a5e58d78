"""From an arm to the run that a control asks of it: body, rows of a batch, steps; and its cost.

A vocabulary enters by two numbers only: how many ids it has, and how many bytes of the training
text a token of it holds.
"""

import math
from dataclasses import dataclass, replace

from jgpt2.ablation import study as studies
from jgpt2.config import Batch, Budget, Checkpoint, Evaluation, Experiment, Model
from jgpt2.errors import InputError
from jgpt2.model import count
from jgpt2.train import budget

EVALUATIONS = 10
"""Points of the curve of every run."""
CHECKPOINTS = 4
_MOST_OFF = 0.1
"""Share by which a batch may miss the bytes that it is to hold."""
_FEWEST_STEPS = 20


@dataclass(frozen=True)
class Vocabulary:
    """What a study needs to know of a tokenizer before it trains with it."""

    name: str
    fingerprint: str
    vocab_size: int
    bytes_per_token: float
    """Of the training text, EOTs counted."""
    chars_per_byte: float
    """Of the measured documents: equal for all vocabularies."""


@dataclass(frozen=True)
class Cost:
    """What a run takes, by the closed formulas of `jgpt2.model.count`."""

    body_parameters: int
    """Non-embedding: of the blocks and the last norm."""
    vocabulary_parameters: int
    """Of the token table, which is also the head."""
    embedding_share: float
    """Of the token table in all parameters."""
    flops_per_token: float
    """Of training."""
    flops_per_char: float
    """Of training."""
    forward_flops_per_char: float
    """Of reading or writing one character: a third."""
    steps: int
    tokens: int
    num_bytes: float
    """UTF-8 bytes of text, on average over the order of the data."""
    batch_bytes: float
    flops: float
    """In all."""


def resolve(
    plan: studies.Plan,
    arm: str,
    control: studies.Control,
    vocabularies: dict[str, Vocabulary],
    *,
    seed: int,
    peak_lr: float | None = None,
) -> Experiment:
    """The run of an arm under a control; `peak_lr` is what a sweep has chosen.

    Its budget is in steps, so that two controls that ask for the same run get the same one. Raises
    InputError where a batch cannot hold the bytes it should, or the run would be too short.
    """
    given = plan.arms[arm]
    reference = plan.reference_of(arm)
    own, other = vocabularies[given.tokenizer], vocabularies[plan.study.reference]
    model = given.model
    if control == "iso_parameter":
        model = _matched(model, own.vocab_size, other.vocab_size, by=plan.study.match_by)
    assert given.budget.num_bytes is not None
    tokens = given.budget.num_bytes / own.bytes_per_token
    if control == "iso_flop":
        flops = _flops(plan.arms[reference], other)
        tokens = flops / count.flops_per_token(model, own.vocab_size)
    sequences = _rows(plan.study, model, own)
    steps = round(tokens / (sequences * model.context))
    if steps < _FEWEST_STEPS:
        raise InputError(
            f"the arm {arm} under {control} would be trained for {steps} steps, too few for a "
            f"schedule; raise budget.num_bytes or lower study.batch_bytes to get {_FEWEST_STEPS}."
        )
    optimizer = given.optimizer
    return replace(
        given,
        name=arm,
        seed=seed,
        model=model,
        optimizer=optimizer if peak_lr is None else replace(optimizer, peak_lr=peak_lr),
        batch=Batch(sequences=sequences, accumulation=given.batch.accumulation),
        budget=Budget(steps=steps),
        evaluation=Evaluation(
            every_steps=math.ceil(steps / EVALUATIONS), max_bytes=given.evaluation.max_bytes
        ),
        checkpoint=Checkpoint(every_steps=math.ceil(steps / CHECKPOINTS)),
    )


def shortened(experiment: Experiment, share: float, peak_lr: float) -> Experiment:
    """The run of a sweep: a share of the steps, decayed to the end, evaluated there only."""
    assert experiment.budget.steps is not None
    steps = max(_FEWEST_STEPS, round(share * experiment.budget.steps))
    return replace(
        experiment,
        optimizer=replace(experiment.optimizer, peak_lr=peak_lr),
        budget=Budget(steps=steps),
        evaluation=replace(experiment.evaluation, every_steps=steps),
        checkpoint=Checkpoint(every_steps=steps),
    )


def cost(experiment: Experiment, vocabulary: Vocabulary) -> Cost:
    """What a resolved run takes."""
    model, size = experiment.model, vocabulary.vocab_size
    assert experiment.budget.steps is not None
    per_step = budget.tokens_per_step(experiment)
    tokens = experiment.budget.steps * per_step
    flops = count.flops_per_token(model, size)
    chars_per_token = vocabulary.bytes_per_token * vocabulary.chars_per_byte
    table = size * model.embed_dim
    return Cost(
        body_parameters=count.body_parameters(model),
        vocabulary_parameters=table,
        embedding_share=table / count.parameters(model, size),
        flops_per_token=flops,
        flops_per_char=flops / chars_per_token,
        forward_flops_per_char=flops / 3 / chars_per_token,
        steps=experiment.budget.steps,
        tokens=tokens,
        num_bytes=tokens * vocabulary.bytes_per_token,
        batch_bytes=per_step * vocabulary.bytes_per_token,
        flops=flops * tokens,
    )


def _flops(reference: Experiment, vocabulary: Vocabulary) -> float:
    assert reference.budget.num_bytes is not None
    tokens = reference.budget.num_bytes / vocabulary.bytes_per_token
    return tokens * count.flops_per_token(reference.model, vocabulary.vocab_size)


def _rows(study: studies.Study, model: Model, vocabulary: Vocabulary) -> int:
    """Rows of a batch that hold `study.batch_bytes` of text, as nearly as whole rows can."""
    unit = study.batch_multiple
    wanted = study.batch_bytes / (model.context * vocabulary.bytes_per_token)
    rows = max(1, round(wanted / unit)) * unit
    if abs(rows / wanted - 1) > _MOST_OFF:
        raise InputError(
            f"a batch of {vocabulary.name} cannot hold study.batch_bytes={study.batch_bytes:,}: a "
            f"row of {model.context} tokens is {model.context * vocabulary.bytes_per_token:,.0f} "
            f"bytes, and {rows} rows miss it by {abs(rows / wanted - 1):.0%}; raise batch_bytes."
        )
    return rows


def _matched(model: Model, own: int, other: int, *, by: str) -> Model:
    """The body whose parameters in all come nearest to those of the reference vocabulary's."""
    target = count.parameters(model, other)
    if by == "width":
        widths = range(model.heads, 8 * model.embed_dim, model.heads)
        choices = [replace(model, embed_dim=width) for width in widths]
    else:
        choices = [replace(model, layers=layers) for layers in range(1, 8 * model.layers)]
    return min(choices, key=lambda choice: abs(count.parameters(choice, own) - target))
