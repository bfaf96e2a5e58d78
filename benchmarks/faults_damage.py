"""Damage to the files of a run that was killed, for `benchmarks/faults.py`."""

import contextlib
import fnmatch
import random
from pathlib import Path

from jgpt2 import integrity, runs, storage
from jgpt2.errors import DamageError

CLASSES = {
    "array data": "checkpoints/24/default/*d/*",
    "OCDBT manifest": "checkpoints/24/default/*manifest.ocdbt",
    "array metadata": "checkpoints/24/default/array_metadatas/*",
    "tree metadata": "checkpoints/24/default/_METADATA",
    "sharding": "checkpoints/24/default/_sharding",
    "step metadata": "checkpoints/24/_CHECKPOINT_METADATA",
    "record": "checkpoints/24.json",
    "config": "config.json",
    "run manifest": "manifest.json",
    "tokenizer": "tokenizer/*",
    "metrics": "metrics.jsonl",
    "events": "events.jsonl",
}
"""Class of files -> where they lie in the run folder."""
DATA_CLASSES = {
    "token store": "tokens/byte/train-*.tokens",
    "validation split": "documents-validation.*",
    "dataset manifest": "manifest.json",
}
"""Class of files -> where they lie in the dataset's folder."""
DAMAGES = ("one flipped bit", "truncated file", "missing file")
STRAYS = ("empty step folder", "stray future step", "stray future step without a record")
KINDS = (
    *(f"{damage}: {name}" for name in (*CLASSES, *DATA_CLASSES) for damage in DAMAGES),
    *STRAYS,
)
_FLIPS = 200


def copy(folder: Path, target: Path) -> None:
    """Copies a folder to where there is none, on a disk or in a bucket."""
    for name in storage.files(folder):
        storage.write_bytes(target / name, (folder / name).read_bytes())


def do(
    kind: str, draw: random.Random, run: Path, dataset: Path, undo: contextlib.ExitStack
) -> tuple[Path | None, str]:
    """Does the damage; the damaged path, if the run may be refused for it, and words for it."""
    if kind in STRAYS:
        return None, _stray(kind, run / runs.CHECKPOINTS)
    damage, name = kind.split(": ")
    folder = dataset if name in DATA_CLASSES else run
    pattern = (CLASSES | DATA_CLASSES)[name]
    file = draw.choice([file for file in storage.files(folder) if fnmatch.fnmatch(file, pattern)])
    path = folder / file
    content = path.read_bytes()
    if folder == dataset:  # the next trials read it too
        undo.callback(path.write_bytes, content)
    if damage == "missing file":
        path.unlink()
        return path, file
    if damage == "truncated file":
        cut = draw.randrange(len(content))
        storage.write_bytes(path, content[:cut])
        return path, f"{file} at byte {cut} of {len(content)}"
    at = draw.randrange(8 * len(content))
    storage.write_bytes(path, _flipped(content, at))
    return path, f"{file}, bit {at} of {8 * len(content)}"


def _stray(kind: str, checkpoints: Path) -> str:
    if kind == "empty step folder":
        (checkpoints / "999").mkdir()
        return "checkpoints/999/"
    copy(checkpoints / "24", checkpoints / "999")
    if "without" in kind:
        return "checkpoints/999/, copied from 24"
    storage.write_bytes(checkpoints / "999.json", (checkpoints / "24.json").read_bytes())
    return "checkpoints/999/ and its record, copied from 24"


def count_caught_flips(checkpoints: Path) -> dict[str, int]:
    """Of single flipped bits in array data, each undone again: how many verification refuses."""
    draw, caught = random.Random(0), 0
    step = integrity.steps(checkpoints)[-1]
    folder = checkpoints / str(step) / "default"
    paths = [folder / file for file in storage.files(folder) if file.split("/")[-2:-1] == ["d"]]
    for _ in range(_FLIPS):
        path = draw.choice(paths)
        content = path.read_bytes()
        storage.write_bytes(path, _flipped(content, draw.randrange(8 * len(content))))
        try:
            integrity.verify(checkpoints, step)
        except DamageError as error:
            caught += path.name in str(error)
        storage.write_bytes(path, content)
    integrity.verify(checkpoints, step)
    return {"flips": _FLIPS, "caught": caught}


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
