"""Checkpoints of a run: Orbax behind one module, each step with a record of its integrity.

`checkpoints/STEP/` is written by Orbax in the background, by all processes together; when it is
complete, its files are hashed, each process a share of them, and process 0 writes the record
(`jgpt2.integrity`). Nothing is read before it was compared with its record: Orbax itself restores a
flipped bit silently.
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import jax

from jgpt2 import integrity, manifest, storage
from jgpt2.errors import DamageError
from jgpt2.processes import Group

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

_ORBAX_LOG = logging.getLogger("absl")
_ASYNCIO_LOG = logging.getLogger("asyncio")


class Checkpoints:
    """The checkpoint folder of one run, open for saving; use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        keep_last: int,
        fingerprints: Mapping[str, str] | None = None,
        group: Group | None = None,
    ) -> None:
        """`fingerprints` says of which run the steps are, by role."""
        self.folder = storage.absolute(folder)
        self._keep_last = keep_last
        self._fingerprints = dict(fingerprints or {})
        self._group = group or Group()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_unrecorded()
        self._recorder = futures.ThreadPoolExecutor(1, thread_name_prefix="record")
        self._saving: tuple[int, futures.Future[None]] | None = None
        self._was_silent = False
        self._outer_hook = sys.unraisablehook

    @functools.cached_property
    def _writer(self) -> "ocp.AsyncCheckpointer":
        """Made at the first save: importing Orbax takes half as long as importing JAX."""
        import orbax.checkpoint as ocp

        # No CheckpointManager: with one process's error it waits for all others before it raises.
        return ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())

    def save(self, step: int, state: Any, *, bits_per_byte: float | None) -> None:
        """Starts saving `state` in the background; the best step has the lowest bits per byte.

        The arrays may be donated right after: what is not copied yet is not overwritten. Raises
        OSError with its `errno` and the folder's name, here or at the end, when the disk is full.
        """
        import orbax.checkpoint as ocp

        self.finish()
        self.require_space(state)
        items = ocp.args.Composite(default=ocp.args.StandardSave(state))
        with self._whole_or_nothing():
            self._writer.save(self.folder / str(step), args=items)
        fingerprints = self._fingerprints | {"arrays": tree_fingerprint(state)}
        record = integrity.Record(
            step=step,
            bits_per_byte=bits_per_byte,
            fingerprints=fingerprints,
            code_version=manifest.code_version(),
            files={},
        )
        self._saving = step, self._recorder.submit(self._record, record)

    def require_space(self, state: Any) -> None:
        """OSError (ENOSPC) unless the disk has room for the arrays, or their shapes, of `state`."""
        num_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        free_bytes = storage.free_bytes(self.folder)
        if free_bytes is not None and free_bytes < num_bytes:
            facts = f"a checkpoint takes {num_bytes:,} bytes, {free_bytes:,} are free"
            raise OSError(errno.ENOSPC, facts, str(self.folder))

    def poll(self) -> None:
        """Raises what went wrong in the last save, if it has ended; never waits for it."""
        if self._saving is not None and self._saving[1].done():
            self.finish()

    def finish(self) -> None:
        """Waits until the last save is recorded; raises what went wrong in it."""
        if self._saving is None:
            return
        (_, recorded), self._saving = self._saving, None
        recorded.result()

    def score(self, step: int, bits_per_byte: float) -> None:
        """Notes the bits per byte of a step that was saved before it was evaluated."""
        self.finish()
        if self._group.is_first and step in integrity.steps(self.folder):
            record = integrity.read(self.folder, step)
            integrity.write(self.folder, dataclasses.replace(record, bits_per_byte=bits_per_byte))

    def rewind(self, step: int) -> None:
        """Sets aside the steps after this one, so that they can be saved again."""
        self.finish()
        if self._group.is_first:
            for later in integrity.steps(self.folder):
                if later > step:
                    integrity.set_aside(self.folder, later, "rewound")
        self._group.barrier("rewind")

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
        """Finishes the last save; but leaves it when interrupted, or when others wait no more."""
        is_alone = self._group.count == 1
        try:
            if kind is None or (is_alone and not issubclass(kind, KeyboardInterrupt)):
                self.finish()
            if kind is None and "_writer" in vars(self):
                self._writer.close()
        finally:
            _ORBAX_LOG.disabled = self._was_silent
            self._recorder.shutdown(wait=False)
        if error is None:
            sys.unraisablehook = self._outer_hook
            _ASYNCIO_LOG.removeFilter(_is_no_echo)

    def _record(self, record: integrity.Record) -> None:
        """In the background: waits for the commit, hashes, writes the record, removes old steps."""
        share = {"part": self._group.index, "parts": self._group.count}
        with self._whole_or_nothing():
            self._writer.wait_until_finished()
            parts = self._group.exchange(
                "checkpoint", integrity.hash_files(self.folder, record.step, **share)
            )
            files = {name: entry for part in parts for name, entry in part.items()}
            if self._group.is_first:
                integrity.write(self.folder, dataclasses.replace(record, files=files))
        if self._group.is_first:
            self._remove_old(record.step)

    @contextlib.contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        """Removes what a failed save left, and raises a system's error as what it is.

        TensorStore gives the number of a system's error only within the text of a ValueError, and
        Orbax's own writes name no file.
        """
        try:
            yield
        except Exception as error:
            self._remove_what_comes()
            number = re.search(r"os_error_code='(\d+)'", str(error))
            code = int(number[1]) if number else getattr(error, "errno", None)
            if code is None or getattr(error, "filename", None):
                raise
            raise OSError(code, os.strerror(code), str(self.folder)) from error

    def _remove_what_comes(self) -> None:
        """Removes a failed save until its threads, which go on writing for a while, are done."""
        until_s = time.monotonic() + 10
        is_clean = False
        while not is_clean and time.monotonic() < until_s:
            with contextlib.suppress(OSError):  # a file was added to a folder while it was emptied
                self._remove_unrecorded()
            time.sleep(0.3)
            is_clean = not self._group.is_first or not integrity.unrecorded(self.folder)

    def _remove_unrecorded(self) -> None:
        for entry in integrity.unrecorded(self.folder) if self._group.is_first else ():
            storage.remove_tree(entry)

    def _remove_old(self, newest: int) -> None:
        """Leaves the last steps and the best one; nothing goes before the newest is verified."""
        known = integrity.readable_steps(self.folder)  # of what cannot be read, nothing is removed
        kept = {*known[-self._keep_last :], integrity.best_step(self.folder, known)}
        if kept.issuperset(known):
            return
        integrity.verify(self.folder, newest)
        for step in sorted(set(known) - kept):
            integrity.remove(self.folder, step)


def restore_newest(
    folder: Path,
    abstract_state: Any,
    *,
    fingerprints: Mapping[str, str] | None = None,
    upto: int | None = None,
    strict: bool = False,
    group: Group | None = None,
    say: Callable[[str], None] = lambda said: None,
) -> tuple[int, Any] | None:
    """The newest good step, `upto` one at most, and its verified state; None where there is none.

    A damaged step is set aside, told to `say`, and the one before it is taken, the same by all
    processes. Raises DamageError instead when `strict`, and when no good step is left.
    """
    group = group or Group()
    damage = None
    while True:
        known = group.from_first("steps", integrity.steps(folder))
        known = [step for step in known if upto is None or step <= upto]
        if not known and damage is None:
            return None
        if not known:
            raise DamageError(f"{damage} No good step is left in {folder}.")
        step = known[-1]
        expected = dict(fingerprints or {}) | {"arrays": tree_fingerprint(abstract_state)}
        damage = _damage(folder, step, expected, group)
        if damage is None:
            return step, _read(folder, step, abstract_state)
        if strict:
            raise DamageError(damage)
        if group.is_first:
            name = integrity.set_aside(folder, step)
            say(f"{damage} Step {step} is set aside as {name}.")
        group.barrier("set aside")


def restore(folder: Path, step: int, abstract_state: Any) -> Any:
    """The verified state of a step, placed as `abstract_state` (shapes, types, shardings) says.

    Raises InputError when the step does not exist, DamageError when a file differs from the record.
    """
    integrity.verify(folder, step)
    return _read(folder, step, abstract_state)


def restore_params(folder: Path, step: int, abstract_params: Any, key: str = "params") -> Any:
    """Only the parameters of a verified step: a third of what training needs."""
    import orbax.checkpoint as ocp

    integrity.verify(folder, step)
    with contextlib.closing(ocp.Checkpointer(ocp.PyTreeCheckpointHandler())) as reader:
        restored = reader.restore(
            storage.absolute(folder / str(step) / "default"),
            args=ocp.args.PyTreeRestore(
                {key: abstract_params},
                restore_args={key: ocp.checkpoint_utils.construct_restore_args(abstract_params)},
                partial_restore=True,
            ),
        )
    return restored[key]


def tree_fingerprint(tree: Any) -> str:
    """SHA-256 over names, shapes and types of the arrays, not over what they hold."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    described = [
        f"{jax.tree_util.keystr(path)} {leaf.dtype.name}{list(leaf.shape)}" for path, leaf in leaves
    ]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()


def _damage(folder: Path, step: int, fingerprints: Mapping[str, str], group: Group) -> str | None:
    """What is wrong with a step, the same on every process; None of a good one."""
    found = None
    try:
        integrity.require_same_run(folder, step, fingerprints)
        integrity.verify(folder, step, part=group.index, parts=group.count)
    except DamageError as error:
        found = str(error)
    return next((told for told in group.exchange("damage", found) if told is not None), None)


def _read(folder: Path, step: int, abstract_state: Any) -> Any:
    import orbax.checkpoint as ocp

    with contextlib.closing(ocp.Checkpointer(ocp.StandardCheckpointHandler())) as reader:
        return reader.restore(
            storage.absolute(folder / str(step) / "default"),
            ocp.args.StandardRestore(abstract_state),
        )


def _drop_closed_loop(outer: Callable[[Any], object], told: Any) -> None:
    # After a failed save, TensorStore's threads call Orbax's closed loop until the process ends.
    if not (isinstance(told.exc_value, RuntimeError) and "loop is closed" in str(told.exc_value)):
        outer(told)


def _is_no_echo(told: logging.LogRecord) -> bool:
    # Of a failed save one write is raised; asyncio logs the others, whenever they are collected.
    return "never retrieved" not in told.getMessage()
