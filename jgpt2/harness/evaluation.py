"""The harness run on an opened model, its answer as a record, and the table that a terminal shows.

The harness is an optional package: only `run` imports it.
"""

import contextlib
import dataclasses
import difflib
import importlib.metadata
import importlib.util
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest, runs
from jgpt2.errors import InputError
from jgpt2.harness import adapter, writing

FILE_NAME = "harness.json"
TASKS = Path(__file__).with_name("tasks")
"""Our own tasks."""
COLUMNS = ("task", "version", "shots", "items", "metric", "value", "± standard error")
"""Names of what `rows` gives."""
RESAMPLES = 1000
"""Bootstrap resamples behind the standard error of metrics that have no closed form for it."""
SEED = 1234
"""Decides which solved items stand before a question; the harness's own."""
_TOLD = ("results", "groups", "versions", "n-shot", "n-samples", "higher_is_better", "configs")
"""What of the harness's answer is kept."""


def run(
    model: runs.OpenModel,
    tasks: Sequence[str],
    *,
    include: Sequence[Path] = (),
    data: Path | None = None,
    limit: int | None = None,
    num_fewshot: int | None = None,
    command: str,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The content of harness.json: what the harness says of the tasks, and of which model.

    Tasks are looked for in the folders `include`, among our own, and then among the harness's.
    `data` is the folder of data that a task leaves to the user; `limit` takes the first items of
    each task; `command` is for the record. Raises InputError when the harness is not installed, a
    task is unknown, or its data is not to be had.
    """
    _check(tasks, include, limit, num_fewshot)
    import lm_eval.evaluator
    import lm_eval.utils

    # The harness would fork a pool for its bootstrap, which is not safe beside JAX's threads.
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    adapted: Any = adapter.Adapter(model, report=report)
    with contextlib.redirect_stdout(sys.stderr):
        loaded = _load(tasks, include, data)
        for name, task in loaded["tasks"].items():
            _prepare(name, task, num_fewshot, model.shape.context)
        answer: Any = lm_eval.evaluator.evaluate(
            adapted, loaded, limit=limit, bootstrap_iters=RESAMPLES, log_samples=False
        )
    told = {name: answer[name] for name in _TOLD if name in answer}
    return {
        "model": model.fingerprint,
        "step": model.step,
        "tokenizer": model.tokenizer.fingerprint,
        "code_version": manifest.code_version(),
        "lm_eval": importlib.metadata.version("lm_eval"),
        "command": command,
        "limit": limit,
        "requests": dataclasses.asdict(adapted.tally),
        **json.loads(json.dumps(told, default=lm_eval.utils.handle_non_serializable)),
    }


def rows(record: dict[str, Any]) -> list[tuple[str | int | float | None, ...]]:
    """The table of a record, COLUMNS: a row for each metric of each task and group."""
    table = []
    for task, told in record["results"].items():
        version = record["versions"].get(task)
        head = (
            task,
            None if version is None else str(version),
            record["n-shot"].get(task),
            record["n-samples"].get(task, {}).get("effective"),
        )
        for name, value in told.items():
            metric, _, filtered = name.partition(",")
            if not filtered or metric.endswith("_stderr"):
                continue
            error = told.get(f"{metric}_stderr,{filtered}")
            shown = metric if filtered == "none" else f"{metric} ({filtered})"
            table.append((*head, shown, value, None if error == "N/A" else error))
    return table


def _check(
    tasks: Sequence[str], include: Sequence[Path], limit: int | None, num_fewshot: int | None
) -> None:
    """InputError for what can be refused before anything heavy is imported."""
    if not tasks:
        raise InputError("no task to evaluate on; give --tasks NAME..., for example jgpt2_prose.")
    for folder in include:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}; give --include one that holds tasks.")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit} takes no item; choose 1 or more.")
    if num_fewshot is not None and num_fewshot < 0:
        raise InputError(f"num_fewshot={num_fewshot} is negative; choose 0 or more.")
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(
            "lm-evaluation-harness is not installed; run `uv sync --extra eval`, or "
            "`pip install 'jgpt2[eval]'`."
        )


def _load(tasks: Sequence[str], include: Sequence[Path], data: Path | None) -> Any:
    """The harness's own dictionary of the tasks, with their data."""
    manager = _manager(tasks, include, data)
    random.seed(SEED)  # some tasks shuffle their choices while they load
    try:
        return manager.load(list(tasks))
    except (ConnectionError, FileNotFoundError) as error:
        raise InputError(
            f"the data of {', '.join(tasks)} is not to be had ({error}); connect this machine, or "
            "take tasks that read local files."
        ) from error


def _manager(tasks: Sequence[str], include: Sequence[Path], data: Path | None) -> Any:
    """What knows the tasks; those of the harness, which take long to list, only where needed."""
    import lm_eval.tasks

    folders: list[str | Path] = [TASKS, *include]
    metadata: Any = {} if data is None else {"data": str(data)}
    for with_defaults in (False, True):
        manager = lm_eval.tasks.TaskManager(
            include_path=folders, include_defaults=with_defaults, metadata=metadata
        )
        unknown = sorted(set(tasks) - set(manager.all_tasks))
        if not unknown:
            return manager
    similar = difflib.get_close_matches(unknown[0], manager.all_tasks)
    ours = sorted(path.stem for path in TASKS.glob("*.yaml"))
    raise InputError(
        f"no task {unknown[0]!r}; give one of the harness's (near it: {', '.join(similar) or '–'}),"
        f" of a folder given by --include, or of our own: {', '.join(ours)}."
    )


def _prepare(name: str, task: Any, num_fewshot: int | None, context: int) -> None:
    """Gives a task its solved items, and refuses what would fail after hours of other tasks.

    As in the harness, a task that says 0 keeps it, and one that says nothing has none.
    """
    own = task.get_config("num_fewshot")
    num_shots = own or 0 if num_fewshot is None or own == 0 else num_fewshot
    task.set_config("num_fewshot", num_shots)
    task.set_fewshot_seed(SEED)
    num_docs = len(list(task.fewshot_docs())) if num_shots else 0
    if num_shots and num_shots >= num_docs:
        raise InputError(
            f"num_fewshot={num_shots} is more than {name} has beside a question; choose at most "
            f"{num_docs - 1}."
        )
    if task.OUTPUT_TYPE == "generate_until":
        writing.read(task.get_config("generation_kwargs") or {}, context)
