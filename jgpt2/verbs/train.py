"""`jgpt2 train`: any field of the experiment is a flag; the config file gives its default."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jgpt2.config import Experiment
from jgpt2.processes import Group, Settings, joined
from jgpt2.train.operation import Operation
from jgpt2.verbs import configured

_OPERATION, _PROCESSES = Operation(), Settings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """Places of a training run; none of them is part of its identity."""

    run: Path
    """Run folder: made, or gone on with if it holds this very run."""
    datasets: Path = Path("data")
    """Folder of datasets, in which those of the config are looked up."""
    tokenizers: Path = Path("tokenizers")
    """Folder of tokenizers, in which the config's tokenizer is looked up."""
    workers: int = 1
    """Processes that build the token store."""


def train(arguments: Sequence[str]) -> int:
    """Train the experiment of a config file: jgpt2 train CONFIG --run RUN [flags].

    CONFIG is an author file (configs/small.py), the config.json of a run, or a size by any of its
    names (small, 117M). `jgpt2 train CONFIG --help` lists the fields with that file's values, for
    example --optimizer.peak-lr. The same command run again goes on from the last checkpoint, and
    Ctrl-C saves first.
    """
    return configured.call(
        "train",
        arguments,
        described=train,
        verb=_verb,
        example="jgpt2 train configs/tiny.py --run runs/tiny",
    )


def _verb(authored: Experiment) -> Callable[..., int]:
    """The verb of one config: a function whose parameters, and so its flags, have its values."""
    unprefixed = tyro.conf.arg(name="")

    def verb(
        where: Annotated[Where, unprefixed],
        operation: Annotated[Operation, unprefixed] = _OPERATION,
        processes: Settings = _PROCESSES,
        experiment: Annotated[Experiment, unprefixed, tyro.conf.AvoidSubcommands] = authored,
    ) -> int:
        from jgpt2.train import stop

        with joined(processes) as group, stop.giving_up():
            return _run(where, experiment, operation, group)

    return verb


def _run(where: Where, experiment: Experiment, operation: Operation, group: Group) -> int:
    from jgpt2 import compilation, progress
    from jgpt2.train import inputs, loop
    from jgpt2.train.activity import Activity

    activity = Activity()
    compilation.enable_cache()
    places = inputs.Places(datasets=where.datasets, tokenizers=where.tokenizers)
    with progress.of_work("tokenizing", "bytes") as report:
        gathered = inputs.gather(
            experiment, places, workers=where.workers, report=report, group=group
        )
    exit_code = loop.train(
        experiment, gathered, where.run, group=group, operation=operation, activity=activity
    )
    if exit_code == 0 and group.is_first:
        folders = " or ".join(str(where.datasets / name) for name in experiment.weights)
        progress.say(f"trained; next: jgpt2 evaluate {where.run} --dataset {folders}")
    return exit_code
