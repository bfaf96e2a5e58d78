"""Figures of a card: what was evaluated, and what was measured of its safety.

A figure holds metric, value, dataset, split, revision, n (documents or tasks) and the command that
made it; what is not known is None, and `completeness` refuses a card for it.
"""

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jgpt2 import manifest, runs
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.card import author, statement

METRICS = ("bits_per_byte", "bits_per_char")
FORGETTING = "forgetting.json"
"""In the run folder of a fine-tuning."""
KINDS = ("detector", "bias", "memorisation", "watermark")
"""Of safety figures."""


def read_evaluation(run: Path, fingerprint: str, step: int) -> dict[str, Any] | None:
    """The content of evaluation.json, None where there is none.

    Raises InputError when it is of another run or step than what was exported.
    """
    path = run / runs.EVALUATION
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        found = record["model"], record["step"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{path} is no evaluation ({error!r}); evaluate again.") from error
    if found != (fingerprint, step):
        raise InputError(
            f"{path} is of step {found[1]} of {str(found[0])[:12]}, but the export is of step "
            f"{step} of {fingerprint[:12]}; `jgpt2 evaluate {run} --step {step} --dataset ...` "
            "evaluates what was exported."
        )
    return record


def dataset_of(evaluation: Mapping[str, Any] | None) -> str | None:
    """Fingerprint of the dataset that was evaluated; None for files."""
    if evaluation is None or not isinstance(evaluation["evaluated"], str):
        return None
    return evaluation["evaluated"].partition(" of ")[2]


def evaluated(
    evaluation: Mapping[str, Any] | None, run: manifest.Manifest, given: statement.Given
) -> list[dict[str, Any]]:
    """The figures of evaluation.json: of all, of each source, and of xz beside them."""
    if evaluation is None:
        return []
    names = {record.fingerprint: record.name for record in given.values()}
    about = _about(evaluation, run.name, statement.trained_on(run) | names)
    figures = _figures(evaluation, about)
    if len(evaluation["by_source"]) > 1:
        for source, total in evaluation["by_source"].items():
            figures += _figures(total, about | {"part": source})
    if evaluation["xz"]:
        figures += _figures(evaluation["xz"], about | {"by": "xz -9e"})
    return figures


def validated(
    rows: Iterable[Mapping[str, Any]], run: manifest.Manifest, step: int, command: str
) -> list[dict[str, Any]]:
    """The figures of the validation at a step, in `rows` of the metrics; `command` made the run."""
    found = [row for row in rows if (row["kind"], row["step"]) == ("evaluation", step)]
    datasets = sorted(statement.trained_on(run).items(), key=lambda item: item[1])
    about = {
        "dataset": " + ".join(name for _, name in datasets) or None,
        "revision": " + ".join(fingerprint for fingerprint, _ in datasets) or None,
        "part": None,
        "by": "model",
        "command": command,
    }
    return [figure for row in found for figure in _figures(row, about | {"split": row["split"]})]


def forgotten(run: Path, step: int, command: str) -> list[dict[str, Any]]:
    """What a fine-tuning changed on the old test set and the new; nothing of another step."""
    path = run / FORGETTING
    if not path.is_file():
        return []
    try:
        record = json.loads(path.read_text("utf-8"))
        if record["run"]["step"] != step:
            return []
        return [
            {
                "set": name,
                "dataset": " + ".join(record[name]["datasets"]),
                "revision": " + ".join(record[name]["datasets"].values()),
                "split": record[name]["split"],
                "n": record[name]["num_documents"],
                **{key: record[name][key] for key in ("before", "after")},
                "command": command,
            }
            for name in ("old", "new")
            if record[name] is not None
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(f"{path} cannot be read ({error!r}); fine-tune again.") from error


def from_facts(figures: Iterable[author.Figure]) -> list[dict[str, Any]]:
    """The figures of the author's file; an empty field is None."""
    rows = [dataclasses.asdict(figure) for figure in figures]
    return [
        {key: None if value == "" else value for key, value in row.items()}
        | {"part": None, "by": "model"}
        for row in rows
    ]


def safety(
    facts: author.Safety, folder: Path, run: Path, fingerprint: str, step: int
) -> dict[str, Any]:
    """What was measured of each kind, None where nothing was.

    The files are those that the facts name, seen from `folder`, or `KIND.json` in the run folder.
    `source` names the file and its SHA-256; `figures` are its numbers and words by dotted path.
    Raises InputError for a file that is of another model or step.
    """
    told: dict[str, Any] = dict.fromkeys(KINDS)
    for kind, named in dataclasses.asdict(facts).items():
        path = folder / named if named else run / f"{kind}.json"
        if named or path.is_file():
            told[kind] = _measured(path, fingerprint, step)
    return told


def _measured(path: Path, fingerprint: str, step: int) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        report = json.loads(content)
        if not isinstance(report, dict):
            raise ValueError("it holds no object")
        figures = dict(_flat({key: report[key] for key in report if key != "command"}))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the safety figures {path} cannot be read ({error}); give a file with one JSON object."
        ) from error
    if report.get("model", fingerprint) != fingerprint or report.get("step", step) != step:
        raise InputError(
            f"the safety figures {path} are of step {report.get('step')} of "
            f"{str(report.get('model'))[:12]}, but the export is of step {step} of "
            f"{fingerprint[:12]}; measure what was exported, or leave the file out."
        )
    digest = hashlib.sha256(content).hexdigest()
    return {
        "source": f"{path.name} (SHA-256 {digest})",
        "command": report.get("command"),
        "figures": figures,
    }


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted path and value of every leaf.

    >>> list(_flat({"a": {"b": 1}, "c": [2, {"d": "x"}]}))
    [('a.b', 1), ('c.0', 2), ('c.1.d', 'x')]
    """
    if not isinstance(value, dict | list):
        yield path, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _about(evaluation: Mapping[str, Any], run: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Dataset, split, revision and command of what `jgpt2 evaluate` wrote."""
    command = ["jgpt2", "evaluate", f"runs/{run}"]
    if fingerprint := dataset_of(evaluation):
        split = evaluation["evaluated"].partition(" of ")[0]
        name, revision = names.get(fingerprint), fingerprint
        command += ["--dataset", f"data/{name}" if name else "DATASET", "--split", split]
    else:
        files = [Path(file).name for file in evaluation["evaluated"]]
        name, split, revision = ", ".join(files), "files", None
        command += ["--text", *files]
    command += ["--step", str(evaluation["step"]), "--stride", str(evaluation["stride"])]
    if evaluation["xz"]:
        command.append("--xz")
    about = {"dataset": name, "split": split, "revision": revision, "part": None, "by": "model"}
    return {**about, "command": shlex.join(command)}


def _figures(total: Mapping[str, Any], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"metric": metric, "value": total[metric], "low": None, "high": None, **about}
        | {"n": total["num_documents"]}
        for metric in METRICS
        if metric in total
    ]
