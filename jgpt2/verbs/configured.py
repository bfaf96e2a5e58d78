"""What the verbs of a config share: the config comes first, and its fields are flags."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import storage
from jgpt2.config import Experiment
from jgpt2.errors import InputError
from jgpt2.verbs import flags

CONFIGS = Path("configs")
"""Where the author file of a size is looked up."""


def call(
    name: str,
    arguments: Sequence[str],
    *,
    described: Callable[..., Any],
    verb: Callable[[Experiment], Callable[..., int]],
    example: str,
) -> int:
    """Runs `jgpt2 NAME CONFIG [flags]`; `verb` makes the function whose parameters are the flags.

    `--help` without a config prints what `described` says of itself.
    """
    from jgpt2 import configio

    if list(arguments) in (["-h"], ["--help"]):
        print(inspect.getdoc(described))
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise InputError(f"which config? Give it first, as in `{example}`.")
    authored = configio.load(_path(arguments[0]))
    bound = flags.parse(verb(authored), arguments[1:], prog=f"jgpt2 {name} {arguments[0]}")
    return 0 if bound is None else bound()


def _path(given: str) -> Path:
    path = storage.path(given)
    if path.suffix in (".py", ".json"):
        return path
    from jgpt2.model import sizes

    return CONFIGS / f"{sizes.by_name(given)[0]}.py"
