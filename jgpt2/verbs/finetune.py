"""`jgpt2 finetune`: a trained or imported model goes on learning from another dataset."""

import dataclasses
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jgpt2 import config, manifest
from jgpt2.processes import Group, Settings, joined
from jgpt2.train.operation import Operation
from jgpt2.verbs import answer

_UNPREFIXED = tyro.conf.arg(name="")
_OPERATION, _PROCESSES, _TUNING = Operation(), Settings(), config.Tuning()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """Places of a fine-tuning; none of them is part of its identity."""

    start: tyro.conf.Positional[Path]
    """Run folder, or the folder of an imported model."""
    run: Path
    """Run folder: made, or gone on with if it holds this very run."""
    datasets: Path = Path("data")
    """Folder of datasets, in which --dataset is looked up."""
    old_dataset: Path | None = None
    """Folder of what the model was trained on, to measure what it forgets; if not given, it is
    looked up in --datasets by its fingerprint."""
    step: int | None = None
    """Checkpoint to start from; the best by validation bits per byte if not given."""
    workers: int = 1
    """Processes that build the token store."""
    json: bool = False
    """Print one JSON document: what was forgotten."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numerics:
    """Fields of the model that do not decide its shape; None takes the start's."""

    dropout: float | None = None
    """Share of embeddings, attention weights and residual branches dropped in training."""
    compute_dtype: Literal["bfloat16", "float32"] | None = None
    """Type of activations and matrix products."""
    scan_layers: bool | None = None
    """Compile one block and loop over it."""
    remat: config.Remat | None = None
    """What the backward pass recomputes of a block."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """The experiment, but for what the model decides.

    Defaults: the schedule and weight decay of Hu et al. 2021 (table 11, GPT-2: linear, 2% warm-up,
    0.01), rows of Radford et al. 2018 (section 4.1), and a rate between theirs for full fine-tuning
    (6.25e-5) and for LoRA (2e-4).
    """

    dataset: config.Dataset
    """Name of the dataset, a folder under --datasets; or several and their shares of the bytes."""
    name: str | None = None
    """What the run is called; by default after the model."""
    seed: int = 0
    """Decides the order of the data, the adapters and dropout."""
    model: Numerics = field(default_factory=Numerics)
    """Numerics."""
    optimizer: config.Optimizer = field(
        default_factory=lambda: config.Optimizer(peak_lr=1e-4, weight_decay=0.01)
    )
    """AdamW and clipping."""
    schedule: config.Schedule = field(
        default_factory=lambda: config.Schedule(kind="linear", warmup=0.02, final_lr=0.0)
    )
    """Learning rate over the run."""
    batch: config.Batch = field(default_factory=lambda: config.Batch(sequences=32))
    """Rows per step."""
    budget: config.Budget = field(default_factory=lambda: config.Budget(steps=1000))
    """How long to train."""
    mesh: config.Mesh = field(default_factory=config.Mesh)
    """Arrangement of the devices."""
    evaluation: config.Evaluation = field(
        default_factory=lambda: config.Evaluation(every_steps=100)
    )
    """Bits per byte during training."""
    checkpoint: config.Checkpoint = field(
        default_factory=lambda: config.Checkpoint(every_steps=100)
    )
    """What is kept while the run goes on."""
    loss_policy: config.LossPolicy = field(default_factory=config.LossPolicy)
    """What is done about a loss that is no number, or that jumps."""


def finetune(
    where: Annotated[Where, _UNPREFIXED],
    choices: Annotated[Choices, _UNPREFIXED],
    tuning: Annotated[config.Tuning, _UNPREFIXED] = _TUNING,
    operation: Annotated[Operation, _UNPREFIXED] = _OPERATION,
    processes: Settings = _PROCESSES,
) -> int:
    """Train a model further on another dataset; vocabulary and shape stay its own.

    An ordinary run: the same command again goes on from its last checkpoint, and Ctrl-C saves
    first. At its end forgetting.json in the run folder has the bits per byte on the test sets,
    the old and the new, before and after.
    """
    from jgpt2.train import stop

    with joined(processes) as group, stop.giving_up():
        return _run(where, choices, tuning, operation, group)


def _experiment(found: Any, choices: Choices, tuning: config.Tuning) -> config.Experiment:
    numerics = {name: value for name, value in vars(choices.model).items() if value is not None}
    return config.Experiment(
        **dict(vars(choices))
        | {
            "name": choices.name or f"{found.name}-finetuned",
            "tokenizer": found.tokenizer.name,
            "model": dataclasses.replace(found.shape, **numerics),
            "start": config.Start(model=found.fingerprint, step=found.step, tuning=tuning),
        }
    )


def _run(
    where: Where,
    choices: Choices,
    tuning: config.Tuning,
    operation: Operation,
    group: Group,
) -> int:
    from jgpt2 import compilation, forgetting, progress, runs, table
    from jgpt2.train import inputs, loop
    from jgpt2.train.activity import Activity

    activity = Activity()
    compilation.enable_cache()
    found = runs.find(where.start, step=where.step)
    experiment = _experiment(found, choices, tuning)
    places = inputs.Places(datasets=where.datasets, start=where.start)
    sets = _test_sets(found, where, experiment, places)
    with progress.of_work("tokenizing", "bytes") as report:
        gathered = inputs.gather(
            experiment, places, workers=where.workers, report=report, group=group
        )
    exit_code = loop.train(
        experiment, gathered, where.run, group=group, operation=operation, activity=activity
    )
    if exit_code:
        return exit_code
    with progress.of_work("evaluating", "windows") as report:
        record = forgetting.measure(found, where.run, sets, mesh=experiment.mesh, report=report)
    if group.is_first:
        manifest.write_json(where.run / forgetting.FILE_NAME, record)
        answer.give(record, table.text(forgetting.COLUMNS, forgetting.rows(record)), where.json)
    return 0


def _test_sets(
    found: Any, where: Where, experiment: config.Experiment, places: Any
) -> dict[str, Any]:
    """The old test set, where there is one, and the new one, read before anything is trained."""
    from jgpt2 import forgetting, progress
    from jgpt2.train import inputs

    max_bytes = experiment.evaluation.max_bytes
    if where.old_dataset is None:
        old = forgetting.find_old(found, where.datasets)
    else:
        old = {where.old_dataset.name: where.old_dataset}
    new = {name: inputs.dataset_folder(places, name) for name in experiment.weights}
    sets = {
        "old": forgetting.test_set(old, dict.fromkeys(old, 1.0), max_bytes),
        "new": forgetting.test_set(new, experiment.weights, max_bytes),
    }
    if sets["old"] is None:
        progress.say(
            f"no test set of what {found.folder} was trained on; what is forgotten is not measured "
            "(--old-dataset FOLDER)"
        )
    return sets
