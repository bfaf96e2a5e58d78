"""Train steps compiled for TPUs without a TPU, held to bars: memory, kernels, exchanges, time.

    python benchmarks/tpu_steps.py [NAME ...] [--cache FOLDER]

Needs the extra `tpu`. One to six minutes of a core for each that is not kept from an earlier run;
one after another. Ends with 1 when one misses its bar. The bars of memory are those of the best
prototypes compiled before this project had a step of its own; those of time are what it set out to
reach. Times are estimates: ±25 % absolute, ±10 % between variants.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import machine

from jgpt2 import config
from jgpt2.model import sizes
from jgpt2.plan import compiled, forecast, prices, topology, vocabulary

VOCABULARY = vocabulary.Vocabulary("50,257 ids", 50_257, None, "not needed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One step and its bar."""

    size: str
    topology: str
    rows: int
    """Rows of 1024 tokens for each chip."""
    most_hbm_gb: float
    least_mfu: float
    """Attention counted in full, as in the figures the bar was set by."""
    most_step_ms: float | None = None
    collectives: tuple[str, ...] = ("all-gather",)
    """What the schedule must hold; of permutations it may have one a layer."""
    kernel: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def experiment(self, chips: int) -> config.Experiment:
        """The experiment of the step."""
        model = dataclasses.replace(sizes.by_name(self.size)[1], **self.changes)
        return config.Experiment(
            name=self.size,
            model=model,
            batch=config.Batch(sequences=self.rows * chips),
            budget=config.Budget(steps=10_000),
            mesh=config.Mesh(fsdp=None),
        )


CASES = {
    "117M": Case(
        size="117M",
        topology="v5e:4x4",
        rows=8,
        most_hbm_gb=4.3,
        least_mfu=0.42,
        most_step_ms=80,
        kernel="1024x64",
    ),
    "117M-128": Case(
        size="small-128",
        topology="v5e:4x4",
        rows=24,
        most_hbm_gb=7.6,
        least_mfu=0.52,
        kernel="1024x128",
    ),
    "345M": Case(
        size="345M",
        topology="v5e:4x4",
        rows=8,
        most_hbm_gb=11.5,
        least_mfu=0.40,
        kernel="1024x64",
    ),
    "345M-slices": Case(
        size="345M",
        topology="2xv5e:16x16",
        rows=4,
        most_hbm_gb=11.5,
        least_mfu=0.30,
        collectives=("all-gather", "between slices"),
        kernel="1024x64",
        changes={"scan_layers": True, "remat": "names"},
    ),
    "1.5B-128": Case(
        size="xl-128",
        topology="v6e:4x4",
        rows=16,
        most_hbm_gb=15.6,
        least_mfu=0.30,
        kernel="1024x128",
    ),
    "8.3B": Case(
        size="8b",
        topology="v5p:4x4x4",
        rows=8,
        most_hbm_gb=15.0,
        least_mfu=0.52,
        kernel="1024x128",
    ),
}


def main() -> int:
    """Compiles the cases asked for and writes `results/tpu_steps.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CASES), metavar="NAME", help=str([*CASES]))
    parser.add_argument("--cache", type=Path, default=compiled.cache_folder())
    args = parser.parse_args()
    path = machine.RESULTS / "tpu_steps.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else {}
    missed = []
    for name in args.names:
        made = measure(CASES[name], args.cache)
        rows[name] = made
        faults = misses(CASES[name], made)
        missed += [f"{name}: {fault}" for fault in faults]
        print(
            f"{name}: {made['step_time_s'] * 1e3:.1f} ms, MFU {made['mfu_full_attention']:.1%}, "
            f"{made['hbm_bytes'] / 1e9:.2f} GB {'; '.join(faults) or 'holds'}"
        )
        result = {
            "what": "train steps compiled for TPUs; times are estimates from the schedule",
            "machine": machine.describe(["jax", "jaxlib", "libtpu"]),
            "rows": {name: rows[name] for name in CASES if name in rows},
        }
        machine.save("tpu_steps", result)
    print("\n".join(missed), file=sys.stderr)
    return 1 if missed else 0


def measure(case: Case, cache: Path) -> dict[str, Any]:
    """The forecast of a case."""
    where = topology.parse(case.topology)
    experiment = case.experiment(where.num_chips)
    step = compiled.compiled(
        experiment,
        vocab_size=VOCABULARY.vocab_size,
        num_steps=10_000,
        topology=where,
        cache=cache,
    )
    return forecast.forecast(
        experiment,
        topology=where,
        vocabulary=VOCABULARY,
        step=step,
        price=prices.find(where.chip.name),
        calibrated=None,
    )


def misses(case: Case, made: dict[str, Any]) -> list[str]:
    """What of the bar a forecast does not reach, in words."""
    found = []
    if made["hbm_bytes"] > case.most_hbm_gb * 1e9:
        found.append(f"{made['hbm_bytes'] / 1e9:.2f} GB of memory, at most {case.most_hbm_gb}")
    if made["mfu_full_attention"] < case.least_mfu:
        found.append(f"MFU {made['mfu_full_attention']:.1%}, at least {case.least_mfu:.0%}")
    if case.most_step_ms and made["step_time_s"] * 1e3 > case.most_step_ms:
        found.append(f"{made['step_time_s'] * 1e3:.1f} ms, at most {case.most_step_ms}")
    for kernel in (f"attention_forward_{case.kernel}", f"attention_backward_{case.kernel}"):
        if not any(row["name"].startswith(kernel) for row in made["kernels"]):
            found.append(f"no kernel {kernel}")
    kinds = {row["kind"]: row["count"] for row in made["collectives"]}
    for wanted in case.collectives:
        if not any(wanted in kind for kind in kinds):
            found.append(f"no {wanted}")
    permutes = sum(count for kind, count in kinds.items() if "collective-permute" in kind)
    layers = made["model"]["layers"]
    if permutes > layers + 1:
        found.append(f"{permutes} permutations, at most one a layer")
    return found


if __name__ == "__main__":
    sys.exit(main())
