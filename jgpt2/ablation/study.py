"""The plan of a study: which arms, under which controls, and how the answer will be decided.

An author file defines `arms = {name: Experiment}`, which differ in their vocabulary and, if the
study is to say something about size, in their body; and `study = Study(...)`. Both are written down
before the first run, and a folder of results refuses another plan.
"""

import dataclasses
import itertools
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jgpt2 import configio
from jgpt2.config import Experiment, Model
from jgpt2.errors import InputError
from jgpt2.model import count, sizes

Control = Literal["iso_flop", "iso_byte", "iso_parameter"]
"""What is held equal beside the body: training FLOPs; the documents; or all parameters.

iso_flop and iso_byte leave the body as it is (non-embedding parameters are equal); iso_parameter
adjusts it until the parameters in all, embedding included, are those of the reference.
"""
BODY = ("model.layers", "model.embed_dim", "model.heads")
"""What makes arms arms of another body."""
_OWN = ("name", "tokenizer", "optimizer.peak_lr", *BODY)
"""Fields in which arms may differ without a word."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The rule by which the program names one vocabulary; it is written before the runs."""

    body: str | None = None
    """Name of the body whose arms decide; None: the largest."""
    tie: Literal["forward_flops_per_char", "vocab_size", "kv_cache_bytes_per_1000_chars"] = (
        "forward_flops_per_char"
    )
    """Of arms that cannot be told from the best, the one with the least of this is chosen."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study holds equal, repeats, measures and decides."""

    name: str
    """What it is called in the report."""
    reference: str
    """Tokenizer whose arm sets the budget: of each body, all arms get what it costs to train this
    one on the bytes that the arms' own `budget.num_bytes` says."""
    controls: tuple[Control, ...] = ("iso_flop",)
    """The first is primary: it decides."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every arm is trained with each; they decide weights and order of the data."""
    batch_bytes: int = 16_384
    """UTF-8 bytes of text in one optimizer step, whatever the vocabulary."""
    batch_multiple: int = 1
    """Rows of a batch are a multiple of this: the devices that it is to divide over."""
    peak_lrs: tuple[float, ...] = ()
    """Candidates of a sweep, with the first seed, of equal cost for every arm; empty: none."""
    sweep_share: float = 0.1
    """Length of a run of the sweep, as a share of the arm's steps."""
    match_by: Literal["width", "depth"] = "width"
    """What iso_parameter adjusts."""
    split: str = "test"
    """Which documents are measured."""
    max_bytes: int | None = 400_000
    """UTF-8 bytes of them, in the order of the dataset; None: all."""
    longest_bytes: int | None = None
    """Longer documents are left out: many short ones tell more than a few long ones."""
    equal_bytes: int | None = None
    """UTF-8 bytes of context at most, for the second measure; None: as many as the context has
    tokens, which is what a byte model sees."""
    level: float = 0.95
    """Of intervals, and of what counts as a difference."""
    pairs: tuple[tuple[str, str], ...] | None = None
    """Tokenizers compared, within each body; None: all pairs."""
    also_varied: tuple[str, ...] = ()
    """Further fields, as dotted paths, in which arms may differ: each weakens the study."""
    fit_without: tuple[str, ...] = ("byte",)
    """Tokenizers left out of the curve over vocabulary sizes."""
    predict: tuple[str, ...] = ("small", "medium")
    """Sizes whose best vocabulary is predicted."""
    decision: Decision = dataclasses.field(default_factory=Decision)
    """How one vocabulary is chosen."""
    prompts: tuple[str, ...] = ("昔々、ある所に", "この関数は", "今日の天気は")
    """Continued by every arm, for the eye."""

    def __post_init__(self) -> None:
        for field in ("controls", "seeds"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise InputError(f"study.{field}={values} is empty or repeats; name each once.")
        for field in ("batch_bytes", "batch_multiple"):
            if getattr(self, field) < 1:
                raise InputError(f"study.{field}={getattr(self, field)} is not positive.")
        if not 0 < self.sweep_share <= 1:
            raise InputError(f"study.sweep_share={self.sweep_share} is no share; choose in (0, 1].")
        if not 0.5 < self.level < 1:
            raise InputError(f"study.level={self.level} is no level; 0.95 is usual.")
        for size in self.predict:
            sizes.by_name(size)

    @property
    def primary(self) -> Control:
        """The control that decides."""
        return self.controls[0]


@dataclass(frozen=True)
class Plan:
    """A study and its arms, checked to belong together."""

    study: Study
    arms: Mapping[str, Experiment]

    @property
    def bodies(self) -> dict[str, list[str]]:
        """Name of each body -> its arms; the smallest body first, arms as they are given."""
        grouped: dict[tuple[int, str], list[str]] = {}
        for name, arm in self.arms.items():
            key = (count.body_parameters(arm.model), body_name(arm.model))
            grouped.setdefault(key, []).append(name)
        return {body: names for (_, body), names in sorted(grouped.items())}

    @property
    def tokenizers(self) -> list[str]:
        """Every vocabulary once, in the order of the arms."""
        return list(dict.fromkeys(arm.tokenizer for arm in self.arms.values()))

    def reference_of(self, arm: str) -> str:
        """The arm of the same body with the reference vocabulary."""
        body = body_name(self.arms[arm].model)
        return next(
            name for name in self.bodies[body] if self.arms[name].tokenizer == self.study.reference
        )

    def record(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "study": dataclasses.asdict(self.study),
            "arms": {name: dataclasses.asdict(arm) for name, arm in self.arms.items()},
        }


def body_name(model: Model) -> str:
    """What a body is called: layers by width, such as 12x768."""
    return f"{model.layers}x{model.embed_dim}"


def load(path: Path) -> Plan:
    """The plan of an author file.

    Raises InputError when the file does not define `arms` and `study`, and when the arms differ in
    what the study does not declare.
    """
    if path.suffix != ".py" or not path.is_file():
        raise InputError(
            f"no study at {path}; give a .py file that defines `arms = {{name: Experiment}}` and "
            "`study = Study(...)`, such as those in configs/ablations/."
        )
    defined = runpy.run_path(str(path))
    arms, study = defined.get("arms"), defined.get("study")
    if not isinstance(study, Study):
        raise InputError(
            f"{path} defines study = {type(study).__name__}; it must define `study = Study(...)` "
            "from jgpt2.ablation.study."
        )
    is_arms = isinstance(arms, dict) and all(
        isinstance(name, str) and isinstance(arm, Experiment) for name, arm in arms.items()
    )
    if not is_arms or not arms:
        raise InputError(
            f"{path} defines arms = {type(arms).__name__}; it must define "
            "`arms = {name: Experiment}`, one for each vocabulary and body."
        )
    recorded = {name: configio.from_json(configio.to_json(arm)) for name, arm in arms.items()}
    plan = Plan(study, recorded)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    study, arms = plan.study, plan.arms
    allowed = {*_OWN, *study.also_varied}
    for body, names in plan.bodies.items():
        _require_alike(arms, names, allowed)
        of_body = [arms[name].tokenizer for name in names]
        if study.reference not in of_body:
            raise InputError(
                f"the body {body} has no arm with the reference vocabulary {study.reference!r} "
                f"(it has {', '.join(of_body)}); add that arm, or choose another reference."
            )
        if len(set(of_body)) < len(of_body):
            raise InputError(f"two arms of the body {body} have one vocabulary; leave out one.")
    firsts = [names[0] for names in plan.bodies.values()]
    _require_alike(arms, firsts, allowed | {"budget.num_bytes"})
    for name, arm in arms.items():
        if arm.budget.num_bytes is None:
            raise InputError(
                f"the arm {name} has no budget.num_bytes; give the bytes of text that the "
                "reference vocabulary's arm is trained on."
            )
    _check_names(plan)


def _require_alike(arms: Mapping[str, Experiment], names: list[str], allowed: set[str]) -> None:
    for name in names[1:]:
        for field, (old, new) in configio.diff(arms[names[0]], arms[name]).items():
            if field not in allowed:
                raise InputError(
                    f"the arms {names[0]} and {name} differ in {field} ({old!r} and {new!r}), "
                    "which is neither vocabulary nor body: a difference in the result could come "
                    "from it. Make it equal, or name it in study.also_varied."
                )


def _check_names(plan: Plan) -> None:
    known = plan.tokenizers
    named = {
        "pairs": itertools.chain.from_iterable(plan.study.pairs or ()),
        "fit_without": () if plan.study.fit_without == ("byte",) else plan.study.fit_without,
    }
    for field, tokenizers in named.items():
        if unknown := sorted(set(tokenizers) - set(known)):
            raise InputError(
                f"study.{field} names {', '.join(unknown)}, which is no arm's vocabulary; choose "
                f"among {', '.join(known)}."
            )
    body = plan.study.decision.body
    if body is not None and body not in plan.bodies:
        raise InputError(
            f"study.decision.body={body!r} is no body of the arms; choose among "
            f"{', '.join(plan.bodies)}."
        )
