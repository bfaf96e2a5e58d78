"""What no machine knows of a model, from the author's `facts.toml`; the rest of a card is records.

Every field may be left empty here: `completeness` says which ones a card must not lack, and an
empty one stays "unknown", never a guess. `author.toml` is the commented template.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

import cattrs

from jgpt2.errors import InputError
from jgpt2.publish import author_file


@dataclass(frozen=True)
class Words:
    """The same text in both languages."""

    ja: str = ""
    en: str = ""


@dataclass(frozen=True)
class Licenses:
    """Licence of the weights; those of code and data are in the records."""

    weights: str = ""
    """Identifier of the hub, such as apache-2.0, or other."""
    name: str = ""
    link: str = ""


@dataclass(frozen=True)
class Provenance:
    """Where the weights come from, if not from this project."""

    base_model: str = ""
    """Hub id or address of the model that the training started from, or that was imported."""


@dataclass(frozen=True)
class Data:
    """What the datasets' own records lack."""

    statement: Words = Words()
    personal_information: Words = Words()
    gaps: Words = Words()
    collected: str = ""
    last_removal: str = ""
    hub_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """What the run's own records lack."""

    hardware: str = ""


@dataclass(frozen=True)
class Figure:
    """A result of an evaluation that `jgpt2 evaluate` did not make."""

    metric: str = ""
    value: float | None = None
    dataset: str = ""
    split: str = ""
    revision: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None
    command: str = ""


@dataclass(frozen=True)
class Safety:
    """Files of JSON with what was measured; empty where nothing was."""

    detector: str = ""
    bias: str = ""
    memorisation: str = ""
    watermark: str = ""


@dataclass(frozen=True)
class Energy:
    """Energy of the training: measured, or what an estimate multiplies."""

    kwh: float | None = None
    hours: float | None = None
    watts: float | None = None
    pue: float | None = None
    grams_per_kwh: float | None = None
    location: str = ""
    source: str = ""


@dataclass(frozen=True)
class Change:
    """One line of the change log."""

    date: str = ""
    ja: str = ""
    en: str = ""


@dataclass(frozen=True)
class Stage:
    """Which stage of a staged release this is."""

    name: str = ""
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True)
class Use:
    """What the model is for, and what it is not for."""

    intended: Words = Words()
    out_of_scope: Words = Words()
    misuse: Words = Words()
    limitations: Words = Words()


@dataclass(frozen=True)
class Contact:
    """Where to write to."""

    questions: str = ""
    opt_out: str = ""


@dataclass(frozen=True)
class Facts:
    """The whole file; its sections are those of the card."""

    licenses: Licenses = Licenses()
    provenance: Provenance = Provenance()
    data: Data = field(default_factory=Data)
    training: Training = Training()
    figures: list[Figure] = field(default_factory=list)
    safety: Safety = Safety()
    energy: Energy = Energy()
    stage: Stage = field(default_factory=Stage)
    use: Use = Use()
    contact: Contact = Contact()


def load(path: Path) -> Facts:
    """The facts of a file.

    Raises InputError when it is missing, no TOML, or has a key or a type of value that is unknown.
    """
    absent = f"no facts at {path}; `jgpt2 card facts {path}` writes a template."
    return author_file.load(path, Facts, _CONVERTER, problem=_problem, absent=absent)


def write_template(path: Path) -> None:
    """Writes the template, in which what must be filled in is empty. Nothing is overwritten."""
    author_file.write_template(path, "jgpt2.publish.card", "author.toml")


def _exact(value: Any, kind: type) -> Any:
    """The value if it is of that type, and finite; an int may stand for a float."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        name = {str: "text", int: "a whole number", float: "a number"}[kind]
        raise InputError(f"{value!r} is not {name}")
    return value


def _list(value: Any, kind: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{value!r} is not a list")
    return [_CONVERTER.structure(entry, kind.__args__[0]) for entry in value]


def _problem(error: BaseException, kind: type | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return author_file.unknown_keys(error)
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, AttributeError):  # of a value that has no keys
        return "not a section of keys"
    return cattrs.v.format_exception(error, kind)


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _kind in (int, float, str):
    _CONVERTER.register_structure_hook(_kind, _exact)
_CONVERTER.register_structure_hook_func(lambda kind: get_origin(kind) is list, _list)
