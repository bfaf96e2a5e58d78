"""What a real run says of the estimate: a scale by which later estimates are multiplied.

The first run on a kind of chip writes it (`--calibrate RUN`), and plans for that chip read it
(`--calibration FILE`). One run gives one scale for the whole step; scales of single classes can be
written in by hand from a profile.
"""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from jgpt2 import config, configio, manifest
from jgpt2.errors import InputError
from jgpt2.plan.estimate import CLASSES, Estimate

_FIRST_STEPS = 10
"""Steps left out of the median: they compile and fill caches."""
_SAME = ("model", "batch", "mesh", "tokenizer")
"""Parts of a config in which a run and the plan that it calibrates must agree."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What an estimate for one kind of chip is multiplied by."""

    chip: str
    scale: float
    """Measured over estimated seconds of a step."""
    classes: dict[str, float] = dataclasses.field(default_factory=dict)
    """Scales of classes, in place of `scale`."""
    topology: str = ""
    run: str = ""
    measured_step_time_s: float | None = None
    estimated_step_time_s: float | None = None

    def apply(self, estimate: Estimate) -> Estimate:
        """The estimate with its seconds scaled, class by class."""
        classes_s = {
            name: seconds * self.classes.get(name, self.scale)
            for name, seconds in estimate.classes_s.items()
        }
        return dataclasses.replace(estimate, seconds=sum(classes_s.values()), classes_s=classes_s)


def read(file: Path, chip: str) -> Calibration | None:
    """The calibration of a chip; None where the file has none. InputError if it cannot be used."""
    if not file.is_file():
        raise InputError(
            f"no calibration at {file}; write one from a real run with --calibrate RUN."
        )
    try:
        rows = [Calibration(**row) for row in json.loads(file.read_text("utf-8"))["chips"]]
        scales = [scale for row in rows for scale in (row.scale, *row.classes.values())]
        if not all(scale > 0 for scale in scales):
            raise ValueError("a scale is not above 0")
        if unknown := {name for row in rows for name in row.classes} - set(CLASSES):
            raise ValueError(f"no class is called {', '.join(sorted(unknown))}")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the calibration {file} cannot be used ({error}); it is JSON as --calibrate writes "
            f"it, with scales above 0 and classes among {', '.join(CLASSES)}."
        ) from error
    return next((row for row in rows if row.chip == chip), None)


def from_run(
    run: Path, experiment: config.Experiment, *, estimate: Estimate, chip: str, topology: str
) -> Calibration:
    """The calibration that a run of this very experiment on this topology gives.

    Raises InputError when the run is of another shape, or too short to have a median.
    """
    from jgpt2 import runs

    ran = runs.read_config(run)
    differing = [path for path in configio.diff(ran, experiment) if path.split(".")[0] in _SAME]
    if differing:
        raise InputError(
            f"{run} ran with another {', '.join(differing)} than the plan; plan its own config: "
            f"jgpt2 plan {run / runs.CONFIG} --topology {topology} --calibrate {run}."
        )
    steps = [row["step_time_s"] for row in runs.metrics(run) if row["kind"] == "train"]
    steady = steps[_FIRST_STEPS:]
    if not steady:
        raise InputError(
            f"{run} has {len(steps)} steps, of which the first {_FIRST_STEPS} are left out; "
            "calibrate with a longer run."
        )
    measured_s = statistics.median(steady)
    return Calibration(
        chip=chip,
        scale=measured_s / estimate.seconds,
        topology=topology,
        run=ran.name,
        measured_step_time_s=measured_s,
        estimated_step_time_s=estimate.seconds,
    )


def write(file: Path, made: Calibration) -> None:
    """Puts a calibration into a file, in place of one for the same chip."""
    rows: list[dict[str, Any]] = []
    if file.is_file():
        read(file, made.chip)  # what cannot be read is not written over
        rows = json.loads(file.read_text("utf-8"))["chips"]
    rows = [row for row in rows if row["chip"] != made.chip] + [dataclasses.asdict(made)]
    manifest.write_json(file, {"chips": rows})
