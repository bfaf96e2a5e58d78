"""What an exit code asks of whoever started the command: every launcher acts on this contract."""

from jgpt2 import failure
from jgpt2.errors import DamageError, InputError

DONE = 0
NEVER_RETRIED = (InputError.exit_code, DamageError.exit_code)
"""Unusable command or config, and damaged data: a second attempt would end the same way."""
SAVED = failure.EXIT_RESTART
"""State saved, restart me: an interruption that costs nothing and is not counted."""
INTERRUPTED = failure.EXIT_INTERRUPTED
KILLED = 137
TERMINATED = failure.EXIT_TERMINATED


def of_process(returncode: int) -> int:
    """The exit code as a shell says it, of what `subprocess` calls -SIGNAL.

    >>> of_process(-9), of_process(3)
    (137, 3)
    """
    return 128 - returncode if returncode < 0 else returncode


def is_failure(code: int) -> bool:
    """Whether the code is neither of work done nor of work saved."""
    return code not in (DONE, SAVED)
