"""`jgpt2 ablate`: a study of vocabularies from its plan to its report."""

from pathlib import Path

import tyro

from jgpt2.errors import InputError
from jgpt2.processes import Settings, joined
from jgpt2.train.operation import Operation
from jgpt2.verbs import answer

_OPERATION, _PROCESSES = Operation(), Settings()


def ablate(
    study: tyro.conf.Positional[Path],
    out: Path,
    datasets: Path = Path("data"),
    tokenizers: Path = Path("tokenizers"),
    workers: int = 1,
    dry_run: bool = False,
    tpu: str = "v5e-8",
    only: tuple[str, ...] = (),
    gather: bool = False,
    operation: Operation = _OPERATION,
    processes: Settings = _PROCESSES,
    json: bool = False,
) -> int:
    """Compare vocabularies by bits per byte: train every arm, measure, decide, report.

    Trains the runs that are missing, and goes on with those that were cut: the same command again
    continues the study. SIGTERM ends it with 42, with the run saved.

    Args:
        study: Author file with `arms` and `study`, such as configs/ablations/vocab_tiny.py.
        out: Folder of the study: its runs, its verdict and its report.
        datasets: Folder of datasets, in which those of the arms are looked up.
        tokenizers: Folder of tokenizers, in which those of the arms are looked up.
        workers: Processes that build the token stores.
        dry_run: Check the plan and print what it will cost; nothing is trained.
        tpu: Chip and number of chips that --dry-run also estimates for.
        only: Arms to train here; the others are trained elsewhere, and their run folders copied.
        gather: Train nothing: measure and report the runs that are there, refuse unfinished ones.
        operation: How the runs are kept alive.
        processes: How several processes find each other.
        json: Print the verdict (with --dry-run the costs) as one JSON document.
    """
    from jgpt2.ablation import study as studies
    from jgpt2.train import stop

    plan = studies.load(study)
    if unknown := sorted(set(only) - set(plan.arms)):
        raise InputError(
            f"--only {' '.join(unknown)} names no arm of {study}; choose among "
            f"{', '.join(plan.arms)}."
        )
    if only and gather:
        raise InputError(
            "--only trains some arms and --gather trains none: give --only on the machines that "
            "train, then --gather where all run folders lie."
        )
    with joined(processes) as group, stop.giving_up():
        from jgpt2 import compilation, progress
        from jgpt2.ablation import material, outlook, run, wording
        from jgpt2.train import inputs

        compilation.enable_cache()
        places = inputs.Places(datasets=datasets, tokenizers=tokenizers)
        with progress.of_work("tokenizing", "bytes") as report:
            found = material.gather(plan, places, workers=workers, report=report, group=group)
        if dry_run:
            costs = outlook.look(plan, found, tpu=tpu)
            answer.give(vars(costs), outlook.text(costs), json)
            return 0
        work = run.Work(plan, found, out, group, operation)
        run.claim(work)
        exit_code = 0 if gather else run.train(work, only)
        if exit_code or only:
            return exit_code
        verdict = run.conclude(work, command=_command(study, out, datasets, tokenizers))
        if group.is_first:
            answer.give(verdict, wording.verdict(verdict).en, json)
            progress.say(f"report: {out / run.REPORT}")
    return 0


def _command(study: Path, out: Path, datasets: Path, tokenizers: Path) -> list[str]:
    places = ["--datasets", datasets, "--tokenizers", tokenizers]
    return ["jgpt2", "ablate", *map(str, [study, "--out", out, *places])]
