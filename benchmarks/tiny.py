"""The figures of docs/tiny.md: finished runs compared on the test split, with curves and samples.

    python benchmarks/tiny.py RUN RUN... --dataset DATASET

Evaluates each run (bits per byte by source, `xz -9e` beside it), continues the same prompts, and
writes `results/tiny.json` and the chart `docs/tiny.svg`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import machine

from jgpt2 import compilation, inference, manifest, runs
from jgpt2.corpus import dataset
from jgpt2.generate import sampling
from jgpt2.model import count

PROMPTS = ("山の上から見ると、", "この関数は、", "二人は黙って")
SAMPLER = sampling.Sampler(temperature=0.8, top_k=40, top_p=0.95)
CHART = Path(__file__).resolve().parents[1] / "docs" / "tiny.svg"


def main() -> None:
    """Evaluates the runs given and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders")
    parser.add_argument("--dataset", type=Path, required=True, help="the dataset's folder")
    args = parser.parse_args()
    compilation.enable_cache()
    rows = [_measure(run, args.dataset) for run in args.runs]
    for row in rows:
        print(f"{row['name']}: {row['test']['bits_per_byte']:.4f} bits per byte")
    result = {
        "what": "bits per byte of tiny GPT-2s on the test split, equal bytes of training text",
        "dataset": manifest.read(args.dataset, kind="dataset").fingerprint,
        "machine": machine.describe(["jax", "flax", "optax", "sentencepiece"]),
        "runs": rows,
    }
    print(machine.save("tiny", result))
    _draw(rows)
    print(CHART)


def _measure(run: Path, dataset_folder: Path) -> dict[str, Any]:
    model = runs.open_model(run)
    metrics = runs.metrics(run)
    trained = [row for row in metrics if row["kind"] == "train"]
    bytes_at = {row["step"]: row["bytes"] for row in trained}
    test = inference.evaluate(
        model,
        list(dataset.open_split(dataset_folder, "test")),
        evaluated=f"test of {manifest.read(dataset_folder, kind='dataset').fingerprint}",
        with_xz=True,
    )
    samples = inference.generate(model, PROMPTS, sampler=SAMPLER, max_tokens=150)
    return {
        "name": model.experiment.name,
        "config": json.loads((run / runs.CONFIG).read_text("utf-8")),
        "code_version": manifest.read(run, kind="run").code_version,
        "parameters": count.parameters(model.shape, model.tokenizer.vocab_size),
        "checkpoint_step": model.step,
        "training": {
            "steps": trained[-1]["step"],
            "tokens": trained[-1]["tokens"],
            "bytes": trained[-1]["bytes"],
            "flops": trained[-1]["flops"],
            "step_seconds": round(sum(row["step_time_s"] for row in trained), 1),
        },
        "curve": [
            {
                "step": row["step"],
                "bytes": bytes_at[row["step"]],
                "bits_per_byte": row["bits_per_byte"],
            }
            for row in metrics
            if row["kind"] == "evaluation"
        ],
        "test": test,
        "samples": [sample.record() for sample in samples],
    }


def _draw(rows: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": "jgpt2", "font.size": 10}
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6))
    for row, style in zip(rows, ("o-", "s--", "^:", "D-."), strict=False):
        axes.plot(
            [point["bytes"] / 1e6 for point in row["curve"]],
            [point["bits_per_byte"] for point in row["curve"]],
            style,
            label=row["name"],
        )
    xz = rows[0]["test"]["xz"]["bits_per_byte"]
    axes.axhline(xz, color="grey", linewidth=1, label="xz -9e (test split)")
    axes.set_xlabel("training text seen, MB")
    axes.set_ylabel("bits per byte, validation")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(CHART, metadata={"Date": None})


if __name__ == "__main__":
    main()
