"""Every stage of `jgpt2 corpus build` on one core, in MB (10^6 bytes) a CPU second, beside others.

    python benchmarks/corpus.py RAW... TEXT.jsonl.gz... [--peer-python PATH] [--repetitions 5]

Pages (WARC, HTML, zip) are read, decoded and extracted; texts (JSON lines) are cleaned, measured,
compared and written. The interpreter at PATH has HojiChar and datatrove (`corpus_peers.py`).
Stages and peers take turns within each repetition, so that a slow spell of the machine hits all.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine

from jgpt2.corpus import annotate, chosen, dataset, index, records, selection, shards
from jgpt2.corpus.cleaning import charset, extract, japanese, mask, normalise, robots
from jgpt2.corpus.duplicates import minhash, search
from jgpt2.corpus.quality import filters, scores
from jgpt2.corpus.reading import inputs, read

FOLDER = Path(__file__).parent
SETTINGS = annotate.Settings()
PEERS = {
    "hojichar, cleaning": ("corpus_peers.py", "hojichar", "clean"),
    "datatrove, cleaning": ("corpus_peers.py", "datatrove", "clean"),
    "hojichar, near-duplicates": ("corpus_duplicates_peers.py", "hojichar", "near-duplicates"),
    "datatrove, near-duplicates": ("corpus_duplicates_peers.py", "datatrove", "near-duplicates"),
}
"""Name -> script, its argument, and our stage that does the comparable work."""
COMPARED = {
    "hojichar, cleaning": "JSON line to JSON line by Compose: NFKC, Japanese, length, "
    "advertisement, adult and board words, full stops, character 5-grams, runs of one character, "
    "ellipses, short lines, masks of e-mail and telephone; a rejected document skips the rest",
    "datatrove, cleaning": "JSON line to JSON line: Gopher quality and repetition with characters "
    "for words, line rules of FineWeb, masks of e-mail and IP addresses; a rejected document "
    "skips the rest",
    "hojichar, near-duplicates": "GenerateDedupLSH and InlineDeduplicator with their defaults",
    "datatrove, near-duplicates": "MinhashDedup* with their defaults and characters for words",
}


_PAGES = "pages in memory, bytes as crawled"
_TEXTS = "texts in memory"


@dataclass
class Stage:
    """Work to be timed, and what it is counted in."""

    name: str
    what: str
    work: Callable[[], object]
    num_bytes: int
    documents: int
    seconds: list[float] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def time(self) -> None:
        """Runs the work once."""
        start = time.process_time()
        self.work()
        self.seconds.append(time.process_time() - start)


@dataclass
class Peer(Stage):
    """Work of another process, which tells its own CPU seconds."""

    command: list[str] = field(default_factory=list)

    def time(self) -> None:
        """Runs the command once; notes why where it fails."""
        if not self.command:
            self.figures["not_available"] = "no --peer-python"
            return
        ended = subprocess.run(self.command, capture_output=True, text=True)
        if ended.returncode:
            self.figures["not_available"] = (ended.stderr.strip().splitlines() or ["failed"])[-1]
            return
        found = json.loads(ended.stdout.splitlines()[-1])
        self.figures |= {key: found[key] for key in ("versions", "kept") if key in found}
        self.seconds.append(sum(value for key, value in found.items() if key.endswith("_s")))


def main() -> None:
    """Measures the stages and the peers in turns and writes `results/corpus.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--max-bytes", type=int, default=6_000_000, help="of texts")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peer-python", type=Path)
    args = parser.parse_args()
    found = inputs.find(args.paths)
    is_text = [inputs.READERS[inputs.suffix(entry.path)] == "lines" for entry in found]
    pages = [entry for entry, flag in zip(found, is_text, strict=True) if not flag]
    texts = [entry for entry, flag in zip(found, is_text, strict=True) if flag]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages = _page_stages(pages, folder / "pages") if pages else []
        if texts:
            sample = _sample(texts, args.max_bytes)
            stages += _text_stages(sample, folder)
            stages += _peers(sample, args.peer_python, folder)
        for _ in range(args.repetitions):
            for stage in stages:
                stage.time()
    rows = [_row(stage) for stage in stages]
    _compare(rows)
    for row in rows:
        print(_line(row))
    result = {
        "what": "MB per CPU second of one process; median, lowest, highest",
        "files": [Path(entry.path).name for entry in found],
        "machine": machine.describe(["numpy", "trafilatura", "resiliparse", "fastwarc"]),
        "rows": rows,
    }
    print(machine.save("corpus", result))


def _page_stages(given: list[inputs.Input], folder: Path) -> list[Stage]:
    raws = [raw for entry in given for raw in _records(entry) if isinstance(raw.content, bytes)]
    pages = [raw for raw in raws if raw.kind == "html"]
    known = [(raw, decoded.text) for raw in pages if (decoded := _decoded(raw))]
    taken = [
        (raw, text)
        for raw, text in known
        if not robots.forbidden(raw.robots, text) and japanese.is_japanese(text, is_html=True)
    ]
    works: list[tuple[str, str, Callable[[], object], list[records.Raw]]] = [
        ("read pages", "files to records", lambda: [list(read.each(e)) for e in given], raws),
        ("decode", _PAGES, lambda: [_decoded(raw) for raw in pages], pages),
        (
            "robots",
            _PAGES,
            lambda: [robots.forbidden(raw.robots, text) for raw, text in known],
            [raw for raw, _ in known],
        ),
        (
            "japanese",
            _PAGES,
            lambda: [japanese.is_japanese(text, is_html=True) for _, text in known],
            [raw for raw, _ in known],
        ),
        *((*work, [raw for raw, _ in taken]) for work in _extractors([text for _, text in taken])),
        (
            "annotate pages, in all",
            "shards.write: files to a finished shard, careful extractor",
            lambda: _write_all(given, folder),
            raws,
        ),
    ]
    return [
        Stage(name, what, work, sum(len(raw.content) for raw in used), len(used))
        for name, what, work, used in works
    ]


def _extractors(pages: list[str]) -> list[tuple[str, str, Callable[[], object]]]:
    import trafilatura
    from resiliparse.extract import html2text

    careful: extract.Extractor = "careful"
    fast: extract.Extractor = "fast"
    return [
        (
            "extract, careful",
            _PAGES,
            lambda: [extract.main_text(p, extractor=careful) for p in pages],
        ),
        ("extract, fast", _PAGES, lambda: [extract.main_text(p, extractor=fast) for p in pages]),
        (
            "trafilatura, fast",
            "trafilatura.extract(page, fast=True, include_comments=False) on the same pages: what "
            "our careful extractor is built on",
            lambda: [trafilatura.extract(p, fast=True, include_comments=False) for p in pages],
        ),
        (
            "trafilatura, defaults",
            "trafilatura.extract(page) on the same pages, with its fallbacks",
            lambda: [trafilatura.extract(page) for page in pages],
        ),
        (
            "resiliparse",
            "extract_plain_text(page, main_content=True) on the same pages",
            lambda: [html2text.extract_plain_text(page, main_content=True) for page in pages],
        ),
    ]


def _text_stages(texts: list[str], folder: Path) -> list[Stage]:
    lines = [json.dumps({"text": text, "id": str(at)}) for at, text in enumerate(texts)]
    file = folder / "texts.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    given = inputs.find([file])
    planned = _write_all(given, folder / "shards")
    items = [item for shard in planned for _, _, item in shards.read_documents(shard)]
    choice = selection.Choice(filters="web")
    choose = selection.Chooser(choice)
    normal = [normalise.normalise(text)[0] for text in texts]
    works: list[tuple[str, str, Callable[[], object]]] = [
        ("read texts", "jsonl.gz to records", lambda: list(read.each(given[0]))),
        ("normalise", _TEXTS, lambda: [normalise.normalise(text) for text in texts]),
        ("mask", "normalised texts in memory", lambda: [mask.mask(text) for text in normal]),
        ("score", _TEXTS, lambda: scores.score_all(normal, [0.0] * len(normal))),
        ("signatures", _TEXTS, lambda: minhash.signatures(normal)),
        ("digests", _TEXTS, lambda: [shards.digest(text) for text in normal]),
        ("shard members", "JSON and gzip", lambda: [_member(item) for item in items]),
        (
            "annotate texts, in all",
            "shards.write: jsonl.gz to a finished shard",
            lambda: _write_all(given, folder / "again"),
        ),
        (
            "read shards",
            "gzip members to documents",
            lambda: [list(shards.read_documents(shard)) for shard in planned],
        ),
        ("selection", "thresholds of web, scores in memory", lambda: [choose(i) for i in items]),
        ("collect", "shards to the index of the chosen", lambda: _collect(planned, choice)),
        ("clusters", "digests and signatures to clusters", lambda: _cluster(planned[0])),
        ("write dataset", "documents in memory to ArrayRecord", lambda: _write_dataset(items)),
        (
            "clean",
            "jsonl.gz to JSON lines: normalise, mask, all scores, thresholds of web",
            lambda: _clean(given[0]),
        ),
        (
            "near-duplicates",
            "texts to clusters: signatures, digests, Finder",
            lambda: _near_duplicates(texts),
        ),
    ]
    num_bytes = sum(len(text.encode()) for text in texts)
    return [Stage(*work, num_bytes, len(texts)) for work in works]


def _member(item: annotate.Annotated) -> bytes:
    line = json.dumps(annotate.to_json(item), ensure_ascii=False) + "\n"
    return gzip.compress(line.encode(), 1, mtime=0)


def _collect(planned: list[shards.Shard], choice: selection.Choice) -> None:
    with tempfile.TemporaryDirectory() as folder, index.Index(Path(folder)) as base:
        chosen.collect(planned, base, choice, keep_sites_together=False)


def _cluster(shard: shards.Shard) -> None:
    with tempfile.TemporaryDirectory() as folder, search.Finder(Path(folder)) as finder:
        for table in shards.read_table(shard):
            finder.add(table["digest"].tolist(), table["signature"])
        finder.clusters()


def _near_duplicates(texts: list[str]) -> None:
    rows = minhash.signatures(texts)
    with tempfile.TemporaryDirectory() as folder, search.Finder(Path(folder)) as finder:
        finder.add([shards.digest(text) for text in texts], rows)
        finder.clusters()


def _write_dataset(items: list[annotate.Annotated]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset.write(Path(folder), {"train": [item.document for item in items]})


def _clean(entry: inputs.Input) -> None:
    """What `corpus_peers.py` has the others do, by our own functions."""
    texts = [str(raw.content) for raw in _records(entry)]
    texts = [mask.mask(normalise.normalise(text)[0])[0] for text in texts]
    measured = scores.score_all(texts, [0.0] * len(texts))
    for number, (text, found) in enumerate(zip(texts, measured, strict=True)):
        if not filters.failures(found, filters.PRESETS["web"]):
            json.dumps({"text": text, "id": str(number), "scores": found}, ensure_ascii=False)


def _peers(texts: list[str], python: Path | None, folder: Path) -> list[Stage]:
    given = folder / "texts.json"
    given.write_text(json.dumps(texts), encoding="utf-8")
    num_bytes = sum(len(text.encode()) for text in texts)
    peers: list[Stage] = []
    for name, (script, argument, _) in PEERS.items():
        command = [str(python), str(FOLDER / script), argument, str(given)] if python else []
        peers.append(
            Peer(name, COMPARED[name], lambda: None, num_bytes, len(texts), command=command)
        )
    return peers


def _records(entry: inputs.Input) -> Iterator[records.Raw]:
    return (raw for raw in read.each(entry) if isinstance(raw, records.Raw))


def _decoded(raw: records.Raw) -> charset.Decoded | None:
    assert isinstance(raw.content, bytes)
    return charset.decode(raw.content, declared=raw.charset, is_html=True)


def _write_all(given: list[inputs.Input], folder: Path) -> list[shards.Shard]:
    """Finished shards, made anew."""
    planned = shards.plan(folder, given, SETTINGS)
    for shard in planned:
        shard.record.unlink(missing_ok=True)
        shards.write(shard)
    return planned


def _sample(given: list[inputs.Input], max_bytes: int) -> list[str]:
    """Every n-th text of all files, so that all kinds are in it, or all."""
    texts = [document.text for document in read.documents([entry.path for entry in given])]
    step = -(-sum(len(text.encode()) for text in texts) // max_bytes)
    return texts[::step]


def _row(stage: Stage) -> dict[str, Any]:
    row = {"stage": stage.name, "what": stage.what, "documents": stage.documents}
    row |= {"megabytes": round(stage.num_bytes / 1e6, 3), **stage.figures}
    if "not_available" in row:
        return row
    row["mb_per_s"] = machine.spread([stage.num_bytes / 1e6 / each for each in stage.seconds])
    row["documents_per_s"] = machine.spread([stage.documents / each for each in stage.seconds])
    return row


def _compare(rows: list[dict[str, Any]]) -> None:
    """Adds to each peer by how much our comparable stage is faster."""
    by_name = {row["stage"]: row for row in rows}
    for peer, (_, _, own) in PEERS.items():
        row = by_name.get(peer, {})
        if "mb_per_s" in row:
            ours = by_name[own]["mb_per_s"]["median"]
            row["compared_with"] = own
            row["jgpt2_is_faster_by"] = round(ours / row["mb_per_s"]["median"], 1)


def _line(row: dict[str, Any]) -> str:
    if "not_available" in row:
        return f"{row['stage']:27} not available: {row['not_available']}"
    rate, pace = row["mb_per_s"], row["documents_per_s"]
    told = f"{row['stage']:27} {rate['median']:9.2f} MB/s ({rate['lowest']:.2f} to "
    told += f"{rate['highest']:.2f}) {pace['median']:9.0f} documents/s"
    faster = row.get("jgpt2_is_faster_by")
    return f"{told}   ({row['compared_with']}: {faster} times)" if faster else told


if __name__ == "__main__":
    main()
