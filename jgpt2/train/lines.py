"""A text file that grows by lines while a run goes on, on a disk or in a bucket."""

import contextlib
import tempfile
from pathlib import Path

from jgpt2 import storage


class Lines:
    """The open file. On a disk each line is there at once.

    Nothing can be added to an object in a bucket: there the lines wait in a temporary file of this
    machine, and the whole is written at every `sync` and at the end. A kill loses what came since.
    """

    def __init__(self, file: Path, text: str) -> None:
        """The file holds `text` in place of all that it held."""
        storage.write_bytes(file, text.encode())
        self._target, self._waiting = file, contextlib.ExitStack()
        local = file
        if storage.is_remote(file):
            folder = self._waiting.enter_context(tempfile.TemporaryDirectory(prefix="jgpt2-"))
            local = Path(folder) / file.name
            local.write_text(text, "utf-8")
        self._local = local
        self._opened = local.open("a", encoding="utf-8")

    def add(self, line: str) -> None:
        """Appends one line, given without its end. An OSError names the file."""
        try:
            self._opened.write(line + "\n")
            self._opened.flush()
        except OSError as error:
            error.filename = error.filename or str(self._target)
            raise

    def sync(self) -> None:
        """Sees to it that all lines are in their place."""
        if storage.is_remote(self._target):
            storage.write_bytes(self._target, self._local.read_bytes())

    def close(self) -> None:
        """Ends the file, all lines in their place."""
        self._opened.close()
        self.sync()
        self._waiting.close()
