"""What an error is to the person who gave the command."""

import errno
import socket

import pytest

from jgpt2 import failure
from jgpt2.launch import exits


def _refused() -> OSError:
    with socket.socket() as bound:  # bound and never listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:
            socket.create_connection(bound.getsockname(), timeout=10)
    return caught.value


@pytest.mark.parametrize(
    ("error", "exit_code", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/f"), 2, "free some space"),
        (OSError(errno.EACCES, "Permission denied", "/f"), 2, "a path that you may use"),
        (_refused(), 69, "see to the network"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 69, "the server's name"),
        (OSError("Forbidden: b/o\nit may not"), 2, "(Forbidden: b/o it may not); log in"),
    ],
    ids=["disk", "permission", "refused", "name", "denied"],
)
def test_what_a_user_can_mend_is_one_paragraph(error, exit_code, remedy):
    explained = failure.explain(error)
    assert explained is not None
    assert explained.exit_code == exit_code
    assert remedy in explained.message
    assert "\n" not in explained.message


def test_launchers_try_a_network_again():
    assert exits.is_failure(failure.EXIT_UNREACHABLE)
    assert failure.EXIT_UNREACHABLE not in exits.NEVER_RETRIED


def test_a_bug_stays_one():
    assert failure.explain(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert failure.explain(ValueError("of a bug")) is None
