"""What an error is to the person who gave the command: one paragraph, and an exit code.

`jgpt2.cli` ends with it; a process among several tells it to the others (`jgpt2.processes`).
"""

import errno
from dataclasses import dataclass

from jgpt2.errors import DamageError, InputError, StoppedError

EXIT_BUG = 1
EXIT_RESTART = 42
"""State saved after SIGTERM: start the same command again."""
EXIT_UNREACHABLE = 69
"""As sysexits.h says it of a service out of reach: later the same command may work."""
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
"""As a shell says it of a program that SIGTERM ended."""
EXIT_ABORTED = 134
"""As a shell says it of a program that aborts: JAX's own end when a process is lost."""

_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "free some space and run the same command again",
    (errno.EACCES, errno.EPERM, errno.EROFS): "give a path that you may use, or allow it",
    (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG): "give another path",
}
"""What to do about the errors of the system that a user can cause."""

_DENIED = "Forbidden: "
"""How the file system of buckets begins what it says of one that the account may not read."""


@dataclass(frozen=True)
class Failure:
    """An expected failure."""

    message: str
    """What was given, the rule, the remedy."""
    exit_code: int


def explain(error: BaseException) -> Failure | None:
    """The failure that an error is; None of an error that is a bug."""
    if isinstance(error, InputError | DamageError | StoppedError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        said = "interrupted; what is finished is kept, and the same command goes on from there."
        return Failure(said, EXIT_INTERRUPTED)
    if isinstance(error, OSError):
        remedy = next((text for codes, text in _REMEDIES.items() if error.errno in codes), None)
        if remedy is not None:
            said = f"{error.filename or 'the output'}: {error.strerror}; {remedy}."
            return Failure(said, InputError.exit_code)
        if _is_unreachable(error):
            said = f"{error}; see to the network or the server's name, and run the command again."
            return Failure(said, EXIT_UNREACHABLE)
        if str(error).startswith(_DENIED):
            said = denied(error, "storage.objects.get and .list")
            return Failure(said, InputError.exit_code)
    return None


def denied(error: OSError, permissions: str) -> str:
    """What to say of a bucket that refuses an account without these permissions."""
    return (
        f"access is denied ({' '.join(str(error).split())}); log in with `gcloud auth "
        f"application-default login`, or allow the account {permissions}."
    )


def _is_unreachable(error: OSError) -> bool:
    """Whether it is of the network, or of looking up a name in it."""
    import socket  # which `jgpt2 --help` does without

    refused = (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)
    return error.errno in (*refused, socket.EAI_NONAME, socket.EAI_AGAIN)
