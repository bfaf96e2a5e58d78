"""Training steps of the project and its peers, side by side in one run, step by step in turn.

    python benchmarks/peers_train.py --peer-python PYTHON --nanogpt PATH [--device gpu]
        [--levanter-python PYTHON]

PYTHON is an interpreter with torch (and transformers, which is left out where it is missing), or
with levanter, which is left out where none is given. On a CPU every process is pinned to one core
and the figure is tokens per CPU-second, which other work on the machine disturbs least; on a GPU it
is tokens per second, with torch.compile and flash attention, and MFU. Writes
`results/peers_train.json` (`peers_train_gpu.json`), with peak memory (on a GPU that of the device)
and the time to the first step.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine

from jgpt2 import chips, config
from jgpt2.model import count

HERE = Path(__file__).resolve().parent
GPT2 = {"layers": 12, "embed_dim": 768, "heads": 12, "vocab": 50257}
PADDED = 50304
"""On a GPU all sides get the vocabulary that nanoGPT pads to by itself, as this project does."""
SHAPES = {
    "cpu": {
        "tiny": {
            "layers": 6, "embed_dim": 320, "heads": 5, "vocab": 8000, "batch": 4, "context": 256
        },
        "gpt2": {**GPT2, "batch": 2, "context": 256},
        "gpt2-1024": {**GPT2, "batch": 1, "context": 1024},
    },
    "gpu": {
        "117M": {**GPT2, "vocab": PADDED, "batch": 32, "context": 1024},
        "345M": {
            "layers": 24, "embed_dim": 1024, "heads": 16, "vocab": PADDED, "batch": 16,
            "context": 1024,
        },
    },
}  # fmt: skip

_RESULTS = {"cpu": "peers_train", "gpu": "peers_train_gpu"}


class Worker:
    """One side in a process of its own, which steps when told to."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self._read()
        self.steps: list[dict[str, float]] = []

    def step(self) -> None:
        """One step, timed by the process itself."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.steps.append(self._read())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def main() -> None:
    """Runs every shape, prints the ratios and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="a Python with torch")
    parser.add_argument("--nanogpt", required=True, help="a checkout of nanoGPT")
    parser.add_argument("--levanter-python", help="a Python with levanter")
    parser.add_argument("--device", choices=list(SHAPES), default="cpu")
    parser.add_argument("--shapes", nargs="+", help="some of the shapes only")
    parser.add_argument("--core", type=int, default=0, help="the core that a CPU run is pinned to")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.device == "gpu" and not any(Path("/dev").glob("nvidia[0-9]*")):
        raise SystemExit("not run: this machine has no NVIDIA GPU (/dev/nvidia0).")
    if args.device == "cpu":
        os.sched_setaffinity(0, {args.core})
    shapes = SHAPES[args.device]
    result = {
        "what": "tokens of a training step per "
        + (
            "CPU-second on one pinned core, float32" if args.device == "cpu" else "second, bfloat16"
        ),
        "protocol": "AdamW, clipping, no dropout, random tokens; the sides step in turn",
        "device": args.device,
        "machine": machine.describe(["jax", "flax", "optax"]),
        "shapes": {},
    }
    for name in args.shapes or shapes:  # saved after each: a later one may not fit the time
        result["shapes"][name] = _measure(shapes[name], args)
        print(machine.save(_RESULTS[args.device], result))


def _measure(shape: dict[str, int], args: argparse.Namespace) -> dict[str, Any]:
    given = [json.dumps(shape), "--device", args.device]
    torch = [args.peer_python, str(HERE / "peers_train_torch.py")]
    commands = {
        "jgpt2": [sys.executable, str(HERE / "peers_train_step.py"), *given],
        "nanogpt": [*torch, "nanogpt", *given, "--nanogpt", args.nanogpt],
    }
    probe = [args.peer_python, "-c", "import transformers"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        commands["transformers"] = [*torch, "transformers", *given]
    if args.levanter_python is not None:
        levanter = [args.levanter_python, "-W", "ignore", str(HERE / "peers_train_levanter.py")]
        commands["levanter"] = [*levanter, *given]
    workers = {name: Worker(command) for name, command in commands.items()}
    for _ in range(args.rounds + 1):
        for worker in workers.values():
            worker.step()
    for worker in workers.values():
        worker.close()
    clock = "cpu_s" if args.device == "cpu" else "wall_s"
    tokens = shape["batch"] * shape["context"]
    sides = {name: _facts(worker, tokens, clock) for name, worker in workers.items()}
    mfu = _mfu(shape, workers["jgpt2"].first["device_kind"])
    for side in sides.values():
        side["mfu"] = None if mfu is None else round(side["tokens_per_s"]["median"] * mfu, 4)
    ratios = {
        name: round(sides["jgpt2"]["tokens_per_s"]["median"] / side["tokens_per_s"]["median"], 3)
        for name, side in sides.items()
    }
    for name, side in sides.items():
        print(
            f"{shape['layers']} x {shape['embed_dim']}, {shape['batch']} x {shape['context']}  "
            f"{name}: {side['tokens_per_s']}, {side['peak_gib']} GiB, first step "
            f"{side['first_step_s']} s, MFU {side['mfu']}; jgpt2 is {ratios[name]} x",
            flush=True,
        )
    return {"shape": shape, "sides": sides, "jgpt2_against": ratios}


def _mfu(shape: dict[str, int], device_kind: str) -> float | None:
    """MFU, attention in full, of one token a second; None where the peak is not known."""
    peak = chips.peak_flops(device_kind)
    body = {name: shape[name] for name in ("layers", "embed_dim", "heads", "context")}
    flops = count.flops_per_token(config.Model(**body), shape["vocab"], counts_masked=True)
    return None if peak is None else flops / peak


def _facts(worker: Worker, tokens: int, clock: str) -> dict[str, Any]:
    steps = worker.steps[1:]  # the first after compiling still warms caches
    return {
        "tokens_per_s": machine.spread([tokens / step[clock] for step in steps]),
        "peak_gib": round(steps[-1]["peak_gib"], 2),
        "first_step_s": round(worker.first["first_step_s"], 1),
        "versions": worker.first["versions"],
    }


if __name__ == "__main__":
    main()
