"""The model card of an exported folder: `card.json`, `README.md`, the loss curve, one manifest.

The record is collected once and everything else is rendered from it, so that the page, the hub's
metadata and both languages say the same. The same folders give the same bytes.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import drawing, manifest, runs, storage
from jgpt2.publish.card import author, page, records

_MAX_POINTS = 400
"""Of the curve; each is the mean of as many steps as it takes."""


def build(
    folder: Path,
    run: Path,
    *,
    datasets: Sequence[Path],
    facts: Path,
    goodput: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Writes the card of the export in `folder` and renews its manifest; the record.

    `run` is what was exported, `datasets` the folders of what it was trained and evaluated on,
    `goodput` where its time went. A card that is there already is written anew.
    """
    exported = manifest.read(folder, kind="export")
    rows = [row for row in runs.metrics(run) if row["step"] <= exported.identity["step"]]
    record = records.collect(
        folder,
        run,
        datasets=datasets,
        facts=author.load(facts),
        facts_folder=facts.parent,
        rows=rows,
        goodput=goodput,
    )
    for name in records.OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    manifest.write_json(folder / records.FILE_NAME, record)
    manifest.write_text(folder / records.README, page.render(record))
    if record["training"]["figure"]:
        manifest.write_text(folder / records.FIGURE, curve(rows))
    _renew(folder, exported)
    return record


def curve(rows: Sequence[Mapping[str, Any]]) -> str:
    """Bits per byte of training and validation over the bytes seen, as an SVG file."""
    trained = [row for row in rows if row["kind"] == "train"]
    seen = {row["step"]: row["bytes"] for row in trained}
    validated = [row for row in rows if row["kind"] == "evaluation" and row["step"] in seen]
    size = -(-len(trained) // _MAX_POINTS)
    parts = list(itertools.batched(trained, size))
    series = {
        "学習 training": (
            [part[-1]["bytes"] for part in parts],
            [statistics.fmean(row["bpb"] for row in part) for part in parts],
        )
    }
    if validated:
        series["検証 validation"] = (
            [seen[row["step"]] for row in validated],
            [row["bits_per_byte"] for row in validated],
        )
    return drawing.picture(
        drawing.Chart(
            series=series,
            title="損失 Loss",
            x_label="学習したテキストのバイト数 bytes of text seen",
            y_label="ビット/バイト bits per byte",
        )
    )


def _renew(folder: Path, exported: manifest.Manifest) -> None:
    """The manifest of the same export, with the card among its files."""
    files = [name for name in storage.files(folder) if name != manifest.FILE_NAME]
    renewed = manifest.write(
        folder,
        kind=exported.kind,
        name=exported.name,
        identity=exported.identity,
        parents=exported.parents,
        files=files,
        notes=exported.notes,
    )
    # The hour and the code are those of the export: a card built again gives the same bytes.
    of_export = {"created": exported.created, "code_version": exported.code_version}
    manifest.put(folder, dataclasses.replace(renewed, **of_export))
