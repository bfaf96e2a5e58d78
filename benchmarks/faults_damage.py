"""Damage to the files of a run that was killed, for `benchmarks/faults.py`."""

import contextlib
import random
import shutil
from pathlib import Path

from jgpt2 import integrity, runs
from jgpt2.errors import DamageError

CLASSES = {
    "array data": "checkpoints/24/default/**/d/*",
    "OCDBT manifest": "checkpoints/24/default/**/manifest.ocdbt",
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
    "token store": "",
}
"""Class of files -> where they lie in the run folder."""
DAMAGES = ("one flipped bit", "truncated file", "missing file")
FOLDERS = ("empty step folder", "stray future step")
KINDS = (*(f"{damage}: {name}" for name in CLASSES for damage in DAMAGES), *FOLDERS)
_FLIPS = 200


def do(
    kind: str, draw: random.Random, run: Path, store: Path, undo: contextlib.ExitStack
) -> tuple[Path | None, str]:
    """Does the damage; the damaged path, if the run may be refused for it, and words for it."""
    checkpoints = run / runs.CHECKPOINTS
    if kind == "empty step folder":
        (checkpoints / "999").mkdir()
        return None, "checkpoints/999/"
    if kind == "stray future step":
        shutil.copytree(checkpoints / "24", checkpoints / "999")
        shutil.copy(checkpoints / "24.json", checkpoints / "999.json")
        return None, "checkpoints/999/ and its record, copied from 24"
    damage, name = kind.split(": ")
    if name == "token store":
        path = draw.choice(sorted(store.glob("train-*.tokens")))
        kept = path.read_bytes()
        undo.callback(path.write_bytes, kept)
    else:
        path = draw.choice([path for path in sorted(run.glob(CLASSES[name])) if path.is_file()])
    content = path.read_bytes()
    if damage == "missing file":
        path.unlink()
        return path, path.name
    if damage == "truncated file":
        cut = draw.randrange(len(content))
        path.write_bytes(content[:cut])
        return path, f"{path.name} at byte {cut} of {len(content)}"
    at = draw.randrange(8 * len(content))
    path.write_bytes(_flipped(content, at))
    return path, f"{path.name}, bit {at} of {8 * len(content)}"


def count_caught_flips(checkpoints: Path) -> dict[str, int]:
    """Of single flipped bits in array data, each undone again: how many verification refuses."""
    draw, caught = random.Random(0), 0
    step = integrity.steps(checkpoints)[-1]
    paths = sorted((checkpoints / str(step) / "default").glob("**/d/*"))
    for _ in range(_FLIPS):
        path = draw.choice(paths)
        content = path.read_bytes()
        path.write_bytes(_flipped(content, draw.randrange(8 * len(content))))
        try:
            integrity.verify(checkpoints, step)
        except DamageError as error:
            caught += path.name in str(error)
        path.write_bytes(content)
    integrity.verify(checkpoints, step)
    return {"flips": _FLIPS, "caught": caught}


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
