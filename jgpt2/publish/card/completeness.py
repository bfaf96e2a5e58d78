"""Whether a card is complete, every figure has its source, and every byte is what was written.

One problem is one line that starts with where it is: a dotted path into `card.json`, or a file.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.card import hub_metadata, measured, page, records

Record = Mapping[str, Any]

MANDATORY = (
    *("identity.name", "identity.parameters", "identity.vocab_size", "identity.context"),
    *("identity.code_version", "identity.created"),
    *("identity.licenses.weights", "identity.licenses.code"),
    *("provenance.code_version", "provenance.fingerprints.tokenizer"),
    *("provenance.commands", "provenance.files"),
    *("data.statement.ja", "data.statement.en"),
    *("data.personal_information.ja", "data.personal_information.en"),
    *("data.gaps.ja", "data.gaps.en"),
    *("evaluation.results", "stage.name", "stage.changes"),
    *("use.intended.ja", "use.intended.en", "use.out_of_scope.ja", "use.out_of_scope.en"),
    *("use.misuse.ja", "use.misuse.en", "use.limitations.ja", "use.limitations.en"),
    *("contact.questions", "contact.opt_out"),
)
"""Paths of what every card must hold."""
MANDATORY_OF_RUNS = (
    *("provenance.fingerprints.run", "provenance.fingerprints.config", "provenance.seed"),
    *("data.datasets", "identity.licenses.data"),
    *("training.steps", "training.tokens", "training.bytes", "training.flops"),
    *("training.loss", "training.optimizer", "training.schedule", "training.precision"),
)
"""And of what those must hold that were trained by this project."""
_OF_FIGURE = ("metric", "value", "dataset", "split", "n", "command")
_OF_FORGETTING = ("before", "after", "dataset", "split", "n", "command")
_OF_CHANGE = ("date", "ja", "en")
_OF_DATASET = ("sources", "licenses", "stages", "masks")
_OF_ENERGY = ("kwh", "hours", "watts", "pue", "grams_per_kwh", "grams")


def problems(folder: Path) -> list[str]:
    """What keeps the card of an exported folder from being published; empty when nothing does."""
    try:
        exported = manifest.read(folder, kind="export")
    except (InputError, DamageError) as error:
        return [f"{manifest.FILE_NAME}: {error}"]
    found = list(_unlike_manifest(folder, exported))
    if not (folder / records.FILE_NAME).is_file():
        return [*found, f"{records.FILE_NAME}: there is none; `jgpt2 card build` makes it."]
    try:
        record = json.loads((folder / records.FILE_NAME).read_text("utf-8"))
        for rule in _RULES:
            found += rule(record)
        found += _unlike_card(exported, record)
        found += _readme(folder, record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found.append(
            f"{records.FILE_NAME}: it is not the record of a card ({error!r}); build it again."
        )
    return found


def _unlike_manifest(folder: Path, exported: manifest.Manifest) -> Iterator[str]:
    """Files that are missing, changed or not listed, and a manifest that is not as written."""
    checks: list[tuple[str, Callable[[], None]]] = [
        (manifest.FILE_NAME, lambda: manifest.require_unchanged(folder, exported)),
        *(
            (name, lambda name=name: manifest.check_files(folder, exported, [name]))
            for name in exported.files
        ),
    ]
    for name, check in checks:
        try:
            check()
        except DamageError as error:
            yield f"{name}: {error}"
    written = json.dumps(vars(exported), ensure_ascii=False, indent=2) + "\n"
    if (folder / manifest.FILE_NAME).read_text("utf-8") != written:
        yield f"{manifest.FILE_NAME}: it is not as it was written; restore it."
    for name in manifest.unlisted(folder, exported):
        yield f"{name}: {manifest.FILE_NAME} does not list it; remove it, or build again."


def _unlike_card(exported: manifest.Manifest, record: Record) -> Iterator[str]:
    """Where the card and the manifest of its folder say different things."""
    told, identity = record["provenance"], record["identity"]
    listed = {
        name: entry["sha256"]
        for name, entry in exported.files.items()
        if name not in records.OWN_FILES
    }
    for name in sorted(listed.keys() | told["files"].keys()):
        if listed.get(name) != told["files"].get(name):
            yield f"provenance.files: the hash of {name} is not that of {manifest.FILE_NAME}."
    pairs = (
        ("identity.name", identity["name"], exported.name),
        ("identity.created", identity["created"], exported.created),
        ("identity.code_version", identity["code_version"], exported.code_version),
        ("provenance.notes", told["notes"], exported.notes),
        (
            f"provenance.fingerprints.{told['origin']}",
            told["fingerprints"][told["origin"]],
            exported.parents.get(told["origin"]),
        ),
    )
    for path, here, there in pairs:
        if here != there:
            yield f"{path}: {here!r} is not what {manifest.FILE_NAME} says, {there!r}."


def _readme(folder: Path, record: Record) -> Iterator[str]:
    """A page that is not rendered from the record, and metadata that the hub cannot read."""
    path = folder / records.README
    readme = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    if readme == page.render(record):
        return
    yield (
        f"{records.README}: it is not what {records.FILE_NAME} gives; write into the file "
        "of facts what was written into it, and build the card again."
    )
    try:
        found = hub_metadata.parse(readme)
    except ValueError as error:
        yield f"{records.README}: its metadata cannot be read: {error}."
    else:
        if not found.get("license"):
            yield f"{records.README}: its metadata has no license."


def _mandatory(record: Record) -> Iterator[str]:
    """Fields that are empty."""
    provenance = record["provenance"]
    paths = list(MANDATORY)
    if provenance["origin"] == "run":
        paths += MANDATORY_OF_RUNS
    if provenance["origin"] == "import" or provenance["base"]:
        paths.append("provenance.base_model")
    if (record["identity"]["licenses"]["weights"] or "").strip().lower() == "other":
        paths += ["identity.licenses.weights_name", "identity.licenses.weights_link"]
    for path, rows, keys in (
        ("stage.changes", record["stage"]["changes"], _OF_CHANGE),
        ("data.datasets", record["data"]["datasets"], _OF_DATASET),
    ):
        paths += [f"{path}.{index}.{key}" for index in range(len(rows)) for key in keys]
    for path in paths:
        value = _at(record, path)
        is_told = isinstance(value, dict) and path.startswith("data.datasets.")
        if _is_empty(value) and not is_told:
            yield f"{path}: it is empty; {_remedy(path)}."


def _figures(record: Record) -> Iterator[str]:
    """Results of evaluations that do not say what they were measured on, or how."""
    for index, row in enumerate(record["evaluation"]["results"]):
        for key in _OF_FIGURE:
            if _is_empty(row[key]):
                yield f"evaluation.results.{index}.{key}: it is empty; a figure needs its {key}."
        if not _is_empty(row["n"]) and not row["n"] > 0:
            yield f"evaluation.results.{index}.n: {row['n']} is no number of documents."
    for index, row in enumerate(record["evaluation"]["forgetting"]):
        for key in _OF_FORGETTING:
            if _is_empty(row[key]):
                yield f"evaluation.forgetting.{index}.{key}: it is empty; a figure needs its {key}."


def _safety(record: Record) -> Iterator[str]:
    """Safety figures without a source."""
    for kind in measured.KINDS:
        told = record["safety"][kind]
        for key in ("source", "command", "figures") if told else ():
            if _is_empty(told[key]):
                yield f"safety.{kind}.{key}: it is empty; write it into the file of the figures."


def _energy(record: Record) -> Iterator[str]:
    """Numbers without a source, zeros, and estimates that lack a factor."""
    told = record["energy"]
    given = [key for key in _OF_ENERGY if told[key] is not None]
    for key in given:
        if not told[key] > 0:
            yield f"energy.{key}: {told[key]:g} is not above 0; leave out what is unknown."
    if given and _is_empty(told["source"]):
        yield "energy.source: it is empty; say where the numbers come from."
    if given and told["kwh"] is None:
        missing = [key for key in ("hours", "watts", "pue") if told[key] is None]
        yield (
            f"energy.{missing[0]}: it is empty, so that nothing can be estimated; give "
            f"{', '.join(missing)}, or kwh, or leave all of them out."
        )


_RULES = (_mandatory, _figures, _safety, _energy)


def _at(record: Any, path: str) -> Any:
    """What stands at a dotted path; None where there is nothing."""
    for key in path.split("."):
        try:
            record = record[int(key)] if isinstance(record, list) else record[key]
        except (KeyError, IndexError, TypeError):
            return None
    return record


def _is_empty(value: Any) -> bool:
    """Whether nothing is told: 0 is something."""
    return (
        value is None
        or (isinstance(value, str | list | dict) and not value)
        or (isinstance(value, str) and not value.strip())
    )


def _remedy(path: str) -> str:
    """What fills a field."""
    if path == "evaluation.results":
        return "`jgpt2 evaluate` the run, and build the card again"
    if path.startswith(("data.datasets", "identity.licenses.data")):
        return "give the folder of that dataset with --dataset"
    if path.startswith(("identity.licenses.weights", "data.", "stage.", "use.", "contact.")):
        return "write it into the file of facts, and build the card again"
    if path == "provenance.base_model":
        return "write the model it came from into the file of facts, and build the card again"
    return "the records lack it; give the run that was exported"
