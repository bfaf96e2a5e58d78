"""TOML files that an author fills in from a commented template: the facts of a card, a policy."""

import dataclasses
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import cattrs

from jgpt2 import manifest
from jgpt2.errors import InputError


def load[Kind](
    path: Path,
    kind: type[Kind],
    converter: cattrs.Converter,
    *,
    problem: Callable[[BaseException, type | None], str],
    absent: str,
) -> Kind:
    """The content of a file as `kind`; `absent` says what is not there, and what makes it.

    Raises InputError when it is missing, no TOML, or does not fit, in the words of `problem`.
    """
    if not path.is_file():
        raise InputError(absent)
    try:
        return converter.structure(tomllib.loads(path.read_text("utf-8")), kind)
    except ValueError as error:
        raise InputError(f"{path} is no TOML in UTF-8 ({error}); correct it.") from error
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error, format_exception=problem))
        raise InputError(f"{path} cannot be used: {problems}; correct what is named.") from error


def unknown_keys(error: cattrs.ForbiddenExtraKeysError) -> str:
    """Which keys are unknown, and which are known."""
    known = ", ".join(one.name for one in dataclasses.fields(error.cl))
    return f"{', '.join(sorted(error.extra_fields))}: no such key; the known ones are {known}"


def write_template(path: Path, package: str, name: str) -> None:
    """Writes the template `name` of a package. Nothing is overwritten."""
    if path.exists():
        raise InputError(f"{path} exists; give a file that does not, for nothing is overwritten.")
    manifest.write_text(path, (resources.files(package) / name).read_text("utf-8"))
