"""The one record of a model card: all that the folders say, and what only the author knows.

`card.json`, from which both languages and the hub's metadata are rendered. Nothing in it depends
on where the folders lie or on the hour: the same folders give the same record.
"""

import dataclasses
import importlib.metadata
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest, runs
from jgpt2.errors import DamageError, InputError
from jgpt2.model import count, sizes
from jgpt2.publish.card import author, measured, statement
from jgpt2.publish.formats import hf_config

FILE_NAME = "card.json"
README = "README.md"
FIGURE = "figures/loss.svg"
OWN_FILES = (FILE_NAME, README, FIGURE)
"""What a card adds to an exported folder."""
_OF_CONFIG = ("optimizer", "schedule", "batch", "mesh")


def collect(
    folder: Path,
    run: Path,
    *,
    datasets: Sequence[Path],
    facts: author.Facts,
    facts_folder: Path,
    rows: Sequence[Mapping[str, Any]],
    goodput: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The record of the export in `folder`, which was made from `run` (a run or an import).

    `rows` are those of the run's metrics up to the exported step, `goodput` is where its time went.
    Raises InputError where the folders do not belong together, DamageError where one was changed.
    """
    exported = _exported(folder)
    origin = _origin(run, exported)
    step = exported.identity["step"]
    trained = [row for row in rows if row["kind"] == "train"]
    evaluation = measured.read_evaluation(run, origin.fingerprint, step)
    given = statement.read(datasets, origin, measured.dataset_of(evaluation))
    experiment = _json(run / runs.CONFIG) if origin.kind == "run" else None
    num_bytes = trained[-1]["bytes"] if trained else None
    data = statement.collect(given, origin, num_bytes, facts.data)
    identity = _identity(folder, exported, facts.licenses, data["datasets"])
    provenance = _provenance(exported, origin, experiment, facts.provenance)
    made_by = provenance["commands"][0]
    results = measured.evaluated(evaluation, origin, given)
    results += measured.validated(rows, origin, step, made_by)
    results += measured.from_facts(facts.figures)
    training = _training(experiment, trained, runs.events(run), goodput)
    return {
        "identity": identity,
        "provenance": provenance,
        "data": data,
        "training": {**training, "hardware": facts.training.hardware or None},
        "evaluation": {
            "results": results,
            "forgetting": measured.forgotten(run, step, made_by),
        },
        "safety": measured.safety(facts.safety, facts_folder, run, origin.fingerprint, step),
        "energy": _energy(facts.energy, training["hours"]),
        "stage": dataclasses.asdict(facts.stage),
        "use": dataclasses.asdict(facts.use),
        "contact": dataclasses.asdict(facts.contact),
    }


def _exported(folder: Path) -> manifest.Manifest:
    """The manifest of an export whose files, but for an older card, are as they were written."""
    exported = manifest.read(folder, kind="export")
    manifest.require_unchanged(folder, exported)
    own = [name for name in exported.files if name not in OWN_FILES]
    manifest.check_files(folder, exported, own)
    unlisted = [name for name in manifest.unlisted(folder, exported) if name not in OWN_FILES]
    if unlisted:
        raise InputError(
            f"{folder} holds {', '.join(unlisted[:3])}, which {manifest.FILE_NAME} does "
            "not list; remove what is not of the export."
        )
    return exported


def _origin(run: Path, exported: manifest.Manifest) -> manifest.Manifest:
    """The manifest of what was exported."""
    origin = manifest.read(run)
    if origin.kind not in ("run", "import"):
        raise InputError(f"{run} holds a {origin.kind}; give the folder of a run or an import.")
    if origin.fingerprint != exported.parents.get(origin.kind):
        made_from = ", ".join(f"{role} {one[:12]}" for role, one in exported.parents.items())
        raise InputError(
            f"{run} is the {origin.kind} {origin.fingerprint[:12]}, but the export was made from "
            f"{made_from}; give the run that was exported."
        )
    manifest.require_unchanged(run, origin)
    if origin.kind == "run":
        manifest.check_files(run, origin, [runs.CONFIG])
    return origin


def _identity(
    folder: Path,
    exported: manifest.Manifest,
    licenses: author.Licenses,
    datasets: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    shape, vocab_size = hf_config.read(folder)
    vocabulary = manifest.read(folder / runs.TOKENIZER, kind="tokenizer")
    parameters = count.parameters(shape, vocab_size)
    embedding = parameters - count.body_parameters(shape)
    known = {name for one in datasets for name in one["licenses"] or ()}
    return {
        "name": exported.name,
        "sizes": sizes.names_of(shape),
        "parameters": parameters,
        "embedding_parameters": embedding,
        "embedding_share": round(embedding / parameters, 4),
        "layers": shape.layers,
        "width": shape.embed_dim,
        "heads": shape.heads,
        "context": shape.context,
        "vocab_size": vocab_size,
        "vocabulary": {"name": vocabulary.name, "kind": vocabulary.identity["kind"]},
        "step": exported.identity["step"],
        "stored_dtype": exported.identity["dtype"],
        "code_version": exported.code_version,
        "created": exported.created,
        "licenses": {
            "weights": licenses.weights,
            "weights_name": licenses.name or None,
            "weights_link": licenses.link or None,
            "code": importlib.metadata.metadata("jgpt2").get("License-Expression"),
            "data": sorted(known),
        },
    }


def _provenance(
    exported: manifest.Manifest,
    origin: manifest.Manifest,
    experiment: Mapping[str, Any] | None,
    facts: author.Provenance,
) -> dict[str, Any]:
    """Hashes, and the commands that make the same again."""
    start = (experiment or {}).get("start")
    step, dtype = str(exported.identity["step"]), exported.identity["dtype"]
    run = f"runs/{origin.name}"
    if origin.kind == "import":
        made = ["jgpt2", "import", facts.base_model or "SOURCE", run]
    elif start:
        names = statement.trained_on(origin).values()
        made = ["jgpt2", "finetune", facts.base_model or "START"]
        made += ["--dataset", *names, "--run", run]
    else:
        made = ["jgpt2", "train", "run/config.json", "--run", run]
    export = ["jgpt2", "export", run, exported.name, "--step", step, "--dtype", dtype]
    files = {name: one["sha256"] for name, one in exported.files.items() if name not in OWN_FILES}
    return {
        "origin": origin.kind,
        "fingerprints": {
            origin.kind: origin.fingerprint,
            "config": origin.identity.get("config"),
            "tokenizer": exported.parents["tokenizer"],
            **origin.parents,
        },
        "seed": None if experiment is None else experiment["seed"],
        "base": start and {"model": start["model"], "step": start["step"]},
        "base_model": facts.base_model or None,
        "source": origin.notes if origin.kind == "import" else None,
        "code_version": origin.code_version,
        "created": origin.created,
        "notes": exported.notes,
        "commands": [shlex.join(made), shlex.join(export)],
        "files": files,
    }


def _training(
    experiment: Mapping[str, Any] | None,
    trained: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    goodput: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the run did up to the exported step; its hours are those of the whole run."""
    told: dict[str, Any] = {
        **dict.fromkeys(("steps", "tokens", "bytes", "flops", "flops_per_token", "loss")),
        **dict.fromkeys(
            ("optimizer", "schedule", "batch", "mesh", "precision", "dropout", "tuning")
        ),
        **dict.fromkeys(("processes", "starts", "first", "last", "hours", "goodput", "figure")),
    }
    if experiment is not None:
        model, start = experiment["model"], experiment.get("start")
        told |= {key: experiment[key] for key in _OF_CONFIG}
        told |= {"dropout": model["dropout"], "tuning": start and start["tuning"]}
        told["precision"] = {"parameters": "float32", "compute": model["compute_dtype"]}
    if trained:
        last = trained[-1]
        told |= {key: last[key] for key in ("tokens", "bytes", "flops", "loss")}
        told |= {"steps": last["step"], "figure": FIGURE}
        told["flops_per_token"] = last["flops"] / last["tokens"]
    starts = [row for row in events if row["event"] == "start"]
    if starts:
        told |= {"processes": starts[-1]["processes"], "starts": len(starts)}
        told |= {"first": events[0]["time"], "last": events[-1]["time"]}
    if goodput is not None:
        working_s = sum(goodput["seconds"].values()) - goodput["seconds"]["down"]
        told |= {"hours": round(working_s / 3600, 4), "goodput": goodput["goodput"]}
    return told


def _energy(facts: author.Energy, hours: float | None) -> dict[str, Any]:
    """What was measured, or the product of what is known; unknown where a factor is missing."""
    told: dict[str, Any] = {**dataclasses.asdict(facts), "how": "unknown", "grams": None}
    told |= {"location": facts.location or None, "source": facts.source or None}
    if facts.kwh is not None:
        told["how"] = "measured"
    elif facts.watts is not None:
        told["hours"] = facts.hours if facts.hours is not None else hours
        if told["hours"] is not None and facts.pue is not None:
            kwh = told["hours"] * facts.watts / 1000 * facts.pue
            told |= {"how": "estimated", "kwh": _rounded(kwh)}
    if told["kwh"] is not None and facts.grams_per_kwh is not None:
        told["grams"] = _rounded(told["kwh"] * facts.grams_per_kwh)
    return told


def _rounded(value: float) -> float:
    """To six significant digits."""
    return float(f"{value:.6g}")


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DamageError(f"{path} is no JSON ({error}); export again.") from error
