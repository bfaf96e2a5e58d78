"""The kinds of expected failure, each with the exit code that a launcher acts on.

`jgpt2.cli` prints their message as one paragraph on stderr, without a traceback. A message holds
what was given, the rule, and the remedy. Anything else that escapes is a bug (exit code 1).
"""


class InputError(ValueError):
    """The command, the config or its input cannot be used; trying again will not help."""

    exit_code = 2


class DamageError(RuntimeError):
    """Data or a checkpoint is damaged or missing; trying again will not help."""

    exit_code = 3


class StoppedError(Exception):
    """Work that keeps nothing, such as an evaluation, given up because of a request to stop."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped; the same command starts it again.")
        self.exit_code = exit_code
