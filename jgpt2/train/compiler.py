"""Options of XLA for the train step, by chip: data, each proved by a compile test to be accepted.

They are given with the one compilation, never by a global environment variable: what helps one
chip is refused, or wrong, on another.
"""

from jgpt2.chips import Chip

OPTIONS: dict[str, dict[str, str]] = {}
"""Chip -> option -> value. A chip that is not here compiles with XLA's defaults."""


def options(chip: Chip | None) -> dict[str, str] | None:
    """The options for a chip; None for XLA's defaults."""
    return OPTIONS.get(chip.name) if chip is not None else None
