"""From files to a dataset: annotate, choose, find duplicates, split, write, account.

The costly part, annotating, is kept in shards beside the dataset (`jgpt2.corpus.shards`), so that
another choice does not extract anew and a build that was killed goes on. All after it depends on
the documents and the recipe alone: not on the order of files, shards, workers, or on who ran it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jgpt2 import manifest, pool, progress, storage
from jgpt2.corpus import annotate, chosen, dataset, index, records, selection, shards, tracking
from jgpt2.corpus.accounting import account, overview
from jgpt2.corpus.duplicates import clusters, minhash, search
from jgpt2.corpus.reading import inputs
from jgpt2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a dataset beside its input."""

    settings: annotate.Settings = field(default_factory=annotate.Settings)
    """How a record becomes a document."""
    choice: selection.Choice = field(default_factory=selection.Choice)
    """Which documents are taken."""
    near_duplicates: float | None = minhash.THRESHOLD
    """Documents whose sets of character 5-grams have this Jaccard similarity or more are one; None
    finds exact copies alone."""
    keep_near_duplicates: bool = False
    """Keep near-duplicates, all of a cluster in one split; exact copies are left out either way."""
    keep_sites_together: bool = False
    """Put all pages of a host into one split."""
    seed: int = 0
    """Decides which documents go to which split."""
    validation_share: float = 0.02
    """Share of the documents held out for validation."""
    test_share: float = 0.02
    """Share of the documents held out for the test."""

    def __post_init__(self) -> None:
        if min(self.validation_share, self.test_share) <= 0 or (
            self.validation_share + self.test_share >= 1
        ):
            raise InputError(
                f"validation_share={self.validation_share} and test_share={self.test_share} leave "
                "no train, validation or test split; both must be above 0 and sum to less than 1."
            )
        if self.near_duplicates is not None and not 0 < self.near_duplicates <= 1:
            raise InputError(
                f"near_duplicates={self.near_duplicates} is no Jaccard similarity; choose one "
                "above 0, up to 1, or None to find exact copies alone."
            )
        if self.choice.licenses == ():
            raise InputError(
                "licenses is empty, which keeps no document; name one, or None for all."
            )

    def identity(self) -> dict[str, Any]:
        """The recipe as JSON."""
        own = {
            name: value for name, value in vars(self).items() if name not in ("settings", "choice")
        }
        return own | {"annotate": self.settings.identity(), "choice": self.choice.identity()}


def build(
    paths: Sequence[str | Path],
    out: Path,
    *,
    name: str,
    recipe: Recipe | None = None,
    documents: Path | None = None,
    workers: int = 1,
    told: progress.Report | None = None,
) -> manifest.Manifest:
    """Builds the dataset in the folder `out`, which must not hold one yet.

    The annotated documents are kept in the folder `documents`, by default `OUT.documents`. Shares
    are of groups of documents; each split gets at least one. `told` gets the input bytes annotated
    and their total. Raises InputError for a recipe or an input that cannot be used; what cannot be
    read within the input is counted.
    """
    recipe = recipe or Recipe()
    planned = plan(paths, out, recipe.settings, documents)
    write_shards(planned, workers=workers, told=told)
    return finish(planned, out, name=name, recipe=recipe)


def plan(
    paths: Sequence[str | Path], out: Path, settings: annotate.Settings, documents: Path | None
) -> list[shards.Shard]:
    """The shards that a dataset in `out` is made of, their folder tidied.

    Raises InputError when `out` is taken or the input cannot be used.
    """
    _check_out(out)
    folder = documents or storage.scratch(out, f"{out.name}.documents")
    storage.require_local(folder, "--documents")
    planned = shards.plan(folder, inputs.find(paths), settings)
    _tidy(planned)
    return planned


def _check_out(out: Path) -> None:
    if manifest.exists(out):
        raise InputError(
            f"{out} has a {manifest.FILE_NAME} already, and nothing finished is overwritten; "
            "give another folder, or remove this one first."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; give another one.")


def write_shards(
    planned: Sequence[shards.Shard], *, workers: int, told: progress.Report | None
) -> None:
    """Annotates what is not finished yet, in worker processes."""
    if workers < 1:
        raise InputError(f"workers={workers} does nothing; choose 1 or more processes.")
    waiting = [shard for shard in planned if not shards.is_finished(shard)]
    with tracking.followed(planned, told):
        pool.run(shards.write, waiting, workers=workers, done=lambda record: None)


def _tidy(planned: Sequence[shards.Shard]) -> None:
    """Removes what a kill left among the shards, and tells of those that nobody asks for now."""
    folder = planned[0].folder
    num_shards, num_bytes = shards.tidy(folder, planned)
    if num_shards:
        progress.say(
            f"{folder} keeps {num_shards:,} shards of other inputs or settings "
            f"({num_bytes / 1e6:,.1f} MB); remove the folder when no build needs them"
        )


def finish(
    planned: Sequence[shards.Shard],
    out: Path,
    *,
    name: str,
    recipe: Recipe,
    links: Iterable[tuple[index.Place, index.Place]] | None = None,
) -> manifest.Manifest:
    """The dataset of finished shards.

    `links` are pairs of copies and near-copies among the chosen documents that were found
    elsewhere, each a shard's number and a place in it; they are found here if not given.
    """
    building = storage.scratch(out, f".{out.name}.partial")
    storage.remove_tree(building)  # of a build that was killed
    made = building / "dataset"
    try:
        made.mkdir(parents=True)
        with index.Index(building) as base:
            met = chosen.collect(
                planned,
                base,
                recipe.choice,
                keep_sites_together=recipe.keep_sites_together,
            )
            with met.counted.timed("near-duplicate"):
                labels = (
                    _labels(planned, base, building / "duplicates", recipe.near_duplicates)
                    if links is None
                    else clusters.union(base.numbered(links), base.num_documents)
                )
                base.judge(labels, keep_near=recipe.keep_near_duplicates)
                base.group(labels, seed=recipe.seed)
            chosen.count_copies(base, met.counted)
            spans = _spans(base, recipe, met.counted)
            notes = _notes(base, spans, met.counted)
            files = dataset.write(
                made, {split: _documents(planned, base, span) for split, span in spans.items()}
            )
            overview.write(
                made, overview.gather(planned, base, met, notes, recipe.identity(), name)
            )
        written = manifest.write(
            made,
            kind="dataset",
            name=name,
            identity=recipe.identity(),
            parents={},
            files=files,
            notes=notes,
        )
        storage.publish(made, out, last=manifest.FILE_NAME)
    finally:
        storage.remove_tree(building)
    return written


def _labels(
    planned: Sequence[shards.Shard], base: index.Index, folder: Path, threshold: float | None
) -> npt.NDArray[np.int64]:
    """For each document of the index the number of its cluster."""
    with search.Finder(folder) as finder:
        for number, shard in enumerate(planned):
            positions = base.positions(number)
            first = 0
            for block in shards.read_table(shard):
                start, stop = np.searchsorted(positions, [first, first + len(block)])
                rows = block[positions[start:stop] - first]
                finder.add(rows["digest"].tolist(), rows["signature"])
                first += len(block)
        return finder.clusters(threshold)


def _documents(
    planned: Sequence[shards.Shard], base: index.Index, span: index.Span
) -> Iterator[records.Document]:
    for shard, start, length in base.places(span):
        yield shards.read_at(planned[shard], start, length).document


def _spans(base: index.Index, recipe: Recipe, counted: account.Account) -> dict[str, index.Span]:
    """Where each split begins and ends among the sorted hashes: test lowest, then validation."""
    num_groups = base.num_groups()
    if num_groups < 3:
        left_out = ", ".join(
            f"{count} {reason}" for reason, count in account.reasons(counted).items()
        )
        raise InputError(
            f"the input holds usable documents in {num_groups} groups (left out: "
            f"{left_out or 'none'}), but train, validation and test need at least one group each: "
            "3 documents with different texts; add text, choose other filters, or split a long "
            "file into several documents."
        )
    test_share, validation_share = recipe.test_share, recipe.validation_share
    below_test = base.num_groups(_threshold(test_share))
    below_validation = base.num_groups(_threshold(test_share + validation_share))
    test_end = min(max(below_test, 1), num_groups - 2)
    validation_end = min(max(below_validation, test_end + 1), num_groups - 1)
    ends = base.group_hash(test_end), base.group_hash(validation_end)
    return {
        "train": (ends[1], index.HIGHEST),
        "validation": (ends[0], ends[1]),
        "test": (b"", ends[0]),
    }


def _threshold(share: float) -> bytes:
    """The hash that `share` of all possible hashes are lower than."""
    return int(share * 2**64).to_bytes(8, "big")


def _notes(
    base: index.Index, spans: dict[str, index.Span], counted: account.Account
) -> dict[str, Any]:
    """Documents, bytes and characters in all, by split, source and licence; what was dropped."""
    tables: dict[str, defaultdict[str, list[int]]] = {
        table: defaultdict(lambda: [0, 0, 0]) for table in ("splits", "sources", "licenses")
    }
    totals = [0, 0, 0]
    for split, span in spans.items():
        for source, license, *counts in base.account(span):
            rows = (
                totals,
                tables["splits"][split],
                tables["sources"][source],
                tables["licenses"][license or "unknown"],
            )
            for row in rows:
                row[:] = [old + count for old, count in zip(row, counts, strict=True)]
    by_table = {
        table: {key: _counts(row) for key, row in rows.items()} for table, rows in tables.items()
    }
    return _counts(totals) | by_table | {"drops": account.reasons(counted)}


def _counts(row: list[int]) -> dict[str, Any]:
    return dict(zip(("num_documents", "num_bytes", "num_chars"), row, strict=True))
