"""Experiments in and out of files: author in Python, record in JSON, compare by dotted path."""

import dataclasses
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any

import cattrs

from jgpt2.config import Experiment
from jgpt2.errors import InputError

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def load(path: Path) -> Experiment:
    """The experiment that an author file (.py, its `config`) or a record (.json) holds.

    Raises InputError when the file is missing, of another kind, or does not hold an Experiment.
    """
    if not path.is_file():
        raise InputError(
            f"no config at {path}; give a .py file from configs/ or a run's config.json."
        )
    if path.suffix == ".json":
        return from_json(path.read_text("utf-8"))
    if path.suffix != ".py":
        raise InputError(f"config {path} ends in {path.suffix!r}; give a .py or a .json file.")
    config = runpy.run_path(str(path)).get("config")
    if not isinstance(config, Experiment):
        raise InputError(
            f"{path} defines config = {type(config).__name__}; it must define "
            "`config = Experiment(...)` from jgpt2.config."
        )
    return config


def to_json(config: Experiment) -> str:
    """The record of an experiment: every field, indented, in the order of the class."""
    return json.dumps(dataclasses.asdict(config), ensure_ascii=False, indent=2) + "\n"


def from_json(text: str) -> Experiment:
    """The experiment of a record made by `to_json`; unknown or missing fields are an InputError."""
    try:
        return _CONVERTER.structure(json.loads(text), Experiment)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the config record is not JSON ({error}); restore it or start anew."
        ) from error
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        raise InputError(f"the config record does not fit this version: {problems}.") from error


def diff(old: Experiment, new: Experiment) -> dict[str, tuple[Any, Any]]:
    """Dotted path -> (old value, new value) of every field that differs."""
    return _diff(dataclasses.asdict(old), dataclasses.asdict(new), prefix="")


def _diff(old: dict[str, Any], new: dict[str, Any], prefix: str) -> dict[str, tuple[Any, Any]]:
    changes: dict[str, tuple[Any, Any]] = {}
    for name, old_value in old.items():
        new_value = new[name]
        if isinstance(old_value, dict):
            changes |= _diff(old_value, new_value, f"{prefix}{name}.")
        elif old_value != new_value:
            changes[prefix + name] = (old_value, new_value)
    return changes


def fingerprint(config: Experiment) -> str:
    """SHA-256 of the canonical record, 64 hex digits."""
    canonical = json.dumps(dataclasses.asdict(config), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
