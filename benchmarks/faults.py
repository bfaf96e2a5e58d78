"""Random faults against runs of two processes: what each does, and what the run then does.

    python benchmarks/faults.py [--trials 100] [--seed 0] [--bucket] [--kinds KIND ...]

A trial is one short run under the local launcher's restarts, disturbed once. It holds if the run
ends with the parameters, bit for bit, of an undisturbed one; or, where files were damaged, with
exit code 3 and a message that names the file. Nothing may hang for a minute, and no step may be
lost that a checkpoint held. Trials that the results file has already are not done again.

With `--bucket` the runs lie in a bucket of an emulator of Google Cloud Storage on the loopback, and
the results in a file of their own.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import random
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import faults_damage
import faults_worker
import machine

import jgpt2
from jgpt2 import checkpoint, config, configio, integrity, runs, storage
from jgpt2.corpus import build
from jgpt2.launch import local
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs, setup

SAMPLE = Path(jgpt2.__file__).parent / "sample"
EXPERIMENT = config.Experiment(
    name="faults",
    dataset="sample",
    model=config.Model(layers=1, embed_dim=32, heads=2, context=32, compute_dtype="float32"),
    batch=config.Batch(sequences=4),
    budget=config.Budget(steps=40),
    evaluation=config.Evaluation(every_steps=20, max_bytes=500),
    checkpoint=config.Checkpoint(every_steps=8, keep_last=3),
)
BUCKET = "faults"
HANG_S = 60.0
"""From the fault to the end of the processes it was done to."""


def main() -> None:
    """Runs the trials that are missing, prints the table, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bucket", action="store_true")
    parser.add_argument("--kinds", nargs="*", help="in this order, over and over")
    args = parser.parse_args()
    kinds = args.kinds or _order(in_bucket=args.bucket)
    name = "faults_bucket" if args.bucket else "faults"
    path = machine.RESULTS / f"{name}.json"
    done = json.loads(path.read_text("utf-8"))["trials"] if path.is_file() else []
    done = {(row["seed"], row["trial"]): row for row in done}
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults 障害 ")))
        if args.bucket:
            sys.path.insert(0, str(Path(__file__).parents[1]))
            from tests.storage import emulator

            stack.enter_context(emulator.serving(BUCKET))
        bench = _Bench(root, storage.path(f"gs://{BUCKET}/障害 1") if args.bucket else root)
        for trial in range(args.trials):
            if (args.seed, trial) in done:
                continue
            kind = kinds[trial % len(kinds)]
            row = {"seed": args.seed, "trial": trial} | bench.run(kind, args.seed, trial)
            done[args.seed, trial] = row
            print(json.dumps(row, ensure_ascii=False), flush=True)
            machine.save(name, _result(list(done.values()), bench.flips))
    rows = list(done.values())
    for line in _table(rows):
        print(line)
    sys.exit(0 if all(row["holds"] for row in rows) else 1)


def _order(*, in_bucket: bool) -> list[str]:
    """Kinds of faults in a random order that is the same each time; what runs do comes oftener."""
    kinds = [*faults_worker.KINDS * 7, *faults_damage.KINDS]
    random.Random(0).shuffle(kinds)
    if not in_bucket:
        return kinds
    once = dict.fromkeys(kinds)  # a bucket has no end and no folders
    return [kind for kind in once if kind not in ("disk full during save", "empty step folder")]


def _result(rows: list[dict[str, Any]], flips: dict[str, int]) -> dict[str, Any]:
    return {
        "what": "runs of 2 processes disturbed once; holds: parameters bit-identical to an "
        "undisturbed run, or exit code 3 naming the damaged file; nothing lost, no hang over 60 s",
        "machine": machine.describe(["jax", "jaxlib", "orbax-checkpoint"]),
        "bit_flips_in_array_data": flips,
        "trials": rows,
    }


def _table(rows: list[dict[str, Any]]) -> list[str]:
    by_kind: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    lines = [f"{'fault':<34}{'trials':>7}{'hold':>6}{'as if none':>12}{'exit 3':>8}{'longest':>9}"]
    for kind, told in by_kind.items():
        ends = collections.Counter(row["end"] for row in told)
        longest = max(row["settled_s"] for row in told)
        lines.append(
            f"{kind:<34}{len(told):>7}{sum(row['holds'] for row in told):>6}"
            f"{ends['identical']:>12}{ends['refused']:>8}{longest:>7.1f} s"
        )
    return lines


class _Bench:
    """The data, an undisturbed run to compare with, and one that was killed, to be damaged."""

    def __init__(self, root: Path, place: Path) -> None:
        """`place` is the folder of the runs; all else is in `root`, on this machine."""
        self._root, self._place = root, place
        build.build([SAMPLE], root / "data" / "sample", name="sample")
        tokenizer_train.train([], root / "tokenizers" / "byte", name="byte", kind="byte")
        self._record = root / "config.json"
        self._record.write_text(configio.to_json(EXPERIMENT), "utf-8")
        places = inputs.Places(datasets=root / "data", tokenizers=root / "tokenizers")
        gathered = inputs.gather(EXPERIMENT, places)
        self._abstract = setup.prepare(EXPERIMENT, gathered).program.abstract_state
        whole = place / "whole"
        assert self._launch(whole, root / "whole.logs", {}).exit_code == 0
        self._expected = self._digest(whole)
        self._killed = place / "killed"
        fault = {"FAULT": "kill", "FAULT_STEP": "27", "FAULT_INDEX": "0"}
        self._launch(self._killed, root / "killed.logs", fault, max_restarts=0)
        assert integrity.steps(self._killed / runs.CHECKPOINTS)[-1] == 24
        self.flips = faults_damage.count_caught_flips(self._killed / runs.CHECKPOINTS)

    def run(self, kind: str, seed: int, trial: int) -> dict[str, Any]:
        """One trial: what was done, how the run ended, and whether that holds."""
        draw = random.Random(f"{seed} {trial}")
        run, logs = self._place / f"run {trial}", self._root / f"logs {trial}"
        undo = contextlib.ExitStack()
        damaged = None
        if kind in faults_worker.KINDS:
            environment, what = faults_worker.draw(kind, draw, last_step=34)
        else:
            environment = {}
            faults_damage.copy(self._killed, run)
            dataset = self._root / "data" / "sample"
            damaged, what = faults_damage.do(kind, draw, run, dataset, undo)
        with undo:
            started_s = time.monotonic()
            watch = _Watch(run, self._marker(run))
            outcome = self._launch(run, logs, environment, on_start=watch.on_start)
            settled_s = watch.settled_s if environment else time.monotonic() - started_s
            if outcome.exit_code == 2 and "disk full" in kind:  # room is made, and it goes on
                outcome = self._launch(run, logs, {}, on_start=watch.on_start)
        said = "".join(path.read_text("utf-8", "replace") for path in sorted(logs.glob("*.log")))
        is_at_rest = not environment
        end, holds = self._judge(run, outcome, said, damaged, watch, is_at_rest=is_at_rest)
        holds = holds and (is_at_rest or watch.is_struck)
        storage.remove_tree(run)
        return {
            "kind": kind,
            "what": what,
            "attempts": outcome.attempts,
            "end": end,
            "holds": holds and settled_s < HANG_S,
            "settled_s": round(settled_s, 1),
        }

    def _judge(
        self,
        run: Path,
        outcome: local.Outcome,
        said: str,
        damaged: Path | None,
        watch: "_Watch",
        *,
        is_at_rest: bool,
    ) -> tuple[str, bool]:
        if outcome.exit_code == 3:
            return "refused", damaged is not None and str(damaged) in said
        if outcome.exit_code != 0:
            return f"exit {outcome.exit_code}", False
        resumed = [int(step) for step in re.findall(r"going on from step (\d+)", said)]
        least = watch.newest_steps
        if is_at_rest:  # the run that was killed has 16 and 24
            least = [24 if damaged is None else 16]
        is_kept = all(any(step <= found for found in resumed) for step in least)
        is_same = self._digest(run) == self._expected
        return ("identical" if is_same else "different"), is_same and is_kept

    def _digest(self, run: Path) -> str:
        state = checkpoint.restore(run / runs.CHECKPOINTS, EXPERIMENT.budget.steps, self._abstract)
        import jax
        import numpy as np

        leaves = jax.tree.leaves(state.params)
        return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()

    def _launch(
        self, run: Path, logs: Path, environment: dict[str, str], **named: Any
    ) -> local.Outcome:
        arguments = ["train", self._record, "--run", run]
        arguments += ["--processes.heartbeat-s", 10, "--processes.shutdown-s", 10]
        arguments += ["--step-limit-s", 12, "--pause-limit-s", 40]
        arguments += ["--datasets", self._root / "data", "--tokenizers", self._root / "tokenizers"]
        return local.run(
            [str(argument) for argument in arguments],
            processes=2,
            devices=1,
            grace_s=12.0,
            logs=logs,
            environment={
                "JAX_COMPILATION_CACHE_DIR": str(self._root / "xla"),
                "FAULT_MARKER": str(self._marker(run)),
                **environment,
            },
            command=[sys.executable, str(Path(__file__).with_name("faults_worker.py"))],
            **named,
        )

    def _marker(self, run: Path) -> Path:
        """The file that a fault leaves when it strikes."""
        return self._root / f"{run.name}.fault done"


class _Watch:
    """What the launcher's restarts tell: what was there to go on from, and how long ends took."""

    def __init__(self, run: Path, marker: Path) -> None:
        self._run, self._marker = run, marker
        self.newest_steps: list[int] = []
        self._fault_s: float | None = None
        self.settled_s = 0.0
        self.is_struck = False

    def on_start(self, processes: list[Any], attempt: int) -> None:
        if attempt == 0:
            threading.Thread(target=self._follow, args=(processes,), daemon=True).start()
        else:
            newest = integrity.readable_steps(self._run / runs.CHECKPOINTS)[-1:]
            self.newest_steps += newest

    def _follow(self, processes: list[Any]) -> None:
        """Seconds from the fault to the end of the last process it was done to."""
        while not self._marker.exists() and any(process.poll() is None for process in processes):
            time.sleep(0.01)
        fault_s, self.is_struck = time.monotonic(), self._marker.exists()
        while any(process.poll() is None for process in processes):
            time.sleep(0.01)
        self.settled_s = time.monotonic() - fault_s


if __name__ == "__main__":
    main()
