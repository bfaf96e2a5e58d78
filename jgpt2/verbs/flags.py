"""Flags from the signature of a verb's function, by tyro; a refusal is one paragraph as anywhere.

tyro draws a box around what it refuses and takes every ValueError for its own: therefore arguments
are only parsed here, and the verb is called when that is over.
"""

import contextlib
import functools
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from jgpt2 import config, storage
from jgpt2.errors import InputError

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_RULE = re.compile(r"[\s─-]*")
_INDENT_OF_HELP = " " * 8
_BY_WEIGHT = "NAME|NAME:WEIGHT..."


def parse[Result](
    function: Callable[..., Result], arguments: Sequence[str], *, prog: str
) -> Callable[[], Result] | None:
    """The call of `function` that the arguments ask for; None if for help, which is printed.

    Raises InputError for arguments that do not fit the signature, and what a config that they
    change raises.
    """

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], Result]:
        return functools.partial(function, *args, **kwargs)

    boxes, refused_paths = io.StringIO(), list[InputError]()
    try:
        with contextlib.redirect_stderr(boxes):
            return tyro.cli(bind, args=arguments, prog=prog, registry=_registry(refused_paths))
    except SystemExit as refusal:
        if not refusal.code:
            return None
        cause = next(iter(refused_paths), None) or _cause(refusal)
        raise cause or InputError(_paragraph(boxes.getvalue())) from None


def _registry(refused_paths: list[InputError]) -> tyro.constructors.ConstructorRegistry:
    """What tyro cannot know: the values of a flag that names datasets, and paths in buckets.

    Of a path that may be left out, tyro keeps no error: therefore each is added to `refused_paths`.
    """
    registry = tyro.constructors.ConstructorRegistry()

    def path(words: list[str]) -> Path:
        try:
            return storage.path(words[0])
        except InputError as error:
            refused_paths.append(error)
            raise

    @registry.primitive_rule
    def _(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=path,
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda value: [str(value)],
        )

    @registry.primitive_rule
    def _(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[config.Dataset] | None:
        if info.type != config.Dataset:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar=_BY_WEIGHT,
            instance_from_str=_dataset,
            is_instance=lambda value: isinstance(value, str | dict),
            str_from_instance=_dataset_words,
        )

    return registry


def _dataset(words: list[str]) -> config.Dataset:
    """One name, or names with weights.

    >>> _dataset(["ja"])
    'ja'
    >>> _dataset(["青空:0.5", "web:1.5"])
    {'青空': 0.5, 'web': 1.5}
    """
    if len(words) == 1 and ":" not in words[0]:
        return words[0]
    weights: dict[str, float] = {}
    for word in words:
        name, _, weight = word.rpartition(":")
        try:
            number = float(weight)
        except ValueError:
            number = None
        if not name or number is None:
            raise InputError(
                f"--dataset {' '.join(words)}: {word!r} is no name with a weight; give one name, "
                "or each as NAME:WEIGHT, such as --dataset books:0.5 web:0.5."
            )
        if name in weights:
            raise InputError(
                f"--dataset {' '.join(words)} names {name!r} twice; give it once, with one weight."
            )
        weights[name] = number
    return weights


def _dataset_words(value: config.Dataset) -> list[str]:
    """The words that `_dataset` reads as the value."""
    if isinstance(value, str):
        return [value]
    return [f"{name}:{weight:g}" for name, weight in value.items()]


def _cause(refusal: BaseException) -> InputError | None:
    """The error of ours behind a refusal, whose words are whole; those in the box are wrapped."""
    error: BaseException | None = refusal
    while error is not None and not isinstance(error, InputError):
        error = error.__context__
    return error


def _paragraph(box: str) -> str:
    """The words of a box.

    >>> print(_paragraph('''
    ... ╭─ Unrecognized options ───────────────────╮
    ... │ Unrecognized options: --sed              │
    ... │ ──────────────────────────────────────── │
    ... │ Perhaps you meant:                       │
    ... │     --seed INT                           │
    ... │         Same seed, same text.            │
    ... │ ──────────────────────────────────────── │
    ... │ For full helptext, run                   │
    ... │     jgpt2 --help                         │
    ... ╰──────────────────────────────────────────╯'''))
    Unrecognized options: --sed. Perhaps you meant: --seed INT. For full helptext, run jgpt2 --help.
    """
    lines = [
        line[2:].rstrip(" │")
        for line in _STYLES.sub("", box).strip("\n").splitlines()[1:]  # the first is its title
        if not line.startswith("╰")
    ]
    sections: list[list[str]] = [[]]
    for line in lines:
        if not _RULE.fullmatch(line):
            sections[-1].append(line)
        elif sections[-1]:
            sections.append([])
    return " ".join(_sentence(section) for section in sections if section)


def _sentence(section: list[str]) -> str:
    first, *others = section
    if first.startswith("Perhaps you meant"):
        flags = [line.strip() for line in others if not line.startswith(_INDENT_OF_HELP)]
        return f"{first} {', '.join(flags)}."
    words = " ".join(line.strip() for line in section)
    return words if words.endswith(".") else f"{words}."
