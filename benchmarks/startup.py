"""Seconds from the command to its help, to the first training step and to the first text.

    python benchmarks/startup.py [--repetitions 9] [--tokenizer tokenizers/sp-8k]

Each is a fresh process. Training (6 x 320, 4 x 256 tokens, on the sample corpus) and generating are
measured with an empty compilation cache and with a full one; all modules are compiled to bytecode
by a run before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

import jgpt2

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = Path(jgpt2.__file__).parent / "sample"
HELP = (["--help"], ["evaluate", "--help"], ["train", "configs/small.py", "--help"])
IMPORTS = "import jax, flax.nnx, optax"
"""What no command that computes can start without: the machine's own measure."""
SHAPE = "--model.layers 6 --model.embed-dim 320 --model.heads 5 --batch.sequences 4"
BRIEF = "--budget.num-bytes None --budget.steps 1 --evaluation.max-bytes 2000"


def main() -> None:
    """Measures the commands in turn, round after round, and writes `results/startup.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--tokenizer", default="sp-8k")
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    for _ in range(args.repetitions):
        seconds.setdefault(f"python -c '{IMPORTS}'", []).append(_run(["-c", IMPORTS]))
        for command in HELP:
            name = " ".join(["jgpt2", *command])
            seconds.setdefault(name, []).append(_run(["-m", "jgpt2", *command]))
    rows = [{"command": name, "seconds": machine.spread(s)} for name, s in seconds.items()]
    rows += _working(args.repetitions, args.tokenizer)
    for row in rows:
        print(f"{row['seconds']['median']:.3f} s  {row['command']}")
    result = {
        "what": "wall seconds of a fresh process, to its end or to what the row names; "
        "all modules compiled to bytecode before",
        "machine": machine.describe(["flax", "jax", "jaxlib", "orbax-checkpoint", "tyro"]),
        "rows": rows,
    }
    print(machine.save("startup", result))


def _working(repetitions: int, tokenizer: str) -> list[dict[str, Any]]:
    """The first logged step of a training run, and the first text of a run, cold and warm."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        _run(["-m", "jgpt2", "corpus", "build", str(SAMPLE), "--out", str(data / "sample")])
        train = ["train", "configs/tiny.py", "--datasets", str(data), "--dataset", "sample"]
        train += ["--tokenizer", tokenizer, *SHAPE.split(), *BRIEF.split()]
        write = ["generate", f"{folder}/run", "--prompt", "朝の港には、", "--max-tokens", "32"]
        _until([*train, "--run", f"{folder}/run"], " step 1/1 ", f"{folder}/unmeasured")
        steps: dict[str, list[float]] = {"empty": [], "full": []}
        texts: dict[str, list[float]] = {"empty": [], "full": []}
        for repetition in range(repetitions):
            cache = f"{folder}/cache-{repetition}"
            for state in ("empty", "full"):
                run = f"{folder}/run-{repetition}-{state}"
                steps[state].append(_until([*train, "--run", run], " step 1/1 ", cache))
                texts[state].append(_until(write, "朝の港には、", cache))
    return [
        {"command": f"jgpt2 {verb}, {state} compilation cache", "seconds": machine.spread(s)}
        for verb, measured in (("train to the first step", steps), ("generate to text", texts))
        for state, s in measured.items()
    ]


def _until(command: list[str], sign: str, cache: str) -> float:
    """Seconds until the process prints `sign`; it then runs to its end."""
    started_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jgpt2", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=_environment(JAX_COMPILATION_CACHE_DIR=cache),
    )
    assert process.stdout is not None
    said, seen_s = b"", None
    while data := os.read(process.stdout.fileno(), 4096):
        said += data
        if seen_s is None and sign.encode() in said:
            seen_s = time.perf_counter() - started_s
    if process.wait() or seen_s is None:
        sys.exit(f"{' '.join(command)} never said {sign!r}:\n{said.decode()}")
    return seen_s


def _run(arguments: list[str]) -> float:
    started_s = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=_environment(),
    )
    return time.perf_counter() - started_s


def _environment(**settings: str) -> dict[str, str]:
    """The environment, in which Python keeps its bytecode as it does by default."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **settings}


if __name__ == "__main__":
    main()
