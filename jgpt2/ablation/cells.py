"""The runs of a study, each an ordinary run folder that any machine may train.

A cell is one arm under one control with one seed. Where two controls ask for the same run, they
share it: the folder's name ends in the fingerprint of its config.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jgpt2 import configio, manifest, runs
from jgpt2.ablation import controls
from jgpt2.ablation import study as studies
from jgpt2.config import Experiment
from jgpt2.errors import InputError

FOLDER = "runs"
SWEEP = "sweep"


@dataclass(frozen=True)
class Cell:
    """One run."""

    arm: str
    control: studies.Control
    seed: int
    experiment: Experiment

    @property
    def label(self) -> str:
        """For progress and messages."""
        return f"{self.arm}, {self.control}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Its run folder."""
        return out / FOLDER / _name(self.experiment)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep over learning rates."""

    arm: str
    peak_lr: float
    experiment: Experiment

    @property
    def label(self) -> str:
        """For progress and messages."""
        return f"{self.arm}, learning rate {self.peak_lr:g}"

    def folder(self, out: Path) -> Path:
        """Its run folder."""
        return out / SWEEP / _name(self.experiment)


def trials(plan: studies.Plan, vocabularies: dict[str, controls.Vocabulary]) -> list[Trial]:
    """The runs of the sweep, arm by arm; none where the study has no candidates."""
    study = plan.study
    found = []
    for arm in plan.arms:
        whole = controls.resolve(plan, arm, study.primary, vocabularies, seed=study.seeds[0])
        for peak_lr in study.peak_lrs:
            short = controls.shortened(whole, study.sweep_share, peak_lr)
            found.append(Trial(arm, peak_lr, short))
    return found


def cells(
    plan: studies.Plan,
    vocabularies: dict[str, controls.Vocabulary],
    peak_lrs: Mapping[str, float],
) -> list[Cell]:
    """All runs that are compared, seed by seed, so that a study that was cut has whole rounds.

    `peak_lrs` holds the learning rate of each arm that a sweep has chosen one for.
    """
    return [
        Cell(
            arm,
            control,
            seed,
            controls.resolve(
                plan, arm, control, vocabularies, seed=seed, peak_lr=peak_lrs.get(arm)
            ),
        )
        for seed in plan.study.seeds
        for control in plan.study.controls
        for arm in plan.arms
    ]


def is_finished(folder: Path, experiment: Experiment, parents: Mapping[str, str]) -> bool:
    """Whether a run is there, of this config and made from these, trained to its last step.

    `parents` holds the fingerprints of its datasets, tokenizer and token stores. Raises InputError
    naming what differs when the folder holds another run.
    """
    if not manifest.exists(folder):
        return False
    runs.require_same(folder, experiment, parents)
    assert experiment.budget.steps is not None
    return runs.is_complete(folder, experiment.budget.steps)


def last_evaluation(folder: Path, experiment: Experiment) -> float | None:
    """Validation bits per byte after the last step; None before that."""
    for row in runs.metrics(folder):
        if row["kind"] == "evaluation" and row["step"] == experiment.budget.steps:
            return row["bits_per_byte"]
    return None


def chosen_lrs(found: Sequence[Trial], out: Path) -> dict[str, float]:
    """Of each arm the candidate with the least validation bits per byte, the lower at a tie."""
    results: dict[str, list[tuple[float, float]]] = {}
    for trial in found:
        bits = last_evaluation(trial.folder(out), trial.experiment)
        if bits is None:
            raise InputError(f"the sweep of {trial.label} is not finished; run the study again.")
        results.setdefault(trial.arm, []).append((bits, trial.peak_lr))
    return {arm: min(pairs)[1] for arm, pairs in results.items()}


def _name(experiment: Experiment) -> str:
    return f"{experiment.name}.seed{experiment.seed}.{configio.fingerprint(experiment)[:10]}"
