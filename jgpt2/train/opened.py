"""A run while it goes on: what one process holds of it."""

from dataclasses import dataclass
from pathlib import Path

from jgpt2 import config, configio, progress, runs
from jgpt2.processes import Group
from jgpt2.train import setup
from jgpt2.train.activity import Activity
from jgpt2.train.goodput import Ledger
from jgpt2.train.operation import Operation
from jgpt2.train.stop import StopRequest


@dataclass(frozen=True)
class OpenRun:
    """One run as this process goes through it."""

    trainer: setup.Trainer
    inputs: setup.Inputs
    folder: Path
    stop: StopRequest
    group: Group
    operation: Operation
    activity: Activity
    ledger: Ledger

    @property
    def settings(self) -> config.Experiment:
        """The experiment."""
        return self.trainer.experiment

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / runs.CHECKPOINTS

    @property
    def fingerprints(self) -> dict[str, str]:
        """What the run's checkpoints are bound to, by role."""
        return {"config": configio.fingerprint(self.settings), **self.inputs.parents}

    def say(self, message: str) -> None:
        """Prints one line for the user, once for all processes."""
        if self.group.is_first:
            progress.say(f"{self.settings.name}: {message}")
