"""New tokens a second beside transformers and nanoGPT: the same shapes, in turn, in one run.

    python benchmarks/peers_decode.py --peer-python PATH [--nanogpt FOLDER] [--shapes tiny gpt2]
    python benchmarks/peers_decode.py --peer-python PATH --device gpu

Each implementation is a process of its own that waits; round after round each makes one batch of
texts, alone on the machine as far as this script goes. On a CPU all are pinned to one core, in
float32, and the figure is tokens per second of CPU time, which other work disturbs least; on a GPU
it is wall time in bfloat16. Weights are random: they cost what others do.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
OWN = "jgpt2"
NANOGPT_ROUNDS = 2
"""It has no cache, reads everything again at every token, and takes a minute for a text."""


def main() -> None:
    """Measures every shape and batch and writes `results/peers_decode.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, help="Python with torch and transformers")
    parser.add_argument("--nanogpt", type=Path, help="folder of nanoGPT, in which model.py lies")
    parser.add_argument("--shapes", nargs="+", default=["tiny", "gpt2"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--core", type=int, default=0, help="the core that all are pinned to")
    args = parser.parse_args()
    if args.device == "gpu" and not any(Path("/dev").glob("nvidia[0-9]*")):
        print("there is no GPU here: the GPU figures were not measured")
        return
    rows = [_compare(args, shape, batch) for shape in args.shapes for batch in args.batches]
    result = {
        "what": "new tokens a second, prefill included, of "
        + ("CPU time on one core" if args.device == "cpu" else "wall time on one GPU"),
        "device": args.device,
        "machine": machine.describe(["flax", "jax", "jaxlib"]),
        "rows": rows,
    }
    name = "peers_decode" if args.device == "cpu" else "peers_decode_gpu"
    print(machine.save(name, result))


def _compare(args: argparse.Namespace, shape: str, batch: int) -> dict[str, Any]:
    """One shape and batch through all implementations, round after round."""
    workers = {OWN: _start(args, OWN, shape, batch)}
    if args.peer_python is not None:
        workers["transformers"] = _start(args, "transformers", shape, batch)
        if args.nanogpt is not None and batch == 1:
            workers["nanogpt"] = _start(args, "nanogpt", shape, batch)
    told = {name: _line(worker) for name, worker in workers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for round_ in range(args.rounds):
        for name, worker in workers.items():
            if name == "nanogpt" and round_ >= NANOGPT_ROUNDS:
                continue
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            answer = _line(worker)
            seconds[name].append(answer["cpu_s" if args.device == "cpu" else "wall_s"])
    for worker in workers.values():
        worker.communicate(timeout=60)
    num_tokens = told[OWN]["new_tokens"] * batch
    row: dict[str, Any] = {"shape": shape, "batch": batch} | {
        key: told[OWN][key] for key in ("prompt_tokens", "new_tokens", "top_k", "dtype")
    }
    row["implementations"] = {
        name: {
            "tokens_per_s": machine.spread([num_tokens / taken_s for taken_s in seconds[name]]),
            "first_tokens_s": told[name]["first_tokens_s"],
            "versions": told[name]["versions"],
        }
        for name in workers
    }
    # Each round's ratio has both sides a moment apart, so that a busy spell meets both.
    row["times_as_fast_as"] = {
        name: machine.spread(
            [peer_s / own_s for own_s, peer_s in zip(seconds[OWN], seconds[name], strict=False)]
        )
        for name in workers
        if name != OWN
    }
    rates = ", ".join(
        f"{name} {num_tokens / statistics.median(values):.1f}" for name, values in seconds.items()
    )
    ratios = ", ".join(
        f"{each['median']:.2f} x {name}" for name, each in row["times_as_fast_as"].items()
    )
    print(f"{shape} batch {batch}: tokens/s {rates}; {ratios}", flush=True)
    return row


def _start(args: argparse.Namespace, name: str, shape: str, batch: int) -> subprocess.Popen[str]:
    python = sys.executable if name == OWN else str(args.peer_python)
    script = HERE / ("peers_decode_own.py" if name == OWN else "peers_decode_torch.py")
    command = [python, str(script), name, shape, str(batch), args.device, str(args.nanogpt or "")]

    def pin() -> None:
        if args.device == "cpu":
            os.sched_setaffinity(0, {args.core})

    # Threads of both kinds of library follow the affinity that the process starts with.
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin
    )


def _line(worker: subprocess.Popen[str]) -> dict[str, Any]:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        sys.exit(f"an implementation ended ({worker.wait()}); its message is above")
    return json.loads(line)


if __name__ == "__main__":
    main()
