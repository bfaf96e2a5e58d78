"""The run folder: what a run is, made once and read by everything after the launch.

`config.json` (the resolved experiment), `manifest.json` (parents' fingerprints), `tokenizer/` (a
copy: the folder is complete by itself), `metrics.jsonl` (the truth of the run), `events.jsonl`
(starts, stops, what was set aside), `checkpoints/`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from jgpt2 import checkpoint, config, configio, integrity, manifest, storage
from jgpt2.config import Experiment, Mesh
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2, lora, sharding
from jgpt2.tokenizer import load as tokenizer_load
from jgpt2.tokenizer.base import Tokenizer

CONFIG = "config.json"
SHAPE = "shape.json"
"""In place of a run's config, what is known of a model that was trained elsewhere."""
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints"
TOKENIZER = "tokenizer"
EVALUATION = "evaluation.json"
SAMPLES = "samples.jsonl"
_BUILDING = ".creating"


def create(
    folder: Path,
    experiment: Experiment,
    *,
    tokenizer: Path,
    parents: dict[str, str],
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Makes the run folder, or checks that the one there is this very run.

    `parents` holds the fingerprints of datasets, tokenizer and token stores, `notes` facts for the
    manifest. Raises InputError when the folder holds another run (naming every field that differs)
    or something that is no run.
    """
    if manifest.exists(folder):
        require_same(folder, experiment, parents)
        return
    building = storage.scratch(folder / _BUILDING, _BUILDING)
    _require_free(folder)
    storage.remove_tree(building / TOKENIZER)  # of a creation that was killed
    storage.remove_tree(folder / TOKENIZER)
    try:
        manifest.copy(tokenizer, building / TOKENIZER, kind="tokenizer")
        manifest.write_text(building / CONFIG, configio.to_json(experiment))
        manifest.write(
            building,
            kind="run",
            name=experiment.name,
            identity={"config": configio.fingerprint(experiment)},
            parents=parents,
            files=[CONFIG],
            notes=notes,
        )
        storage.fill(building, folder, last=manifest.FILE_NAME)
    finally:
        storage.remove_tree(building)


def _require_free(folder: Path) -> None:
    """Raises unless the folder is empty or new, or holds what a killed `create` left there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give --run a folder.")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    if CONFIG in names and METRICS in names:
        raise DamageError(
            f"{folder / manifest.FILE_NAME} is missing, though {folder} holds a run; restore it, "
            "or give another --run folder."
        )
    is_begun = _BUILDING in names or (
        storage.is_remote(folder) and {TOKENIZER, CONFIG}.issuperset(names)
    )
    if names and not is_begun:
        raise InputError(
            f"{folder} is not a run folder but holds {', '.join(names[:3])}; give --run a "
            "folder that is empty or does not exist."
        )


def require_same(folder: Path, experiment: Experiment, parents: Mapping[str, str]) -> None:
    """InputError naming what differs where the run in `folder` has another config or other data."""
    recorded = read_config(folder)
    changes = configio.diff(recorded, experiment)
    if changes:
        raise InputError(
            f"{folder} holds a run with another config ({configio.listed(changes)}); give "
            "another --run folder, or the recorded config to go on."
        )
    recorded_parents = manifest.read(folder, kind="run").parents
    for role, fingerprint in parents.items():
        if recorded_parents.get(role) != fingerprint:
            raise InputError(
                f"{folder} was trained on another {role} (fingerprint "
                f"{str(recorded_parents.get(role))[:12]}, given {fingerprint[:12]}); give the "
                f"{role} it was trained on, or another --run folder."
            )


def read_config(folder: Path) -> Experiment:
    """The resolved experiment of a run.

    Raises InputError when the folder holds no run, DamageError when the record was changed.
    """
    manifest.verify(folder, kind="run")
    return configio.load(folder / CONFIG)


def read_shape(folder: Path) -> config.Model:
    """The shape of the model of a run, or of an imported one; errors as of `read_config`."""
    if not (folder / SHAPE).is_file():
        return read_config(folder).model
    manifest.verify(folder, kind="import")
    return configio.model_from_json((folder / SHAPE).read_text("utf-8"))


def is_complete(folder: Path, last_step: int) -> bool:
    """Whether the last step of a run is saved and evaluated."""
    if integrity.steps(folder / CHECKPOINTS)[-1:] != [last_step]:
        return False
    return any(row["kind"] == "evaluation" and row["step"] == last_step for row in metrics(folder))


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl in order; an unfinished last line is left out."""
    return _rows(folder / METRICS)


def events(folder: Path) -> list[dict[str, Any]]:
    """The rows of events.jsonl in order; an unfinished last line is left out.

    The training order follows from them, so each carries a digest: DamageError where one differs.
    """
    rows = _rows(folder / EVENTS)
    for number, row in enumerate(rows, start=1):
        if row.get("digest") != event_digest(row):
            raise DamageError(
                f"line {number} of {folder / EVENTS} was changed after it was written; restore it."
            )
    return rows


def event_digest(row: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 over what an event says."""
    content = {key: value for key, value in row.items() if key != "digest"}
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise DamageError(f"{path} holds a line that is not JSON ({error}); restore it.") from error


@dataclass(frozen=True)
class OpenModel:
    """A trained model, ready to evaluate or to write with."""

    shape: config.Model
    graphdef: nnx.GraphDef[Any]
    params: gpt2.Params
    tokenizer: Tokenizer
    step: int
    mesh: jax.sharding.Mesh
    """Where the parameters lie."""
    fingerprint: str
    """Fingerprint of the run, or of the imported folder."""


@dataclass(frozen=True)
class Found:
    """A checkpoint of a model, chosen but not yet read."""

    folder: Path
    name: str
    shape: config.Model
    tuning: config.Tuning | None
    """How the model was fine-tuned, if it was."""
    tokenizer: Tokenizer
    step: int
    fingerprint: str
    """Fingerprint of the run."""


def find(folder: Path, *, step: int | None = None) -> Found:
    """The checkpoint `step` of a run or an imported model, or the best by validation bits per byte.

    Raises InputError when the run or step does not exist, DamageError when the run is damaged.
    """
    shape = read_shape(folder)
    tokenizer = tokenizer_load.load(folder / TOKENIZER)
    record = manifest.read(folder)
    if tokenizer.fingerprint != record.parents["tokenizer"]:
        raise DamageError(
            f"{folder / TOKENIZER} has fingerprint {tokenizer.fingerprint[:12]}, but the run was "
            f"trained with {record.parents['tokenizer'][:12]}; restore that folder."
        )
    checkpoints = folder / CHECKPOINTS
    if not integrity.steps(checkpoints):
        raise InputError(f"{folder} has no complete checkpoint; train it to its first one.")
    chosen = integrity.best_step(checkpoints) if step is None else step
    integrity.require(checkpoints, chosen)
    start = read_config(folder).start if record.kind == "run" else None
    return Found(
        folder=folder,
        name=record.name,
        shape=shape,
        tuning=start and start.tuning,
        tokenizer=tokenizer,
        step=chosen,
        fingerprint=record.fingerprint,
    )


def open_model(folder: Path, *, step: int | None = None, mesh: Mesh | None = None) -> OpenModel:
    """Loads a checkpoint's parameters: `step`, or the best by validation bits per byte.

    The parameters are placed on `mesh` (None: every device holds a copy of all of them), adapters
    merged into what they adapt. Raises what `find` raises, InputError when the model does not
    divide over the mesh, DamageError when a file fails verification.
    """
    found = find(folder, step=step)
    vocab_size = found.tokenizer.vocab_size
    graphdef, _ = gpt2.abstract(found.shape, vocab_size)
    _, saved = lora.abstract(found.shape, vocab_size, found.tuning)
    device_mesh = sharding.make_mesh(mesh or Mesh())
    # Any number of rows will do here: batches are not cut up by this mesh.
    rows = device_mesh.size
    sharding.check(found.shape, gpt2.padded_vocab(vocab_size), rows, device_mesh)
    placed = sharding.placed(saved, device_mesh)
    params = checkpoint.restore_params(folder / CHECKPOINTS, found.step, placed)
    return OpenModel(
        found.shape,
        graphdef,
        lora.merged(params, found.tuning),
        found.tokenizer,
        found.step,
        device_mesh,
        found.fingerprint,
    )
