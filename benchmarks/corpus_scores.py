"""How fast documents are scored on one core, in MB (10^6 bytes of UTF-8) a second, and what costs.

    python benchmarks/corpus_scores.py TEXT.jsonl.gz... [--max-bytes 5000000] [--repetitions 5]

Each file is one row, and so are pieces of 200 characters, and all texts as one long document.
Rates are per second of this process's CPU time, so other work on the machine disturbs them less.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

from jgpt2.corpus.quality import letters, repetition, scores, sentences, words
from jgpt2.corpus.reading import read

PIECE_CHARS = 200


def main() -> None:
    """Measures `scores.score_all` and its parts and writes `results/corpus_scores.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help=".jsonl, .jsonl.gz or .txt files")
    parser.add_argument("--max-bytes", type=int, default=5_000_000, help="text of each file")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    sets = {path.name: _read(path, args.max_bytes) for path in args.paths}
    everything = [text for texts in sets.values() for text in texts]
    sets[f"pieces of {PIECE_CHARS} characters"] = [
        text[:PIECE_CHARS] for text in everything if len(text) >= PIECE_CHARS
    ]
    sets["all as one document"] = ["\n".join(everything)]
    rows = []
    for name, texts in sets.items():
        rows.append(_measure(name, texts, args.repetitions))
        print(_line(rows[-1]), flush=True)
    result = {
        "what": "MB of UTF-8 text per CPU second of one process; median, lowest, highest",
        "machine": machine.describe(["numpy"]),
        "rows": rows,
    }
    print(machine.save("corpus_scores", result))


def _read(path: Path, max_bytes: int) -> list[str]:
    """Whole documents up to about `max_bytes`."""
    texts: list[str] = []
    room = max_bytes
    for document in read.documents([path]):
        texts.append(document.text)
        room -= document.num_bytes
        if room <= 0:
            break
    return texts


def _measure(name: str, texts: list[str], repetitions: int) -> dict[str, Any]:
    samples = [scores.sample(text) for text in texts]
    joined = [letters.join(samples[batch]) for batch in scores.batches(texts)]
    parts: dict[str, Callable[[], object]] = {
        "all": lambda: scores.score_all(texts, [0.0] * len(texts)),
        "letters": lambda: [letters.tallies(each) for each in joined],
        "runs": lambda: [letters.longest_runs(each) for each in joined],
        "sentences": lambda: [sentences.measure(sample) for sample in samples],
        "repetition": lambda: [repetition.measure(each) for each in joined],
        "deflate": lambda: [scores.deflate_ratio(sample) for sample in samples],
        "words": lambda: [words.measure(each, each.lengths) for each in joined],
    }
    num_bytes = sum(len(text.encode()) for text in texts)
    seconds = {
        part: [machine.cpu_seconds(work) for _ in range(repetitions)]
        for part, work in parts.items()
    }
    return {
        "texts": name,
        "documents": len(texts),
        "bytes": num_bytes,
        "documents_per_s": machine.spread([len(texts) / second for second in seconds["all"]]),
        **{
            f"{part}_mb_per_s": machine.spread([num_bytes / 1e6 / second for second in values])
            for part, values in seconds.items()
        },
    }


def _line(row: dict[str, Any]) -> str:
    rates = {key.removesuffix("_mb_per_s"): row[key]["median"] for key in row if "_mb_" in key}
    told = "  ".join(f"{part} {rate:.1f}" for part, rate in rates.items())
    return f"{row['texts']}: {row['documents_per_s']['median']:.0f} documents/s; MB/s: {told}"


if __name__ == "__main__":
    main()
