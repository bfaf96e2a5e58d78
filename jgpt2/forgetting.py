"""What a fine-tuning took and gave: bits per byte on the old test set beside the new one.

Both models, the one that was started from and the one that came out, are scored on both sets; the
difference on the old set is what was forgotten. `jgpt2 finetune` writes it into the run folder.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jgpt2 import config, inference, manifest, runs
from jgpt2.corpus import records
from jgpt2.train import inputs

FILE_NAME = "forgetting.json"
COLUMNS = ("test set", "documents", "bytes", "before", "after", "difference")
"""Names of what `rows` gives; the figures are bits per byte."""


@dataclass(frozen=True)
class TestSet:
    """Documents of the test splits of datasets."""

    __test__ = False  # no test of pytest's

    datasets: dict[str, str]
    """Name -> fingerprint."""
    documents: list[records.Document]


def test_set(
    folders: Mapping[str, Path], weights: Mapping[str, float], max_bytes: int | None
) -> TestSet | None:
    """The first documents of the datasets' test splits; None where there are none.

    Of `max_bytes` each dataset has its share by weight.
    """
    documents = inputs.first_documents(folders, weights, "test", max_bytes)
    fingerprints = {name: manifest.read(folder).fingerprint for name, folder in folders.items()}
    return TestSet(fingerprints, documents) if documents else None


def find_old(start: runs.Found, datasets: Path) -> dict[str, Path]:
    """Name -> folder of what a model was trained on; empty unless all of it lies in `datasets`."""
    parents = manifest.read(start.folder).parents
    wanted = [mark for role, mark in parents.items() if role.partition(" ")[0] == "dataset"]
    paths = sorted(datasets.glob(f"*/{manifest.FILE_NAME}"))
    lying = {manifest.read(path.parent).fingerprint: path.parent for path in paths}
    if not lying.keys() >= set(wanted):
        return {}
    return {lying[mark].name: lying[mark] for mark in wanted}


def measure(
    start: runs.Found,
    run: Path,
    sets: Mapping[str, TestSet | None],
    *,
    mesh: config.Mesh,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The content of forgetting.json: of each set its bits per byte before and after.

    After is the run's best step by validation bits per byte, which other verbs open too.
    """
    before, after = _scores(start, run, sets, mesh, report)
    answer: dict[str, Any] = {
        "metric": "bits per UTF-8 byte of the text, the bits of EOT included",
        "start": {"model": start.fingerprint, "step": start.step},
        "run": {name: after[name] for name in ("model", "step")},
    }
    for name, given in sets.items():
        answer[name] = given and {
            "datasets": given.datasets,
            "split": "test",
            **{count: after[name][count] for count in ("num_documents", "num_bytes")},
            "before": before[name]["bits_per_byte"],
            "after": after[name]["bits_per_byte"],
            "difference": after[name]["bits_per_byte"] - before[name]["bits_per_byte"],
        }
    return answer


def _scores(
    start: runs.Found,
    run: Path,
    sets: Mapping[str, TestSet | None],
    mesh: config.Mesh,
    report: Callable[[int, int], None] | None,
) -> Iterator[dict[str, Any]]:
    """Of one model after the other: who it is, and its evaluation by name of each set."""
    for folder, step in ((start.folder, start.step), (run, None)):
        model = runs.open_model(folder, step=step, mesh=mesh)
        scores: dict[str, Any] = {"model": model.fingerprint, "step": model.step}
        for name, given in sets.items():
            if given is not None:
                scores[name] = inference.evaluate(
                    model, given.documents, evaluated=list(given.datasets), report=report
                )
        del model  # before the next one takes its room
        yield scores


def rows(answer: dict[str, Any]) -> list[tuple[str | int | float, ...]]:
    """The table of a record."""
    return [
        (
            f"{name}: {', '.join(answer[name]['datasets'])}",
            *(answer[name][key] for key in ("num_documents", "num_bytes")),
            *(answer[name][key] for key in ("before", "after", "difference")),
        )
        for name in ("old", "new")
        if answer[name] is not None
    ]
