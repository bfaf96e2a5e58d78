"""Experiments in and out of files: author in Python, record in JSON, compare by dotted path."""

import dataclasses
import hashlib
import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs

from jgpt2.config import Dataset, Experiment, Model
from jgpt2.errors import InputError


def _exact(value: Any, kind: type) -> Any:
    """The value if it is of that type; an int may stand for a float.

    cattrs would convert: 2.7 to the int 2, "false" to the bool True.
    """
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{value!r} is not of type {kind.__name__}")
    return value


def _dataset(value: Any, _: Any) -> Dataset:
    """A name, or weights by name."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise InputError(f"{value!r} is neither a name nor names with weights")
    return {name: _exact(weight, float) for name, weight in value.items()}


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _kind in (bool, int, float, str):
    _CONVERTER.register_structure_hook(_kind, _exact)
_CONVERTER.register_structure_hook_func(lambda kind: kind == Dataset, _dataset)


def load(path: Path) -> Experiment:
    """The experiment that an author file (.py, its `config`) or a record (.json) holds.

    Raises InputError when the file is missing, of another kind, not UTF-8, or does not hold an
    Experiment whose values have the types of their fields.
    """
    if not path.is_file():
        raise InputError(
            f"no config at {path}; give a .py file from configs/ or a run's config.json."
        )
    if path.suffix == ".json":
        try:
            return from_json(path.read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"config {path} is not UTF-8 ({error}); restore it or start anew."
            ) from error
    if path.suffix != ".py":
        raise InputError(f"config {path} ends in {path.suffix!r}; give a .py or a .json file.")
    config = runpy.run_path(str(path)).get("config")
    if not isinstance(config, Experiment):
        raise InputError(
            f"{path} defines config = {type(config).__name__}; it must define "
            "`config = Experiment(...)` from jgpt2.config."
        )
    return from_json(to_json(config))


def to_json(config: Experiment | Model) -> str:
    """The record of an experiment or a shape: every field, indented, in the order of the class."""
    return json.dumps(dataclasses.asdict(config), ensure_ascii=False, indent=2) + "\n"


def from_json(text: str) -> Experiment:
    """The experiment of a record made by `to_json`; unknown or missing fields are an InputError."""
    return _from_json(text, Experiment)


def model_from_json(text: str) -> Model:
    """The shape of a record made by `to_json`; errors as of `from_json`."""
    return _from_json(text, Model)


def _from_json[Record](text: str, kind: type[Record]) -> Record:
    try:
        record = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the config record is not JSON ({error}); restore it or start anew."
        ) from error
    if not isinstance(record, dict):
        raise InputError(
            f"the config record is a JSON {type(record).__name__}, not an object of fields; "
            "restore it or start anew."
        )
    try:
        return _CONVERTER.structure(record, kind)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error, format_exception=_problem))
        raise InputError(
            f"the config record does not fit this version: {problems}; correct what is named."
        ) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"the config record has {repeated!r} twice in one object; leave one of them."
        )
    return record


def _problem(error: BaseException, kind: type | None) -> str:
    if isinstance(error, InputError):
        return str(error).removesuffix(".")
    return cattrs.v.format_exception(error, kind)


def diff(old: Experiment, new: Experiment) -> dict[str, tuple[Any, Any]]:
    """Dotted path -> (old value, new value) of every field that differs.

    A dataset that only one of two mixtures has is None in the other.
    """
    return differences(dataclasses.asdict(old), dataclasses.asdict(new))


def listed(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """The changes for a message.

    >>> listed({"model.layers": (2, 4), "seed": (0, 1)})
    'model.layers: 2 -> 4, seed: 0 -> 1'
    """
    return ", ".join(f"{path}: {old!r} -> {new!r}" for path, (old, new) in changes.items())


def differences(
    old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """The same of two records of any kind, as plain data; what one of them lacks is None in it."""
    changes: dict[str, tuple[Any, Any]] = {}
    for name in old | new:
        old_value, new_value = old.get(name), new.get(name)
        if isinstance(old_value, dict) and isinstance(new_value, dict):
            changes |= differences(old_value, new_value, f"{prefix}{name}.")
        elif old_value != new_value:
            changes[prefix + name] = (old_value, new_value)
    return changes


def fingerprint(config: Experiment) -> str:
    """SHA-256 of the canonical record, 64 hex digits; equal experiments have equal ones."""
    recorded = from_json(to_json(config))  # where 1 was written for the float 1.0, it is 1.0
    canonical = json.dumps(dataclasses.asdict(recorded), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
