"""Near-duplicates beside other tools: MB/s of one core, light edits found, heavy ones claimed.

python benchmarks/corpus_duplicates.py TEXTS.jsonl.gz ... [--peer-python PATH]

The interpreter at PATH has datatrove and `hojichar[dedup]` (which brings rensa); a peer that it
lacks is reported as not available.
"""

import argparse
import gzip
import hashlib
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

from jgpt2.corpus.duplicates import minhash, search

PEERS = Path(__file__).with_name("corpus_duplicates_peers.py")
NAMES = ("datatrove", "hojichar", "hojichar-192")
SHORTEST, NUM_PLANTED = 400, 500


def main() -> None:
    """Measures ours and the peers round after round; writes `results/corpus_duplicates.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--max-bytes", type=int, default=60_000_000, help="of text")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    texts = _read(arguments.files)
    sample = _sample(texts, arguments.max_bytes)
    tools: dict[str, list[dict[str, Any]]] = {name: [] for name in ("jgpt2", *NAMES)}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.repetitions):
            tools["jgpt2"].append(_ours(sample))
            for name in NAMES:
                tools[name].append(_peer(name, sample, arguments.peer_python, Path(folder)))
        rows = [{"tool": name, **_rates(runs, sample)} for name, runs in tools.items()]
        planted = _planted(texts)
        for row in rows:
            if "not_available" not in row:
                row |= _recall(row["tool"], planted, arguments.peer_python, Path(folder))
    own = rows[0]["mb_per_s"]["median"]
    for row in rows:
        if "not_available" not in row:
            row["jgpt2_is_faster_by"] = round(own / row["mb_per_s"]["median"], 1)
        print(json.dumps(row, ensure_ascii=False))
    result = {
        "what": "MB of UTF-8 text per CPU second of one process, text to clusters; and planted "
        "copies: light edits found, copies with 8% of the characters changed claimed",
        "compared": "shingles of 5 characters for all; datatrove with its default 14 x 8 hashes "
        "and a tokenizer that gives characters instead of its slower Japanese word tokenizer; "
        "hojichar with its default 500 hashes and threshold 0.8, and with 192 and 0.7; neither "
        "peer verifies what shares a band",
        "files": [path.name for path in arguments.files],
        "machine": machine.describe(["numpy"]),
        "rows": rows,
    }
    print(machine.save("corpus_duplicates", result))


def _read(paths: list[Path]) -> list[str]:
    texts = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    return texts


def _sample(texts: list[str], max_bytes: int) -> list[str]:
    """Every n-th text, so that all kinds are in it, or all."""
    step = -(-sum(len(text.encode()) for text in texts) // max_bytes)
    return texts[::step]


def _ours(texts: list[str]) -> dict[str, Any]:
    started_s = time.process_time()
    rows = minhash.signatures(texts)
    signed_s = time.process_time()
    digests = [hashlib.sha256("".join(text.split()).encode()).digest() for text in texts]
    with tempfile.TemporaryDirectory() as folder, search.Finder(Path(folder)) as finder:
        finder.add(digests, rows)
        labels = finder.clusters().tolist()
    ended_s = time.process_time()
    return {
        "signatures_s": signed_s - started_s,
        "clusters_s": ended_s - signed_s,
        "removed": [number for number, label in enumerate(labels) if label != number],
        "labels": labels,
        "versions": {},
    }


def _peer(name: str, texts: list[str], python: Path | None, folder: Path) -> dict[str, Any]:
    if python is None:
        return {"not_available": "no --peer-python"}
    given = folder / "texts.json"
    given.write_text(json.dumps(texts), encoding="utf-8")
    command = [str(python), str(PEERS), name, str(given)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        return {"not_available": (ended.stderr.strip().splitlines() or ["it failed"])[-1]}
    return json.loads(ended.stdout.splitlines()[-1])


def _rates(runs: list[dict[str, Any]], texts: list[str]) -> dict[str, Any]:
    if "not_available" in runs[0]:
        return runs[0]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    return {
        "documents": len(texts),
        "megabytes": round(megabytes, 2),
        "versions": runs[0]["versions"],
        "signatures_mb_per_s": machine.spread([megabytes / run["signatures_s"] for run in runs]),
        "mb_per_s": machine.spread(
            [megabytes / (run["signatures_s"] + run["clusters_s"]) for run in runs]
        ),
        "removed": len(runs[0]["removed"]),
    }


def _planted(texts: list[str]) -> dict[str, list[str]]:
    """Texts unlike each other; a light edit of each, of five kinds in turn; a heavy one of each."""
    draw = random.Random(1)
    candidates = [text for text in texts if SHORTEST <= len("".join(text.split())) <= 20_000]
    candidates = draw.sample(candidates, min(len(candidates), 4 * NUM_PLANTED))
    rows = minhash.signatures(candidates)
    apart = [
        text
        for number, text in enumerate(candidates)
        if (minhash.jaccard(rows[:number], rows[number]) < 0.3).all()
    ][:NUM_PLANTED]
    return {
        "originals": apart,
        "light": [_light(text, number % 5, draw, apart) for number, text in enumerate(apart)],
        "heavy": [_changed(text, 0.08, draw) for text in apart],
    }


def _light(text: str, kind: int, draw: random.Random, others: list[str]) -> str:
    """1% changed, 5% appended, a header and a footer, other white space, a line or 3% removed."""
    if kind == 0:
        return _changed(text, 0.01, draw)
    if kind == 1:
        return text + "\n" + draw.choice(others)[: len(text) // 20]
    if kind == 2:
        return f"ホーム ＞ 記事{draw.randrange(10**6)}\n{text}\nこの記事を共有する"
    if kind == 3:
        return text.replace("\n", "\n\n").replace("。", "。 ")
    lines = text.split("\n")
    short = [at for at, line in enumerate(lines) if 0 < len(line) <= 0.03 * len(text)]
    if not short:
        return text[: round(0.97 * len(text))]
    del lines[draw.choice(short)]
    return "\n".join(lines)


def _changed(text: str, share: float, draw: random.Random) -> str:
    characters = list(text)
    places = [at for at, character in enumerate(characters) if not character.isspace()]
    for at in draw.sample(places, round(len(places) * share)):
        characters[at] = chr(0x4E00 + draw.randrange(1500))
    return "".join(characters)


def _recall(
    name: str, planted: dict[str, list[str]], python: Path | None, folder: Path
) -> dict[str, Any]:
    """How many light and heavy copies of how many are taken for copies."""
    counts = {}
    originals = planted["originals"]
    for kind in ("light", "heavy"):
        texts = [*originals, *planted[kind]]
        run = _ours(texts) if name == "jgpt2" else _peer(name, texts, python, folder)
        if "labels" in run:  # a copy lies in one cluster with its original
            labels = run["labels"]
            pairs = zip(labels[: len(originals)], labels[len(originals) :], strict=True)
            counts[kind] = sum(a == b for a, b in pairs)
        else:  # a copy is rejected, which came after its original
            counts[kind] = sum(number >= len(originals) for number in run["removed"])
    return {
        "planted": len(originals),
        "light_edits_found": counts["light"],
        "heavy_edits_claimed": counts["heavy"],
    }


if __name__ == "__main__":
    main()
