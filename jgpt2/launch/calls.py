"""Calls of other programs, as lists of arguments: shown, or made."""

import shlex
import subprocess
from collections.abc import Sequence

from jgpt2 import progress
from jgpt2.errors import InputError

EXIT_TIMED_OUT = 124
"""As `timeout` says it of a program that it has ended."""


def show(calls: Sequence[Sequence[str]]) -> str:
    """The calls as lines for a shell, each argument quoted where it has to be.

    >>> print(show([["gcloud", "--description=港 の朝 $(id)"]]))
    gcloud '--description=港 の朝 $(id)'
    """
    return "\n".join(shlex.join(call) for call in calls)


def make(calls: Sequence[Sequence[str]]) -> int:
    """Makes them one after the other, up to the first that fails; its exit code, or 0."""
    for call in calls:
        progress.say(f"launch: {shlex.join(call)}")
        code = _run(call, capture=False).returncode
        if code:
            return code
    return 0


def ask(call: Sequence[str], *, timeout_s: float = 300.0) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a call; one that takes too long, as ssh may, is ended."""
    try:
        done = _run(call, capture=True, timeout_s=timeout_s)
    except subprocess.TimeoutExpired:
        return EXIT_TIMED_OUT, "", f"no answer in {timeout_s:.0f} s"
    return done.returncode, done.stdout, done.stderr


def _run(
    call: Sequence[str], *, capture: bool, timeout_s: float | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            call,
            stdin=subprocess.DEVNULL,
            capture_output=capture,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{call[0]} is not installed, or not on PATH; install the Google Cloud CLI "
            "(https://cloud.google.com/sdk/docs/install), or leave out --go and run elsewhere what "
            "is printed."
        ) from error
