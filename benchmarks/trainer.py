"""The training loop against its own bare step, per CPU-second and per second, in turn.

    python benchmarks/trainer.py TEXT.jsonl.gz... [--steps 100] [--rounds 5]

The loop is what `jgpt2 train` runs, into a fresh folder each round: loader, checks of each loss,
metrics.jsonl, TensorBoard, and a checkpoint with its integrity record at the end. The bare step is
the same compiled program on one batch, read after every step. Initial weights belong to both;
evaluation is another work: the shortest document alone is scored. Pinned to one core. Writes
`results/trainer.json`.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

from jgpt2 import configio, host_memory

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measures both in turn and writes the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help=".jsonl, .jsonl.gz or .txt files")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "tiny.py")
    parser.add_argument("--tokenizer", default="byte")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    host_memory.keep()  # as the command does, before JAX is imported
    with tempfile.TemporaryDirectory() as folder:
        loop, bare = _sides(args, Path(folder))
        for side in (bare, loop):
            side()
        rounds = [{"bare": _time(bare), "loop": _time(loop)} for _ in range(args.rounds)]
    result = {
        "what": "seconds of the bare step / seconds of the training loop, for as many steps",
        "steps": args.steps,
        "machine": machine.describe(["jax", "flax", "optax", "orbax-checkpoint", "grain"]),
        "share_of_bare": {
            clock: machine.spread([one["bare"][clock] / one["loop"][clock] for one in rounds])
            for clock in ("cpu", "wall")
        },
        "seconds": rounds,
    }
    print(result["share_of_bare"])
    print(machine.save("trainer", result))


def _sides(args: argparse.Namespace, folder: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import itertools

    import jax
    import numpy as np

    from jgpt2 import config
    from jgpt2.corpus import build
    from jgpt2.data import device
    from jgpt2.model import sharding
    from jgpt2.train import inputs as inputs_module
    from jgpt2.train import loop, setup, stop

    build.build(args.paths, folder / "data" / "benchmark", name="benchmark")
    experiment = dataclasses.replace(
        configio.load(args.config),
        dataset="benchmark",
        tokenizer=args.tokenizer,
        budget=config.Budget(steps=args.steps),
        evaluation=config.Evaluation(every_steps=args.steps),
        checkpoint=config.Checkpoint(every_steps=args.steps),
    )
    places = inputs_module.Places(datasets=folder / "data", tokenizers=ROOT / "tokenizers")
    given = inputs_module.gather(experiment, places)
    shortest = min(given.validation, key=lambda document: len(document.ids))
    given = dataclasses.replace(given, validation=[shortest])
    trainer = setup.prepare(experiment, given)
    shape = (experiment.batch.sequences, experiment.model.context + 1)
    placement = sharding.batch_sharding(trainer.program.mesh)
    one_batch = np.random.default_rng(0).integers(
        given.tokenizer.vocab_size, size=shape, dtype=np.int32
    )
    numbers = itertools.count()

    def run_loop() -> None:
        run = folder / "runs" / str(next(numbers))
        assert loop.execute(trainer, given, run, stop.StopRequest()) == 0

    def run_bare() -> None:
        with jax.set_mesh(trainer.program.mesh):
            state = trainer.program.initialise()
            rows = device.place_local(one_batch, shape, placement)
            no_limit = trainer.program.place_limit()
            for _ in range(args.steps):
                state, metrics = trainer.program.step(state, rows, trainer.token_bytes, no_limit)
                jax.device_get(metrics)

    return run_loop, run_bare


def _time(work: Callable[[], Any]) -> dict[str, float]:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work()
    return {
        "cpu": round(time.process_time() - cpu_s, 3),
        "wall": round(time.perf_counter() - wall_s, 3),
    }


if __name__ == "__main__":
    main()
