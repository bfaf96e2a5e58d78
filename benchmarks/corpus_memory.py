"""Peak memory of a corpus build at 1, 4 and 16 times the input.

    python benchmarks/corpus_memory.py TEXT.jsonl.gz... [--times 1 4 16] [--folder DIR]

Each repetition of the texts is salted: all its kanji are moved to others, so that its documents are
no copies of the first ones, while their number, lengths and kinds of characters stay.
"""

import argparse
import gzip
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import machine

KANJI = re.compile("[一-鿋]+")
FIRST, NUM = 0x4E00, 0x9FCC - 0x4E00


def main() -> None:
    """Builds the dataset at each size in a process of its own; writes the peaks it saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help=".jsonl.gz files")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one by default")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for times in args.times:
            rows.append(_measure(args.paths, times, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "what": "peak resident memory (MB, 10^6 bytes) of one process that builds a dataset",
        "files": [path.name for path in args.paths],
        "machine": machine.describe(["numpy", "tensorflow-datasets"]),
        "rows": rows,
    }
    print(machine.save("corpus_memory", result))


def _measure(paths: Sequence[Path], times: int, folder: Path) -> dict[str, Any]:
    source = folder / f"{times}.jsonl.gz"
    with gzip.open(source, "wt", compresslevel=1, encoding="utf-8") as file:
        for salt in range(times):
            file.writelines(_salted(paths, salt))
    out = folder / f"{times}"
    command = [sys.executable, "-m", "jgpt2", "corpus", "build", str(source), "--out", str(out)]
    start_s = time.monotonic()
    child = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    notes = json.loads(child.stdout.read())["notes"]
    _, status, usage = _wait(child)
    assert status == 0
    stages = json.loads((out / "account.json").read_text("utf-8"))["stages"]
    return {
        "times": times,
        "documents_read": stages["read"]["documents"],
        "bytes_read": stages["read"]["num_bytes"],
        "documents_kept": notes["num_documents"],
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_s": round(time.monotonic() - start_s, 1),
    }


def _wait(child: subprocess.Popen) -> tuple[int, int, resource.struct_rusage]:
    return os.wait4(child.pid, 0)


def _salted(paths: Sequence[Path], salt: int) -> Iterator[str]:
    def moved(run: re.Match[str]) -> str:
        return "".join(chr(FIRST + (ord(kanji) - FIRST + 997 * salt) % NUM) for kanji in run[0])

    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                record["text"] = KANJI.sub(moved, record["text"]) if salt else record["text"]
                record["id"] = f"{record['id']}-{salt}"
                yield json.dumps(record, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
