"""The client of the Hugging Face Hub: whose token, which protocol, and what its errors mean.

Files go by the LFS protocol, which knows a file by its SHA-256 and so tells what has arrived; the
client's other one (Xet) sends chunks to another server. Nothing is reported to anyone.
"""

import contextlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jgpt2.errors import InputError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ANSWER_S = 30.0
"""What the hub is given to say what a repository holds."""
_SILENCE_S = 300.0
"""After which a connection on which nothing moves counts as lost."""
_TOKEN = re.compile(r"[!-~]+")


class UnreachableError(InputError):
    """The hub did not answer, or the connection was lost; `reason` says how."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. Nothing is visible before the commit, which is the last step. Run the same "
            "command again: what has arrived is not sent a second time, and a commit that was made "
            "is found."
        )
        self.reason = reason


def endpoint() -> str:
    """The address of the hub: HF_ENDPOINT, else https://huggingface.co."""
    _require_library()
    from huggingface_hub import constants

    return constants.ENDPOINT


def token(file: Path | None = None, *, is_needed: bool = False) -> str | None:
    """The token in a file, else HF_TOKEN or that of `hf auth login`; None when there is none.

    Raises InputError, which does not show it, for one that cannot be a token, and for none where
    it `is_needed`.
    """
    _require_library()
    from huggingface_hub import get_token

    try:
        found = get_token() if file is None else file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--token-file {file} cannot be read ({type(error).__name__}); give a text file that "
            "holds the token and nothing else."
        ) from None
    if found is not None and not _TOKEN.fullmatch(found):
        raise InputError(
            f"what {file or 'HF_TOKEN or the login'} holds is no token: one is a single word of "
            "ASCII letters and signs, such as hf_...; make one at "
            "https://huggingface.co/settings/tokens."
        )
    if found is None and is_needed:
        raise InputError(
            "--publish needs a token that may write to the repository, and there is none; give it "
            "by HF_TOKEN, `hf auth login` or --token-file FILE."
        )
    return found


@contextlib.contextmanager
def opened(repo: str, token: str | None) -> Iterator["HfApi"]:
    """A client of the hub, or of HF_ENDPOINT; every error of it is explained in a paragraph."""
    _require_library()
    from huggingface_hub import HfApi

    import jgpt2

    api = HfApi(token=token or False, library_name="jgpt2", library_version=jgpt2.__version__)
    with _explained(repo, api.endpoint, token), _settings():
        yield api


def _require_library() -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            "an upload needs the package huggingface_hub, which is not installed; install "
            "jgpt2[hub]."
        )


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """LFS instead of Xet, no telemetry, bars on a terminal alone, and no waiting without end.

    The library's warnings show the addresses of storage, whose signatures let anyone write there.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, get_session, logging

    verbosity = logging.get_verbosity()
    before = constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.set_verbosity_error()
    get_session().timeout = _SILENCE_S
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        get_session().timeout = None
        logging.set_verbosity(verbosity)
        constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY = before


@contextlib.contextmanager
def _explained(repo: str, endpoint: str, token: str | None) -> Iterator[None]:
    """Says of what the library raises what it means and what to do; never shows the token."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever client it uses
        OfflineModeIsEnabled,
    )

    try:
        yield
    except (HTTPError, OfflineModeIsEnabled, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        # A file that could not be sent comes wrapped.
        cause = error.__cause__ if type(error) is RuntimeError else error
        if isinstance(cause, HfHubHTTPError):
            said = _hidden(cause.server_message or "no reason given", token)
            raise _refusal(repo, endpoint, cause.response.status_code, said) from None
        if isinstance(cause, HTTPError | OfflineModeIsEnabled):
            reason = _hidden(str(cause) or type(cause).__name__, token)
            raise UnreachableError(f"{endpoint} could not be reached ({reason})") from None
        if not isinstance(cause, ValueError):
            raise
        raise InputError(
            f"{endpoint} did not take {repo} ({_hidden(str(cause), token)}); correct that, and run "
            "the same command again."
        ) from None


def _refusal(repo: str, endpoint: str, status: int, said: str) -> InputError:
    """What an HTTP status of the hub means."""
    told = f"{endpoint} answered {status} for {repo} ({said})"
    if status == 401:
        return InputError(
            f"{told}: it does not accept the token. Make one that may write at "
            f"{endpoint}/settings/tokens, and give it by HF_TOKEN, `hf auth login` or --token-file."
        )
    if status in (403, 404):
        return InputError(
            f"{told}: the token may not write there. Give a repository of your own or of an "
            "organisation that lets you write, or a token with that right."
        )
    if status in (409, 412):
        return InputError(
            f"{told}: somebody has changed it since this command looked, and nothing was "
            "committed. Look at what changed, and run the same command again to put this on top."
        )
    if status in (408, 429) or status >= 500:
        return UnreachableError(told)
    return InputError(f"{told}; correct what it names, and run the same command again.")


def _hidden(text: str, token: str | None) -> str:
    """The text on one line, without the token."""
    line = " ".join(text.split())
    return line.replace(token, "<token>") if token else line
