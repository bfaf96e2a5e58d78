"""The record beside each checkpoint: proof that the step is whole, and of which run it is.

`checkpoints/STEP.json` is written after the commit, with size and SHA-256 of every file of
`checkpoints/STEP/`, the fingerprints of what the run is made from, and a SHA-256 over itself. A
step without a record does not exist. A damaged step is renamed `STEP.damaged`, never deleted.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError, InputError

_STEP_FOLDER = re.compile(r"(\d+)(\.orbax-checkpoint-tmp.*)?")
_SET_ASIDE = re.compile(r"\d+\.(damaged|rewound)(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one complete step."""

    step: int
    bits_per_byte: float | None
    """On the validation split; None where the step was not evaluated."""
    fingerprints: dict[str, str]
    """Role -> fingerprint: the run's config and parents, and the tree of the saved arrays."""
    code_version: str
    files: dict[str, dict[str, Any]]
    """Path inside the step's folder -> {num_bytes, sha256}."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry["num_bytes"] for entry in self.files.values())


def steps(folder: Path) -> list[int]:
    """Steps that have a record, in ascending order."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    return sorted(int(name[:-5]) for name in names if re.fullmatch(r"[0-9]+\.json", name))


def names_set_aside(folder: Path) -> list[str]:
    """Names of the steps that count no more, in order."""
    if not folder.is_dir():
        return []
    names = {entry.name.removesuffix(".json") for entry in folder.iterdir()}
    return sorted(name for name in names if _SET_ASIDE.fullmatch(name))


def readable_steps(folder: Path) -> list[int]:
    """Steps whose record is undamaged, in ascending order."""
    readable = []
    for step in steps(folder):
        with contextlib.suppress(DamageError):
            readable.append(read(folder, step).step)
    return readable


def best_step(folder: Path, among: Iterable[int] | None = None) -> int:
    """The step with the lowest validation bits per byte, or the last one if none was evaluated.

    `among` leaves out others than these steps. Raises DamageError when a record cannot be read.
    """
    chosen = steps(folder) if among is None else among
    scores = {step: read(folder, step).bits_per_byte for step in chosen}
    scored = {step: score for step, score in scores.items() if score is not None}
    return min(scored, key=scored.__getitem__) if scored else max(scores)


def read(folder: Path, step: int) -> Record:
    """The record of a step; DamageError when it was changed after it was written."""
    path = record_path(folder, step)
    try:
        content = json.loads(path.read_text("utf-8"))
        digest = content.pop("sha256")
        record = Record(**content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamageError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if digest != _digest(content) or record.step != step:
        raise DamageError(f"{path} was changed after it was written; {_REMEDY}")
    return record


def write(folder: Path, record: Record) -> None:
    """Writes the record whole or not at all; from then on the step exists."""
    content = dict(vars(record))
    text = json.dumps(content | {"sha256": _digest(content)}, ensure_ascii=False, indent=2)
    manifest.write_text(record_path(folder, record.step), text + "\n")


def hash_files(
    folder: Path, step: int, *, part: int = 0, parts: int = 1
) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file of a step, or of every `parts`-th one from the `part`-th."""
    root = folder / str(step)
    return {name: storage.entry(root / name) for name in storage.files(root)[part::parts]}


def verify(folder: Path, step: int, *, part: int = 0, parts: int = 1) -> None:
    """Compares every file of a step with its record, or every `parts`-th from the `part`-th.

    Raises InputError when the step does not exist, DamageError naming the first that differs.
    """
    require(folder, step)
    files = read(folder, step).files
    for name in sorted(files)[part::parts]:
        path = folder / str(step) / name
        if not path.is_file() or storage.entry(path) != files[name]:
            raise DamageError(
                f"{path} is {'damaged' if path.is_file() else 'missing'}: it does not match the "
                f"record {record_path(folder, step)}; {_REMEDY}"
            )


def require(folder: Path, step: int) -> None:
    """InputError, with those there are, unless the step has a record."""
    if step not in steps(folder):
        known = ", ".join(map(str, steps(folder))) or "none"
        raise InputError(f"no checkpoint of step {step} in {folder}; complete steps: {known}.")


def require_same_run(folder: Path, step: int, fingerprints: Mapping[str, str]) -> None:
    """DamageError, naming the role, where a step's record is of something else than the run's."""
    recorded = read(folder, step).fingerprints
    for role, fingerprint in fingerprints.items():
        if recorded.get(role) != fingerprint:
            raise DamageError(
                f"{record_path(folder, step)} is of another run: its {role} has fingerprint "
                f"{str(recorded.get(role))[:12]}, this run's has {fingerprint[:12]}; move it and "
                "its folder away."
            )


def set_aside(folder: Path, step: int, why: Literal["damaged", "rewound"] = "damaged") -> Path:
    """Renames a step and its record to `STEP.WHY`, so that it counts no more; the new name."""
    name, number = f"{step}.{why}", 1
    while (folder / name).exists() or (folder / f"{name}.json").exists():
        number += 1
        name = f"{step}.{why}-{number}"
    storage.rename(record_path(folder, step), folder / f"{name}.json")  # first: it ends the step
    if (folder / str(step)).exists():
        storage.rename_tree(folder / str(step), folder / name)
    return folder / name


def unrecorded(folder: Path) -> list[Path]:
    """What a save or a removal that was killed left behind; nothing of another name."""
    if not folder.is_dir():
        return []
    recorded = {str(step) for step in steps(folder)}
    return [
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and _STEP_FOLDER.fullmatch(entry.name) and entry.name not in recorded
    ]


def remove(folder: Path, step: int) -> None:
    """Removes a step, its record first: then it does not exist."""
    record_path(folder, step).unlink()
    storage.remove_tree(folder / str(step))


def record_path(folder: Path, step: int) -> Path:
    """Where the record of a step lies."""
    return folder / f"{step}.json"


_REMEDY = (
    "restore the file, or use another step (training sets this one aside and goes on from the "
    "step before)."
)


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
