"""A study from its plan to its report: trains what is missing, measures what is finished.

Everything is kept in one folder: `plan.json` (refuses another plan), `sweep/` and `runs/` (ordinary
run folders, each of which any machine may train), `measures.json` in each run, and at the end the
verdict and the report. Called again, it goes on where it was cut.
"""

import functools
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jgpt2 import configio, inference, manifest, progress, runs
from jgpt2.ablation import cells, finished, kanji, measures, report, segmentation, verdict
from jgpt2.ablation import study as studies
from jgpt2.ablation.material import Material
from jgpt2.errors import InputError
from jgpt2.generate import sampling
from jgpt2.processes import Group
from jgpt2.train import loop, setup
from jgpt2.train.operation import Operation

PLAN = "plan.json"
MEASURES = "measures.json"
ROWS = "rows.jsonl"
VERDICT = "verdict.json"
REPORT = "report.html"
FIGURES = "figures"
SAMPLER = sampling.Sampler(temperature=0.8, top_k=40, top_p=0.95)
SAMPLE_TOKENS = 60
_SENTENCES, _LONGEST_CHARS = 48, 40
"""How many sentences are cut up in other ways, and how long they are at most."""


@dataclass(frozen=True)
class Work:
    """One study under way."""

    plan: studies.Plan
    material: Material
    out: Path
    group: Group
    operation: Operation

    @functools.cached_property
    def rare(self) -> frozenset[str]:
        """The kanji of the measured documents that count as rare."""
        texts = [document.text for document in self.material.documents]
        return kanji.rare_kanji(self.material.training_texts(), texts)

    @functools.cached_property
    def sentences(self) -> list[str]:
        """Those of the measured documents that are cut up in other ways."""
        return segmentation.sentences(
            self.material.documents,
            count=_SENTENCES,
            longest_chars=_LONGEST_CHARS,
            seed=self.plan.study.seeds[0],
        )

    def say(self, message: str) -> None:
        """One line for the user, once."""
        if self.group.is_first:
            progress.say(message)


def claim(work: Work) -> None:
    """Writes the plan into the folder, or checks that it is the one there.

    Raises InputError naming every field that differs.
    """
    path = work.out / PLAN
    wanted = json.loads(json.dumps(work.plan.record() | work.material.fingerprints))
    if work.group.is_first and not path.is_file():
        work.out.mkdir(parents=True, exist_ok=True)
        manifest.write_json(path, wanted)
    recorded = json.loads(path.read_text("utf-8")) if work.group.is_first else None
    changes = configio.differences(work.group.from_first("plan", recorded), wanted)
    if changes:
        raise InputError(
            f"{work.out} holds a study with another plan ({configio.listed(changes)}); what is "
            "decided before the runs is not changed after them: give another --out, into whose "
            "runs/ finished runs may be copied."
        )


def train(work: Work, only: Sequence[str] = ()) -> int:
    """Trains the runs that are missing, of the arms in `only` (none: of all); the exit code."""
    trials = [one for one in _trials(work) if not only or one.arm in only]
    exit_code = _train_each(work, "sweep", trials)
    if exit_code:
        return exit_code
    found = _cells(work, trials)
    return _train_each(work, "run", [one for one in found if not only or one.arm in only])


def finished_cells(work: Work) -> list[cells.Cell]:
    """All runs of the study; InputError naming those that are not finished."""
    found = _cells(work, _trials(work))
    missing = [cell.label for cell in found if not _is_finished(work, cell)]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(found)} runs are not finished ({'; '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): train them, or copy their finished run "
            f"folders into {work.out / cells.FOLDER}."
        )
    return found


def measure(work: Work, found: Sequence[cells.Cell]) -> list[dict[str, Any]]:
    """The measures of every run, made where they are missing.

    Raises InputError where a run was measured on other documents or in another way.
    """
    measured: dict[Path, dict[str, Any]] = {}
    by_arm = sorted(found, key=lambda cell: cell.arm)  # what is of one shape is compiled once
    for number, cell in enumerate(by_arm, start=1):
        if cell.arm != by_arm[number - 2].arm:
            jax.clear_caches()
        path = cell.folder(work.out) / MEASURES
        is_there = work.group.is_first and path.is_file()
        record = json.loads(path.read_text("utf-8")) if is_there else None
        record = work.group.from_first("measured", record)
        if record is None:
            work.say(f"[measure {number}/{len(found)}] {cell.label}")
            record = _measure(work, cell)
            if work.group.is_first:
                manifest.write_text(path, json.dumps(record, ensure_ascii=False) + "\n")
        measured[path] = record
    records = [measured[cell.folder(work.out) / MEASURES] for cell in found]
    _require_one_yardstick(found, records)
    return records


def conclude(work: Work, *, command: Sequence[str]) -> dict[str, Any]:
    """Measures; then process 0 decides and writes the report. The record of the study, on it.

    Raises InputError naming the runs that are not finished.
    """
    found = finished_cells(work)
    measured = measure(work, found)
    if not work.group.is_first:
        return {}
    together = finished.gather(work.plan, found, measured, work.material.vocabularies, work.out)
    record = verdict.conclude(work.plan, together)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in record["rows"])
    manifest.write_text(work.out / ROWS, lines)
    manifest.write_json(work.out / VERDICT, record)
    report.write(work.out / REPORT, record, commands=[shlex.join(command)])
    report.write_figures(work.out / FIGURES, record)
    return record


def _trials(work: Work) -> list[cells.Trial]:
    return cells.trials(work.plan, work.material.vocabularies)


def _cells(work: Work, trials: Sequence[cells.Trial]) -> list[cells.Cell]:
    """All runs that are compared, at the learning rates that the sweep has chosen."""
    lrs = cells.chosen_lrs(trials, work.out) if work.group.is_first else None
    return cells.cells(
        work.plan, work.material.vocabularies, work.group.from_first("learning rates", lrs)
    )


def _is_finished(work: Work, one: cells.Cell | cells.Trial) -> bool:
    parents = work.material.inputs[one.experiment.tokenizer].parents
    is_finished = work.group.is_first and cells.is_finished(
        one.folder(work.out), one.experiment, parents
    )
    return work.group.from_first("finished", is_finished)


def _train_each(work: Work, what: str, wanted: Sequence[cells.Cell] | Sequence[cells.Trial]) -> int:
    for number, one in enumerate(wanted, start=1):
        if _is_finished(work, one):
            continue
        work.say(f"[{what} {number}/{len(wanted)}] {one.label}")
        inputs = work.material.inputs[one.experiment.tokenizer]
        exit_code = loop.train(
            one.experiment, inputs, one.folder(work.out), group=work.group, operation=work.operation
        )
        if exit_code:
            return exit_code
        jax.clear_caches()
    return 0


def _measure(work: Work, cell: cells.Cell) -> dict[str, Any]:
    study = work.plan.study
    model = runs.open_model(cell.folder(work.out), step=cell.experiment.budget.steps)
    is_shown = cell.control == study.primary and cell.seed == study.seeds[0]
    with progress.of_work("measuring", "windows") as report:
        record = measures.measure(
            model,
            work.material.documents,
            dataset=", ".join(work.material.datasets.values()),
            split=study.split,
            equal_bytes=study.equal_bytes or cell.experiment.model.context,
            rare=work.rare,
            sentences=work.sentences,
            seed=study.seeds[0],
            report=report,
        )
    if is_shown:
        written = inference.generate(
            model, study.prompts, sampler=SAMPLER, max_tokens=SAMPLE_TOKENS
        )
        record["continuations"] = [sample.record() for sample in written]
        record["training_memory_bytes"] = _training_memory(work, cell)
    return record


def _training_memory(work: Work, cell: cells.Cell) -> int | None:
    """Bytes that the compiled step holds at once on a device; None where its compiler is silent."""
    inputs = work.material.inputs[cell.experiment.tokenizer]
    compiled = setup.prepare(cell.experiment, inputs).program.lower().compile()
    analysis: Any = compiled.memory_analysis()
    if analysis is None:
        return None
    kept = analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    return kept - analysis.alias_size_in_bytes + analysis.temp_size_in_bytes


def _require_one_yardstick(found: Sequence[cells.Cell], measured: Sequence[dict[str, Any]]) -> None:
    """All were measured on the same documents, by the same settings."""
    first, expected = found[0], measured[0]["evaluated"]
    for cell, record in zip(found, measured, strict=True):
        changes = configio.differences(expected, record["evaluated"])
        if changes:
            raise InputError(
                f"{cell.label} was measured on another text than {first.label} "
                f"({configio.listed(changes)}); remove {MEASURES} from its run folder to measure "
                "it anew."
            )
