"""What a study will cost, before it begins: every arm under every control, as rows and a table."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jgpt2 import chips, table
from jgpt2.ablation import cells, controls
from jgpt2.ablation import study as studies
from jgpt2.ablation.material import Material
from jgpt2.config import Experiment
from jgpt2.errors import InputError
from jgpt2.train import pace

_ASSUMED_MFU = 0.4
"""Of a TPU's peak: a round figure for an outlook; `jgpt2 plan` compiles and estimates."""
_PACE_STEPS = 3
_COLUMNS = (
    "control",
    "arm",
    "body params",
    "vocab params",
    "embedding",
    "MFLOP/token",
    "MFLOP/char",
    "Mtokens",
    "MB",
    "batch bytes",
    "steps",
    "PFLOP",
    "minutes",
)


@dataclass(frozen=True)
class Outlook:
    """The costs of a study."""

    rows: list[dict[str, Any]]
    """One for each arm and control, of one seed."""
    num_runs: int
    """Runs of the sweep and of all seeds; one that two controls share counts once."""
    device: str
    seconds: float
    """Of all runs on the devices at hand; compiling and measuring come on top."""
    tpu: str
    tpu_seconds: float
    """The same on the TPU, at an assumed 40% of its peak."""


def look(plan: studies.Plan, material: Material, *, tpu: str) -> Outlook:
    """Resolves every arm under every control, and times a step of every body's reference arm.

    `tpu` names a chip and how many, such as v5e-8. Raises InputError for what cannot be resolved.
    """
    tpu_rate = _tpu_flops_per_s(tpu)
    runs = cells.cells(plan, material.vocabularies, {})
    rates = {body: _flops_per_s(plan, material, body) for body in plan.bodies}
    trained = {
        one.folder(Path()): one for one in [*runs, *cells.trials(plan, material.vocabularies)]
    }
    flops: dict[str, float] = dict.fromkeys(plan.bodies, 0.0)
    for one in trained.values():
        flops[_body(plan, one.arm)] += _cost(one.experiment, material).flops
    rows = []
    for cell in runs[: len(plan.arms) * len(plan.study.controls)]:
        cost = _cost(cell.experiment, material)
        body = _body(plan, cell.arm)
        rows.append(
            {
                "control": cell.control,
                "body": body,
                "arm": cell.arm,
                "layers": cell.experiment.model.layers,
                "embed_dim": cell.experiment.model.embed_dim,
                **dataclasses.asdict(cost),
                "seconds": cost.flops / rates[body],
                "tpu_seconds": cost.flops / tpu_rate,
            }
        )
    return Outlook(
        rows=rows,
        num_runs=len(trained),
        device=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        seconds=sum(flops[body] / rates[body] for body in flops),
        tpu=tpu,
        tpu_seconds=sum(flops.values()) / tpu_rate,
    )


def text(outlook: Outlook) -> str:
    """The rows as a table, and what they sum to."""
    shown = [
        (
            row["control"],
            row["arm"],
            row["body_parameters"],
            row["vocabulary_parameters"],
            f"{row['embedding_share']:.1%}",
            _short(row["flops_per_token"] / 1e6),
            _short(row["flops_per_char"] / 1e6),
            _short(row["tokens"] / 1e6),
            _short(row["num_bytes"] / 1e6),
            round(row["batch_bytes"]),
            row["steps"],
            _short(row["flops"] / 1e15),
            _short(row["seconds"] / 60),
        )
        for row in outlook.rows
    ]
    return "\n".join(
        [
            table.text(_COLUMNS, shown),
            "",
            f"{outlook.num_runs} runs, sweep and seeds included: {_time(outlook.seconds)} on "
            f"{outlook.device} (a step of each body's reference arm was timed; compiling and "
            f"measuring come on top), {_time(outlook.tpu_seconds)} on {outlook.tpu} if "
            f"{_ASSUMED_MFU:.0%} of its peak is reached (`jgpt2 plan` estimates it).",
        ]
    )


def _body(plan: studies.Plan, arm: str) -> str:
    return studies.body_name(plan.arms[arm].model)


def _cost(experiment: Experiment, material: Material) -> controls.Cost:
    return controls.cost(experiment, material.vocabularies[experiment.tokenizer])


def _flops_per_s(plan: studies.Plan, material: Material, body: str) -> float:
    arm = plan.reference_of(plan.bodies[body][0])
    experiment = controls.resolve(
        plan, arm, plan.study.primary, material.vocabularies, seed=plan.study.seeds[0]
    )
    cost = _cost(experiment, material)
    tokenizer = material.inputs[experiment.tokenizer].tokenizer
    return cost.flops / cost.steps / pace.measure(experiment, tokenizer, _PACE_STEPS).median_s


def _tpu_flops_per_s(name: str) -> float:
    kind, _, number = name.rpartition("-")
    chip = next((chip for chip in chips.CHIPS if chip.name == kind), None)
    if chip is None or not number.isdecimal() or int(number) < 1:
        raise InputError(
            f"{name} is no TPU that is known; give one of {_listed(chips.CHIPS)} and a number of "
            "chips, such as v5e-8."
        )
    return chip.peak_flops * int(number) * _ASSUMED_MFU


def _listed(known: Iterable[chips.Chip]) -> str:
    return ", ".join(chip.name for chip in known)


def _short(value: float) -> str:
    """Three digits, never in powers of ten.

    >>> _short(1234.5), _short(0.012345)
    ('1,234', '0.0123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _time(seconds: float) -> str:
    """In the unit that a reader would choose.

    >>> _time(7.4), _time(3480), _time(57_000)
    ('7 s', '58 min', '15.8 h')
    """
    if seconds < 120:
        return f"{seconds:,.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h"
