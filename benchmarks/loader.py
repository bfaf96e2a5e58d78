"""How fast the loader makes training rows on one core, in tokens a second.

    python benchmarks/loader.py TEXT.jsonl.gz... [--tokenizer tokenizers/byte] [--repetitions 7]

A dataset and a token store are built from the texts in a temporary folder. Rates are per second of
this process's CPU time, all its threads together, so other work on the machine disturbs them less.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

from jgpt2 import manifest
from jgpt2.corpus import build
from jgpt2.data import loader, mixture, tokens

ROOT = Path(__file__).resolve().parents[1]
CONTEXTS = (256, 1024)
SEQUENCES = 32
TOKENS = 8_000_000


def main() -> None:
    """Measures batches at each context length and writes `results/loader.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help=".jsonl, .jsonl.gz or .txt files")
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "tokenizers" / "byte")
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset, store = Path(folder, "dataset"), Path(folder, "store")
        built = build.build(args.paths, dataset, name="benchmark")
        encode_s = time.process_time()
        tokens.build(dataset, args.tokenizer, store)
        encode_s = time.process_time() - encode_s
        fingerprint = manifest.read(args.tokenizer, kind="tokenizer").fingerprint
        stream = tokens.open_store(store, tokenizer_fingerprint=fingerprint).split("train")
        rows = [_measure(stream, context, args.repetitions) for context in CONTEXTS]
        result = {
            "what": "millions of training tokens per CPU second of one process",
            "text": {
                "files": [path.name for path in args.paths],
                "bytes": built.notes["num_bytes"],
            },
            "tokenizer": args.tokenizer.name,
            "train_tokens": stream.num_tokens,
            "store_built_mb_per_s": round(built.notes["num_bytes"] / 1e6 / encode_s, 3),
            "machine": machine.describe(["grain", "numpy", "tensorflow-datasets"]),
            "rows": rows,
        }
    for row in rows:
        print(f"context {row['context']:5}  {row['mtokens_per_s']['median']:8.1f} M tokens/s")
    print(machine.save("loader", result))


def _measure(stream: tokens.Tokens, context: int, repetitions: int) -> dict[str, Any]:
    """Rates of whole batches as training takes them: order, gathering and prefetching."""
    steps = TOKENS // (context * SEQUENCES)
    rates = []
    for repetition in range(repetitions + 1):
        batches = loader.batches(
            mixture.alone(stream),
            context=context,
            sequences=SEQUENCES,
            seed=repetition,
            first_step=0,
        )
        start = time.process_time()
        for _ in range(steps):
            next(batches)
        rates.append(steps * SEQUENCES * context / 1e6 / (time.process_time() - start))
    return {
        "context": context,
        "sequences": SEQUENCES,
        "steps": steps,
        "mtokens_per_s": machine.spread(rates[1:]),  # the first one warms up
    }


if __name__ == "__main__":
    main()
