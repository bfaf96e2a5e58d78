"""Checkpoints of a run: Orbax behind one module, with a record of every file's SHA-256.

`checkpoints/STEP/` is written by Orbax in the background; when it is complete, `STEP.json` beside
it records size and SHA-256 of each file. A step without a record does not exist, and a step whose
files differ from the record is refused by name (Orbax itself restores a flipped bit silently).
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError

_METRIC = "bits_per_byte"


class Checkpoints:
    """The checkpoint folder of one run, open for saving."""

    def __init__(self, folder: Path, *, keep_last: int) -> None:
        self.folder = folder.resolve()
        self._remove_unrecorded()
        keep = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep_last),
                preservation_policy.BestN(
                    get_metric_fn=lambda metrics: -metrics[_METRIC],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(preservation_policy=keep)
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._unrecorded: int | None = None

    def save(self, step: int, state: Any, *, bits_per_byte: float | None) -> None:
        """Starts saving `state` in the background; the best step has the lowest bits per byte."""
        self.finish()
        metrics = None if bits_per_byte is None else {_METRIC: bits_per_byte}
        self._manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics, force=True)
        self._unrecorded = step

    def poll(self) -> None:
        """Records the last save if it is complete; never waits for it."""
        if self._unrecorded is not None and not self._manager.is_saving_in_progress():
            self.finish()

    def finish(self) -> None:
        """Waits for the last save, raises what went wrong in it, and records it."""
        if self._unrecorded is None:
            return
        self._manager.wait_until_finished()
        self._manager.check_for_errors()
        if jax.process_index() == 0:
            _write_record(self.folder, self._unrecorded)
            self._remove_pruned()
        self._unrecorded = None

    def close(self) -> None:
        """Finishes the last save and lets go of the folder."""
        self.finish()
        self._manager.close()

    def _remove_unrecorded(self) -> None:
        """Removes what a killed save left behind, so that its step can be saved again."""
        if not self.folder.is_dir() or jax.process_index() != 0:
            return
        recorded = set(steps(self.folder))
        for entry in self.folder.iterdir():
            if entry.is_dir() and not (entry.name.isdigit() and int(entry.name) in recorded):
                shutil.rmtree(entry)

    def _remove_pruned(self) -> None:
        for record in self.folder.glob("*.json"):
            if record.stem.isdigit() and not (self.folder / record.stem).is_dir():
                record.unlink()


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
    scored = {}
    for step in steps(folder):
        metrics = folder / str(step) / "metrics" / "metrics"
        if metrics.is_file():
            scored[step] = json.loads(metrics.read_text("utf-8"))[_METRIC]
    return min(scored, key=scored.__getitem__) if scored else steps(folder)[-1]


def restore(folder: Path, step: int, abstract_state: Any) -> Any:
    """The verified state of a step, placed as `abstract_state` (shapes, types, shardings) says.

    Raises InputError when the step does not exist, DamageError when a file differs from the record.
    """
    verify(folder, step)
    with _reader(folder) as reader:
        return reader.restore(
            (folder / str(step) / "default").resolve(), ocp.args.StandardRestore(abstract_state)
        )


def restore_params(folder: Path, step: int, abstract_params: Any, key: str = "params") -> Any:
    """Only the parameters of a verified step: a third of what training needs."""
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
    record = json.loads((folder / f"{step}.json").read_text("utf-8"))
    for name, entry in record["files"].items():
        path = folder / str(step) / name
        if not path.is_file() or _entry(path) != entry:
            raise DamageError(
                f"{path} is {'damaged' if path.is_file() else 'missing'}: it does not match the "
                f"record {folder / f'{step}.json'}; restore the file, or use another step."
            )


@contextlib.contextmanager
def _reader(folder: Path) -> Iterator[ocp.Checkpointer]:
    reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
    try:
        yield reader
    finally:
        reader.close()


def _write_record(folder: Path, step: int) -> None:
    root = folder / str(step)
    files = {
        path.relative_to(root).as_posix(): _entry(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    record = {"step": step, "code_version": manifest.code_version(), "files": files}
    manifest.write_text(folder / f"{step}.json", json.dumps(record, indent=2) + "\n")


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "num_bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
