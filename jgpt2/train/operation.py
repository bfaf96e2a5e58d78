"""How a run is kept alive: what is done about damage, and when a step counts as stuck."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Operation:
    """How a run is kept alive; no part of its identity."""

    strict: bool = False
    """Refuse a damaged checkpoint instead of going on from the one before it."""
    step_limit_s: float = 300.0
    """A step that takes longer, and longer than ten usual ones, ends the process (with 134)."""
    pause_limit_s: float = 3600.0
    """The same of compiling, restoring, saving, a batch of an evaluation, and the first steps."""
