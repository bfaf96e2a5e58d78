"""Checkpoints of a run: Orbax behind one module, with a record of every file's SHA-256.

`checkpoints/STEP/` is written by Orbax in the background; when it is complete, `STEP.json` beside
it records size and SHA-256 of each file. A step without a record does not exist, and a step whose
files differ from the record is refused by name (Orbax itself restores a flipped bit silently).
"""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import jax

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

_STEP_FOLDER = re.compile(r"(\d+)(\.orbax-checkpoint-tmp.*)?")
_ORBAX_LOG = logging.getLogger("absl")
_ASYNCIO_LOG = logging.getLogger("asyncio")


class Checkpoints:
    """The checkpoint folder of one run, open for saving; use as a context manager."""

    def __init__(self, folder: Path, *, keep_last: int) -> None:
        self.folder = folder.resolve()
        self._keep_last = keep_last
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_unrecorded()
        self._saving: tuple[int, float | None] | None = None
        self._was_silent = False
        self._outer_hook = sys.unraisablehook

    @functools.cached_property
    def _manager(self) -> "ocp.CheckpointManager":
        """Made at the first save: importing Orbax takes half as long as importing JAX."""
        import orbax.checkpoint as ocp

        # Told to keep all: it would remove the last step that has a record before the next has one.
        return ocp.CheckpointManager(self.folder)

    def save(self, step: int, state: Any, *, bits_per_byte: float | None) -> None:
        """Starts saving `state` in the background; the best step has the lowest bits per byte.

        The arrays may be donated right after: what is not copied yet is not overwritten. Raises
        OSError with its `errno` and the folder's name, here or at the end, when the disk is full.
        """
        import orbax.checkpoint as ocp

        self.finish()
        self.require_space(state)
        with self._whole_or_nothing():
            self._manager.save(step, args=ocp.args.StandardSave(state), force=True)
        self._saving = step, bits_per_byte

    def require_space(self, state: Any) -> None:
        """OSError (ENOSPC) unless the disk has room for the arrays, or their shapes, of `state`."""
        num_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        disk = shutil.disk_usage(self.folder)
        if disk.total and disk.free < num_bytes:  # file systems of no known size say 0
            facts = f"a checkpoint takes {num_bytes:,} bytes, {disk.free:,} are free"
            raise OSError(errno.ENOSPC, facts, str(self.folder))

    def poll(self) -> None:
        """Records the last save if it is complete; never waits for it."""
        if self._saving is not None and not self._manager.is_saving_in_progress():
            self.finish()

    def finish(self) -> None:
        """Waits for the last save, raises what went wrong in it, records it, and removes old ones.

        The last `keep_last` steps stay, and the best one.
        """
        if self._saving is None:
            return
        (step, bits_per_byte), self._saving = self._saving, None
        with self._whole_or_nothing():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
            if jax.process_index() == 0:
                _write_record(self.folder, step, bits_per_byte)
        if jax.process_index() == 0:
            self._remove_old()

    def __enter__(self) -> Self:
        """Silences Orbax, which logs a traceback of everything that it also raises."""
        self._was_silent, _ORBAX_LOG.disabled = _ORBAX_LOG.disabled, True
        _ASYNCIO_LOG.addFilter(_is_no_echo)
        sys.unraisablehook = functools.partial(_drop_closed_loop, self._outer_hook)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finishes the last save; but leaves it as it is when interrupted by the user."""
        try:
            if kind is None or not issubclass(kind, KeyboardInterrupt):
                self.finish()
                if "_manager" in vars(self):
                    self._manager.close()
        finally:
            _ORBAX_LOG.disabled = self._was_silent
        if error is None:
            sys.unraisablehook = self._outer_hook
            _ASYNCIO_LOG.removeFilter(_is_no_echo)

    @contextlib.contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        """Removes what a failed save left, and raises a system's error as what it is.

        TensorStore gives the number of a system's error only within the text of a ValueError.
        """
        try:
            yield
        except Exception as error:
            self._remove_what_comes()
            number = re.search(r"os_error_code='(\d+)'", str(error))
            if number is None:
                raise
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(self.folder)) from error

    def _remove_what_comes(self) -> None:
        """Removes a failed save until its threads, which go on writing for a while, are done."""
        until_s = time.monotonic() + 10
        is_clean = False
        while not is_clean and time.monotonic() < until_s:
            with contextlib.suppress(OSError):  # a file was added to a folder while it was emptied
                self._remove_unrecorded()
            time.sleep(0.3)
            is_clean = not self._unrecorded()

    def _remove_unrecorded(self) -> None:
        for entry in self._unrecorded():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _unrecorded(self) -> list[Path]:
        """What a killed save or removal left behind, for process 0; nothing of another name."""
        if not self.folder.is_dir() or jax.process_index() != 0:
            return []
        recorded = {str(step) for step in steps(self.folder)}
        return [
            entry
            for entry in self.folder.iterdir()
            if (
                entry.is_dir() and _STEP_FOLDER.fullmatch(entry.name) and entry.name not in recorded
            )
            or (entry.suffix == ".json" and entry.stem.isdigit() and entry.stem not in recorded)
        ]

    def _remove_old(self) -> None:
        kept = {best_step(self.folder), *steps(self.folder)[-self._keep_last :]}
        for step in set(steps(self.folder)) - kept:
            _record_path(self.folder, step).unlink()  # first: then the step does not exist
            shutil.rmtree(self.folder / str(step))


def steps(folder: Path) -> list[int]:
    """Complete steps in ascending order: those with a folder and a record."""
    records = folder.glob("*.json")
    return sorted(
        int(record.stem)
        for record in records
        if record.stem.isdigit() and (folder / record.stem).is_dir()
    )


def best_step(folder: Path) -> int:
    """The step with the lowest validation bits per byte, or the last one if none was evaluated."""
    scores = {step: _read_record(folder, step).get("bits_per_byte") for step in steps(folder)}
    scored = {step: score for step, score in scores.items() if score is not None}
    return min(scored, key=scored.__getitem__) if scored else max(scores)


def restore(folder: Path, step: int, abstract_state: Any) -> Any:
    """The verified state of a step, placed as `abstract_state` (shapes, types, shardings) says.

    Raises InputError when the step does not exist, DamageError when a file differs from the record.
    """
    import orbax.checkpoint as ocp

    verify(folder, step)
    with _reader() as reader:
        return reader.restore(
            (folder / str(step) / "default").resolve(), ocp.args.StandardRestore(abstract_state)
        )


def restore_params(folder: Path, step: int, abstract_params: Any, key: str = "params") -> Any:
    """Only the parameters of a verified step: a third of what training needs."""
    import orbax.checkpoint as ocp

    verify(folder, step)
    with contextlib.closing(ocp.Checkpointer(ocp.PyTreeCheckpointHandler())) as reader:
        restored = reader.restore(
            (folder / str(step) / "default").resolve(),
            args=ocp.args.PyTreeRestore(
                {key: abstract_params},
                restore_args={key: ocp.checkpoint_utils.construct_restore_args(abstract_params)},
                partial_restore=True,
            ),
        )
    return restored[key]


def verify(folder: Path, step: int) -> None:
    """Compares every file of a step with its record."""
    if step not in steps(folder):
        known = ", ".join(map(str, steps(folder))) or "none"
        raise InputError(f"no checkpoint of step {step} in {folder}; complete steps: {known}.")
    for name, entry in _read_record(folder, step)["files"].items():
        path = folder / str(step) / name
        if not path.is_file() or _entry(path) != entry:
            raise DamageError(
                f"{path} is {'damaged' if path.is_file() else 'missing'}: it does not match the "
                f"record {_record_path(folder, step)}; restore the file, or use another step "
                "(training goes on from the step before if you remove this one and its record)."
            )


@contextlib.contextmanager
def _reader() -> "Iterator[ocp.Checkpointer]":
    import orbax.checkpoint as ocp

    reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
    try:
        yield reader
    finally:
        reader.close()


def _drop_closed_loop(outer: Callable[[Any], object], told: Any) -> None:
    # After a failed save, TensorStore's threads call Orbax's closed loop until the process ends.
    if not (isinstance(told.exc_value, RuntimeError) and "loop is closed" in str(told.exc_value)):
        outer(told)


def _is_no_echo(told: logging.LogRecord) -> bool:
    # Of a failed save one write is raised; asyncio logs the others, whenever they are collected.
    return "never retrieved" not in told.getMessage()


def _write_record(folder: Path, step: int, bits_per_byte: float | None) -> None:
    root = folder / str(step)
    assert root.is_dir(), "a save that ended without an error is there"
    files = {
        path.relative_to(root).as_posix(): _entry(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    record = {
        "step": step,
        "bits_per_byte": bits_per_byte,
        "code_version": manifest.code_version(),
        "files": files,
    }
    manifest.write_text(_record_path(folder, step), json.dumps(record, indent=2) + "\n")


def _read_record(folder: Path, step: int) -> dict[str, Any]:
    path = _record_path(folder, step)
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DamageError(
            f"{path} cannot be read ({error}); restore it, or remove it and its step."
        ) from error


def _record_path(folder: Path, step: int) -> Path:
    return folder / f"{step}.json"


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "num_bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
