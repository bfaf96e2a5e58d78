"""What safety costs: the training loop with integrity records and the watchdog, and without.

    python benchmarks/safety.py [--rounds 9] [--steps 60]

The same run in turn, in one process: as it is, and with files neither hashed nor recorded in full
and nothing watched. Step time is the median of metrics.jsonl, the block of a save what the loop
waits in `save`.
"""

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import machine

import jgpt2
from jgpt2 import config, configio, integrity, runs
from jgpt2.corpus import build
from jgpt2.train import goodput, inputs, loop, setup, stop

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = Path(jgpt2.__file__).parent / "sample"


def main() -> None:
    """Runs both sides in turn, round after round, and writes `results/safety.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        trainer, gathered = _prepare(Path(folder), args.steps)
        for number in range(args.rounds + 1):  # the first compiles
            for side in ("with", "without") if number % 2 else ("without", "with"):
                run = Path(folder, f"{side} {number}")
                with contextlib.nullcontext() if side == "with" else _without():
                    assert loop.execute(trainer, gathered, run, stop.StopRequest()) == 0
                if number:
                    measured[side].append(_figures(run))
                    print(side, measured[side][-1], flush=True)
    print(machine.save("safety", _result(measured, args)))


def _prepare(folder: Path, steps: int) -> tuple[setup.Trainer, setup.Inputs]:
    build.build([SAMPLE], folder / "data" / "sample", name="sample")
    tiny = configio.load(ROOT / "configs" / "tiny.py")
    experiment = dataclasses.replace(
        tiny,
        dataset="sample",
        model=dataclasses.replace(tiny.model, layers=4, embed_dim=128, heads=4, context=128),
        budget=config.Budget(steps=steps),
        evaluation=config.Evaluation(every_steps=steps, max_bytes=500),
        checkpoint=config.Checkpoint(every_steps=steps // 6),
    )
    places = inputs.Places(datasets=folder / "data", tokenizers=ROOT / "tokenizers")
    gathered = inputs.gather(experiment, places)
    return setup.prepare(experiment, gathered), gathered


@contextlib.contextmanager
def _without() -> Any:
    """Files are listed without being read, and nothing watches."""

    def list_files(folder: Path, step: int, **share: int) -> dict[str, dict[str, Any]]:
        root = folder / str(step)
        paths = [path for path in root.rglob("*") if path.is_file()]
        return {path.relative_to(root).as_posix(): {"num_bytes": 0, "sha256": ""} for path in paths}

    with (
        mock.patch.object(integrity, "hash_files", list_files),
        mock.patch.object(integrity, "verify", lambda *given, **named: None),
        mock.patch.object(loop, "Watchdog", lambda *given, **named: contextlib.nullcontext()),
        mock.patch.object(loop, "_verify_data", lambda run: None),
    ):
        yield


def _figures(run: Path) -> dict[str, float]:
    rows = runs.metrics(run)
    steps = [row["step_time_s"] for row in rows if row["kind"] == "train"]
    spent = goodput.segments(rows)[-1]["seconds"]
    return {"step_s": statistics.median(steps[5:]), "save_s": spent["save"]}


def _result(
    measured: dict[str, list[dict[str, float]]], args: argparse.Namespace
) -> dict[str, Any]:
    sides = {
        side: {key: machine.spread([row[key] for row in rows]) for key in ("step_s", "save_s")}
        for side, rows in measured.items()
    }
    ratios = {
        key: round(sides["with"][key]["median"] / sides["without"][key]["median"], 4)
        for key in ("step_s", "save_s")
    }
    print(f"with safety: {ratios['step_s']:.3f} x the step, {ratios['save_s']:.3f} x the save")
    return {
        "what": "median step of 4 x 128 on 16 x 128 tokens, and the waits for six saves",
        "rounds": args.rounds,
        "steps": args.steps,
        "machine": machine.describe(["jax", "jaxlib", "orbax-checkpoint"]),
        "sides": sides,
        "with_over_without": ratios,
    }


if __name__ == "__main__":
    main()
