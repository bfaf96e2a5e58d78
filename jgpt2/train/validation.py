"""Bits per byte of the validation split during training: one evaluation gives one row."""

import time
from collections.abc import Callable
from typing import Any

from jgpt2.errors import StoppedError
from jgpt2.evaluate import bits
from jgpt2.model import gpt2, lora, sharding
from jgpt2.train.activity import Activity
from jgpt2.train.setup import Inputs, Trainer
from jgpt2.train.stop import StopRequest

EVALUATION_ROWS = 16
"""Rows of the context's length scored at a time; more where the mesh has more parts."""


def evaluator(
    trainer: Trainer, inputs: Inputs, stop: StopRequest, activity: Activity
) -> Callable[[int, gpt2.Params], dict[str, Any]]:
    """A function of (step, params) that scores the documents and gives a row of metrics.jsonl.

    It polls `stop` at every batch, and raises StoppedError where the run is to stop.
    """
    model = trainer.experiment.model
    graphdef, _ = gpt2.abstract(model, inputs.tokenizer.vocab_size)
    start = trainer.experiment.start
    tuning = start and start.tuning

    def poll(num_done: int, num_windows: int) -> None:
        activity.beat()
        exit_code = stop.poll()
        if exit_code is not None:
            raise StoppedError(exit_code)

    def evaluate(step: int, params: gpt2.Params) -> dict[str, Any]:
        started_s = time.perf_counter()
        scores = bits.score(
            graphdef,
            lora.merged(params, tuning),
            inputs.validation,
            model=model,
            eot=inputs.tokenizer.eot,
            rows=sharding.batch_rows(trainer.program.mesh, EVALUATION_ROWS),
            sharding=sharding.batch_sharding(trainer.program.mesh),
            report=poll,
        )
        total = bits.summary(scores).overall
        return {
            "step": step,
            "split": "validation",
            "num_documents": total.num_documents,
            "num_bytes": total.num_bytes,
            "bits_per_byte": total.bits_per_byte,
            "bits_per_char": total.bits_per_char,
            "evaluation_time_s": round(time.perf_counter() - started_s, 3),
        }

    return evaluate
