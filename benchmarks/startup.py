"""Seconds from the command to its help, and to a verb's help, each in a fresh process.

python benchmarks/startup.py [--repetitions 9]
"""

import argparse
import subprocess
import sys
import time

import machine

COMMANDS = (["--help"], ["evaluate", "--help"], ["train", "configs/small.py", "--help"])


def main() -> None:
    """Measures the commands in turn, round after round, and writes `results/startup.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    repetitions = parser.parse_args().repetitions
    seconds: dict[str, list[float]] = {" ".join(command): [] for command in COMMANDS}
    for _ in range(repetitions):
        for command in COMMANDS:
            seconds[" ".join(command)].append(_run(command))
    rows = [
        {"command": f"jgpt2 {name}", "seconds": machine.spread(s)} for name, s in seconds.items()
    ]
    for row in rows:
        print(f"{row['seconds']['median']:.3f} s  {row['command']}")
    result = {
        "what": "wall seconds of a fresh process",
        "machine": machine.describe(["tyro"]),
        "rows": rows,
    }
    print(machine.save("startup", result))


def _run(command: list[str]) -> float:
    started_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "jgpt2", *command], check=True, capture_output=True)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
