"""`jgpt2 harness`: tasks of lm-evaluation-harness on a trained model."""

import shlex
from pathlib import Path

import tyro

from jgpt2.verbs import answer


def harness(
    run: tyro.conf.Positional[Path],
    tasks: tuple[str, ...],
    include: tuple[Path, ...] = (),
    data: Path | None = None,
    limit: int | None = None,
    num_fewshot: int | None = None,
    step: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Evaluate on tasks of lm-evaluation-harness, its own, ours, or of files of yours.

    Writes harness.json into the run folder. Needs the extra `eval`.

    Args:
        run: Run folder.
        tasks: Names of tasks, groups and tags, such as jgpt2_commonsense jgpt2_prose.
        include: Folders of task files.
        data: Folder of data that is not ours to ship; for jglue_*, JGLUE's folder datasets.
        limit: Only the first items of each task.
        num_fewshot: Solved items before each question; the task's own number if not given.
        step: Checkpoint; the best by validation bits per byte if not given.
        out: File to write in place of harness.json in the run folder.
        json: Print one JSON document.
    """
    from jgpt2 import compilation, manifest, progress, runs, table
    from jgpt2.harness import evaluation

    compilation.enable_cache()
    model = runs.open_model(run, step=step)
    given = {"--include": include, "--data": data, "--limit": limit, "--num-fewshot": num_fewshot}
    with progress.of_work("evaluating", "windows") as report:
        record = evaluation.run(
            model,
            tasks,
            include=include,
            data=data,
            limit=limit,
            num_fewshot=num_fewshot,
            command=_command(run, tasks, {**given, "--step": model.step}),
            report=report,
        )
    manifest.write_json(out or run / evaluation.FILE_NAME, record)
    answer.give(record, table.text(evaluation.COLUMNS, evaluation.rows(record)), json)


def _command(run: Path, tasks: tuple[str, ...], given: dict[str, object]) -> str:
    """The command that gives the same figures again."""
    words = ["jgpt2", "harness", str(run), "--tasks", *tasks]
    for flag, value in given.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [flag, *map(str, values)] if value not in (None, ()) else []
    return shlex.join(words)
