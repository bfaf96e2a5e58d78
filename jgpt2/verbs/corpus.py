"""`jgpt2 corpus build`: files of text become a dataset."""

from pathlib import Path
from typing import Any

import tyro

from jgpt2.verbs import answer


def build(
    paths: tyro.conf.Positional[tuple[Path, ...]],
    out: Path,
    name: str | None = None,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.02,
    licenses: tuple[str, ...] | None = None,
    json: bool = False,
) -> None:
    """Build a dataset from .jsonl, .jsonl.gz and .txt files or folders of them.

    Args:
        paths: Files and folders to read.
        out: Folder of the dataset, for example data/ja.
        name: What it is called; the folder's name if not given.
        seed: Decides which documents go to which split.
        validation_share: Share of the documents held out for validation.
        test_share: Share of the documents held out for the test.
        licenses: Keep only documents whose licence starts with one of these.
        json: Print the manifest as JSON.
    """
    from jgpt2 import progress
    from jgpt2.corpus import build as builder

    with progress.of_work("reading", "bytes") as report:
        built = builder.build(
            list(paths),
            out,
            name=name or out.name,
            seed=seed,
            validation_share=validation_share,
            test_share=test_share,
            licenses=licenses,
            report=report,
        )
    answer.give(vars(built), f"dataset {built.name} at {out}: {_tally(built.notes)}", json)


def _tally(notes: dict[str, Any]) -> str:
    splits = ", ".join(f"{name} {row['num_documents']:,}" for name, row in notes["splits"].items())
    return f"{notes['num_documents']:,} documents, {notes['num_bytes']:,} bytes ({splits})"
