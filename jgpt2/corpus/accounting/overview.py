"""The whole account of a dataset as JSON, and the files beside it that people read.

`account.json` is the truth that `report.html` is drawn from; `left_out.jsonl` holds some of the
documents that the filters refused. Only the seconds in them differ between two equal builds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.corpus import annotate, chosen, index, shards
from jgpt2.corpus.accounting import account, report, samples

NUM_HOSTS = 50
NUM_CLUSTERS = 10
NUM_MEMBERS = 3
NUM_KEPT = 12


def gather(
    planned: Sequence[shards.Shard],
    base: index.Index,
    met: chosen.Met,
    notes: dict[str, Any],
    recipe: dict[str, Any],
    name: str,
) -> dict[str, Any]:
    """All that the report shows; see `accounting.report` for what each part means."""

    def read(place: tuple[int, int, int]) -> annotate.Annotated:
        return shards.read_at(planned[place[0]], *place[1:])

    return {
        "name": name,
        "recipe": recipe,
        "num_files": sum(len(shard.inputs) for shard in planned),
        "num_bytes": sum(shard.num_bytes for shard in planned),
        **account.to_json(met.counted),
        "losses": met.losses,
        "splits": notes["splits"],
        "sources": _beside(notes["sources"], base.left_out("source")),
        "licenses": _beside(notes["licenses"], base.left_out("license")),
        "presets": dict(sorted(met.presets.items())),
        "histograms": met.distributions.to_json(),
        "hosts": [
            dict(zip(("host", "documents", "num_bytes", "left_out"), row, strict=True))
            for row in base.hosts(NUM_HOSTS)
        ],
        "cluster_sizes": [
            {"documents": size, "clusters": count} for size, count in base.cluster_sizes()
        ],
        "clusters": [
            [samples.excerpt(read(place)) for place in places]
            for places in base.largest_clusters(NUM_CLUSTERS, NUM_MEMBERS)
        ],
        "kept": [samples.excerpt(read(place)) for place in base.some_kept(NUM_KEPT)],
        "left_out": met.left_out.to_json(),
    }


def write(folder: Path, gathered: dict[str, Any]) -> None:
    """Writes `account.json`, `left_out.jsonl` and `report.html` into a dataset's folder."""
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in gathered["left_out"]]
    manifest.write_text(folder / "left_out.jsonl", "".join(lines))
    text = json.dumps(gathered, ensure_ascii=False, indent=1)
    manifest.write_text(folder / "account.json", text + "\n")
    manifest.write_text(folder / "report.html", report.page(gathered))


def _beside(kept: dict[str, Any], left_out: dict[str, int]) -> dict[str, Any]:
    """The counts of what was kept, with the documents left out as one more count."""
    empty = {"num_documents": 0, "num_bytes": 0, "num_chars": 0}
    lost = {key or "unknown": count for key, count in left_out.items()}
    return {
        key: kept.get(key, empty) | {"left_out": lost.get(key, 0)}
        for key in sorted(kept.keys() | lost.keys())
    }
