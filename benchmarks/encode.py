"""How fast each vocabulary encodes and decodes real text on one core, in MB (10^6 bytes) a second.

    python benchmarks/encode.py TEXT.jsonl.gz... [--max-bytes 20000000] [--repetitions 5]

Rates are per second of this process's CPU time, so other work on the machine disturbs them less.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

from jgpt2.corpus.reading import read
from jgpt2.tokenizer import base, load

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("encode", "encode_batch", "decode")


def main() -> None:
    """Measures every vocabulary in `tokenizers/` and writes `results/encode.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help=".jsonl, .jsonl.gz or .txt files")
    parser.add_argument("--max-bytes", type=int, default=20_000_000, help="text to encode")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tokenizers", type=Path, default=ROOT / "tokenizers")
    args = parser.parse_args()
    texts = _read(args.paths, args.max_bytes)
    num_bytes = sum(len(text.encode()) for text in texts)
    rows = []
    for folder in sorted(path.parent for path in args.tokenizers.glob("*/manifest.json")):
        rows.append(_measure(load.load(folder), texts, num_bytes, args.repetitions))
        print(_line(rows[-1]), flush=True)
    result = {
        "what": "MB of UTF-8 text per CPU second of one process; median, lowest, highest",
        "text": {
            "files": [path.name for path in args.paths],
            "documents": len(texts),
            "bytes": num_bytes,
        },
        "machine": machine.describe(["numpy", "sentencepiece"]),
        "rows": rows,
    }
    print(machine.save("encode", result))


def _read(paths: list[Path], max_bytes: int) -> list[str]:
    """Whole documents, evenly over the files, up to about `max_bytes`."""
    texts: list[str] = []
    for path in paths:
        room = max_bytes // len(paths)
        for document in read.documents([path]):
            texts.append(document.text)
            room -= document.num_bytes
            if room <= 0:
                break
    return texts


def _measure(
    tokenizer: base.Tokenizer, texts: list[str], num_bytes: int, repetitions: int
) -> dict[str, Any]:
    ids = [tokenizer.encode(text) for text in texts]  # warms up, too
    ways: dict[str, Callable[[], object]] = {
        "encode": lambda: [tokenizer.encode(text) for text in texts],
        "encode_batch": lambda: tokenizer.encode_batch(texts),
        "decode": lambda: [tokenizer.decode(document) for document in ids],
    }
    return {
        "tokenizer": tokenizer.name,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "bytes_per_token": round(num_bytes / sum(map(len, ids)), 4),
        **{
            f"{name}_mb_per_s": machine.spread(
                [num_bytes / 1e6 / machine.cpu_seconds(way) for _ in range(repetitions)]
            )
            for name, way in ways.items()
        },
    }


def _line(row: dict[str, Any]) -> str:
    rates = [f"{way} {row[way + '_mb_per_s']['median']:8.1f}" for way in WAYS]
    return f"{row['tokenizer']:8} " + "  ".join(rates) + "  MB/s"


if __name__ == "__main__":
    main()
