"""`jgpt2 corpus build`: what a crawler left, or files of text, become a dataset."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import tyro

from jgpt2.corpus.cleaning import mask as masking
from jgpt2.corpus.cleaning import normalise as normalising
from jgpt2.verbs import answer

Filters = Literal["by-kind", "web", "literature", "docs", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Near-duplicates and what must stay in one split."""

    jaccard: float | None = 0.7
    """Texts whose sets of character 5-grams are this alike or more are near-duplicates; None finds
    exact copies alone."""
    keep: bool = False
    """Keep near-duplicates, each cluster within one split; exact copies never stay."""
    sites_together: bool = False
    """Put all pages of one host into one split."""


_RULES, _MASKS, _DUPLICATES = normalising.Rules(), masking.Masks(), Duplicates()


def build(
    paths: tyro.conf.Positional[tuple[str, ...]],
    out: Path,
    name: str | None = None,
    documents: Path | None = None,
    extractor: Literal["careful", "fast"] = "careful",
    filters: Filters = "by-kind",
    thresholds: tuple[str, ...] = (),
    licenses: tuple[str, ...] | None = None,
    license: str = "",
    removals: Path | None = None,
    ignore_robots: tyro.conf.FlagCreatePairsOff[bool] = False,
    normalise: normalising.Rules = _RULES,
    mask: masking.Masks = _MASKS,
    duplicates: Duplicates = _DUPLICATES,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.02,
    workers: int = 1,
    beam: tuple[str, ...] | None = None,
    staging: str | None = None,
    json: bool = False,
) -> None:
    """Build a dataset from crawls, pages, Aozora Bunko and text: files, folders, gs://, s3://.

    Reads .warc .wet (plain, .gz, .zst), .html, .zip, .txt, .jsonl (plain, .gz, .zst) and .parquet.
    What cannot be read is counted, and the build goes on. Stopped, the same command goes on.

    Args:
        paths: Files, folders and gs:// or s3:// addresses to read.
        out: Folder of the dataset, for example data/ja.
        name: What it is called; the folder's name if not given.
        documents: Where extracted documents are kept; OUT.documents if not given.
        extractor: Main text of pages by trafilatura (careful) or resiliparse (fast).
        filters: Thresholds; by-kind: web for pages, literature for Aozora, none for the rest.
        thresholds: Changes to them, such as min_letters=300 max_link_share=none.
        licenses: Keep only documents whose licence starts with one of these.
        license: Licence of the documents that name none.
        removals: File of hosts, addresses and ids to leave out; see jgpt2 data remove.
        ignore_robots: Take pages though noindex or noai forbids it.
        normalise: Rules of normalisation.
        mask: What is replaced by placeholders.
        duplicates: Near-duplicates and splits.
        seed: Decides which documents go to which split.
        validation_share: Share of the documents held out for validation.
        test_share: Share of the documents held out for the test.
        workers: Processes that extract.
        beam: Extract by Apache Beam, with its options, such as runner=DirectRunner.
        staging: Folder that the workers of such a pipeline share, such as gs://bucket/ja.
        json: Print the manifest as JSON.
    """
    from jgpt2 import progress
    from jgpt2.corpus import annotate, selection
    from jgpt2.corpus import build as builder
    from jgpt2.corpus import removals as removing

    recipe = builder.Recipe(
        settings=annotate.Settings(
            extractor=extractor,
            obey_robots=not ignore_robots,
            license=license,
            rules=normalise,
            masks=mask,
        ),
        choice=selection.Choice(
            licenses=licenses,
            filters=filters,
            thresholds=thresholds,
            removals=removing.load(removals) if removals else removing.Removals(),
        ),
        near_duplicates=duplicates.jaccard,
        keep_near_duplicates=duplicates.keep,
        keep_sites_together=duplicates.sites_together,
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
    )
    with progress.of_work("extracting", "bytes") as told:
        common = {"name": name or out.name, "recipe": recipe, "documents": documents}
        if beam is None:
            built = builder.build(paths, out, workers=workers, told=told, **common)
        else:
            from jgpt2.corpus import beam as pipeline

            options = [f"--{option}" for option in beam]
            built = pipeline.build(paths, out, options=options, staging=staging, **common)
    answer.give(vars(built), f"dataset {built.name} at {out}: {_tally(built.notes, out)}", json)


def _tally(notes: dict[str, Any], out: Path) -> str:
    splits = ", ".join(f"{name} {row['num_documents']:,}" for name, row in notes["splits"].items())
    drops = ", ".join(f"{count:,} {reason}" for reason, count in notes["drops"].items())
    return (
        f"{notes['num_documents']:,} documents, {notes['num_bytes']:,} bytes ({splits})\n"
        f"left out: {drops or 'nothing'}\naccount: {out / 'report.html'}"
    )
