"""The policy of a staged release: which models, in which order, on which conditions.

An author's TOML file, of which `policy.toml` is the commented template. Every gate of `gates` holds
for every stage; one is left out only by a waiver that gives its reason.
"""

import datetime
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cattrs

from jgpt2.errors import InputError
from jgpt2.publish import author_file

GATES = (
    *("manifest", "card", "evaluation", "licence", "data_statement"),
    *("detector", "bias", "memorisation", "earlier_stage", "cool_off", "review"),
)
"""Names of all gates, in the order in which they are asked."""
UNWAIVABLE = "manifest"
"""A damaged folder is never released."""
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Review:
    """Answers to the questions of misuse, in the author's words."""

    replication: str = ""
    """Who could make such a model, and what holding this one back still changes."""
    misuse: str = ""
    """What misuse of the stages before was looked for, and seen."""
    partners: str = ""
    """What partners and other outside readers found."""


@dataclass(frozen=True)
class Stage:
    """One model of the ladder."""

    name: str
    export: str
    """Its exported folder, seen from the folder of the policy."""
    cool_off_days: int = 0
    """Days that must have passed since the stage before was published."""
    review: Review = Review()


@dataclass(frozen=True)
class Waiver:
    """One gate of one stage that need not pass."""

    stage: str
    gate: str
    reason: str
    by: str
    date: datetime.date


@dataclass(frozen=True)
class Policy:
    """The ladder, lowest stage first, and what was waived."""

    stage: list[Stage]
    waiver: list[Waiver] = field(default_factory=list)

    def named(self, name: str) -> Stage:
        """The stage of that name; InputError with those there are."""
        for stage in self.stage:
            if stage.name == name:
                return stage
        known = ", ".join(stage.name for stage in self.stage)
        raise InputError(f"the policy has no stage {name!r}; choose one of {known}.")

    def before(self, stage: Stage) -> list[Stage]:
        """The stages below one, lowest first."""
        return self.stage[: self.stage.index(stage)]

    def waiver_of(self, stage: Stage, gate: str) -> Waiver | None:
        """The waiver of a gate, if there is one."""
        asked = stage.name, gate
        return next((one for one in self.waiver if (one.stage, one.gate) == asked), None)


def load(path: Path) -> Policy:
    """The policy of a file.

    Raises InputError when it is missing, no TOML, holds an unknown key or a value of another type,
    or breaks a rule: stages with names of their own, waivers of what exists, with their reasons.
    """
    absent = f"no policy at {path}; `jgpt2 release template {path}` writes one."
    policy = author_file.load(path, Policy, _CONVERTER, problem=_problem, absent=absent)
    if broken := _broken_rule(policy):
        raise InputError(f"{path} cannot be used: {broken}.")
    return policy


def write_template(path: Path) -> None:
    """Writes the template. Nothing is overwritten."""
    author_file.write_template(path, "jgpt2.publish.release", "policy.toml")


def _broken_rule(policy: Policy) -> str | None:
    """The first rule of the ladder that does not hold, and the remedy."""
    names = [stage.name for stage in policy.stage]
    if not names:
        return "it has no stage; add a [[stage]] with name and export"
    if wrong := [name for name in names if not _NAME.fullmatch(name)]:
        return f"the stage name {wrong[0]!r} names a file; choose letters, digits, - and _"
    if repeated := [name for name in names if names.count(name) > 1]:
        return f"two stages are named {repeated[0]!r}; give each a name of its own"
    if policy.stage[0].cool_off_days:
        return f"no stage comes before {names[0]!r}; leave out its cool_off_days"
    if negative := [stage.name for stage in policy.stage if stage.cool_off_days < 0]:
        return f"cool_off_days of {negative[0]!r} is negative; choose 0 or more"
    return next(filter(None, (_broken_waiver(one, policy) for one in policy.waiver)), None)


def _broken_waiver(waiver: Waiver, policy: Policy) -> str | None:
    told = f"the waiver of {waiver.gate!r} for {waiver.stage!r}"
    if waiver.stage not in [stage.name for stage in policy.stage]:
        return f"{told} is of no stage; choose one of {', '.join(s.name for s in policy.stage)}"
    if waiver.gate not in GATES:
        return f"{told} is of no gate; choose one of {', '.join(GATES)}"
    if waiver.gate == UNWAIVABLE:
        return f"{told} would release files that are damaged; restore them, or export again"
    for key in ("reason", "by"):
        if not getattr(waiver, key).strip():
            return f"{told} has an empty {key}; write down why, and who answers for it"
    same = [one for one in policy.waiver if (one.stage, one.gate) == (waiver.stage, waiver.gate)]
    return f"{told} is given twice; leave one out" if len(same) > 1 else None


def _exact(value: Any, kind: type) -> Any:
    """The value if it is of that very type."""
    if type(value) is not kind:
        names = {str: "text", int: "a whole number", datetime.date: "a date such as 2026-11-26"}
        raise InputError(f"{value!r} is not {names[kind]}")
    return value


def _problem(error: BaseException, kind: type | None) -> str:
    """What cattrs found, in words."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return author_file.unknown_keys(error)
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error) if isinstance(error, InputError) else "it is of another form"


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _kind in (str, int, datetime.date):
    _CONVERTER.register_structure_hook(_kind, _exact)
