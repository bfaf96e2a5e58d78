"""What an error is to the person who gave the command."""

import errno
import socket

import pytest

from jgpt2 import failure
from jgpt2.errors import InputError


def _refused() -> OSError:
    with socket.socket() as bound:  # bound and never listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:
            socket.create_connection(bound.getsockname(), timeout=10)
    return caught.value


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/f"), "free some space"),
        (OSError(errno.EACCES, "Permission denied", "/f"), "a path that you may use"),
        (_refused(), "see to the network"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the server's name"),
        (
            OSError("Forbidden: b/o\nanonymous may not"),
            "(Forbidden: b/o anonymous may not); log in",
        ),
    ],
    ids=["disk", "permission", "refused", "name", "denied"],
)
def test_what_a_user_can_mend_is_one_paragraph(error, remedy):
    explained = failure.explain(error)
    assert explained is not None
    assert explained.exit_code == InputError.exit_code
    assert remedy in explained.message
    assert "\n" not in explained.message


def test_a_bug_stays_one():
    assert failure.explain(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert failure.explain(ValueError("of a bug")) is None
