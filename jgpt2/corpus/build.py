"""Files of text become a dataset: read, choose by licence, drop repetitions, split, write, account.

Splits follow a hash of each document's cluster, so that nothing sits on both sides. A cluster is
what the record's own `cluster` field says, else the text without its white space: exact copies and
copies with other line breaks. Clusters of near-duplicates come with deduplication, which fills that
field. The result depends on the documents and the settings alone, not on their order.
"""

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.corpus import dataset, read, spool
from jgpt2.errors import InputError

_HIGHEST = b"\xff" * 33  # above every SHA-256


def build(
    paths: Sequence[Path],
    out: Path,
    *,
    name: str,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.02,
    licenses: tuple[str, ...] | None = None,
    report: read.Report | None = None,
) -> manifest.Manifest:
    """Builds the dataset in the folder `out`, which must not hold one yet.

    Shares are of clusters. Each split gets at least one: where a hash leaves test or validation
    empty, the clusters with the lowest hashes go there. With `licenses`, only documents whose
    licence starts with one of them (case ignored) are kept. `report` gets the input bytes done and
    their total. Raises InputError for settings and input that cannot be used, also see `read.each`.
    """
    _check(out, validation_share, test_share, licenses)
    shares = (test_share, validation_share)
    building = out.with_name(f".{out.name}.partial")
    shutil.rmtree(building, ignore_errors=True)  # of a build that was killed
    made = building / "dataset"
    try:
        made.mkdir(parents=True)
        with spool.Spool(building) as store:
            drops = _collect(store, paths, seed, licenses, report)
            spans = _spans(store, shares, drops)
            notes = _account(store, spans)
            notes["drops"] = dict(sorted(drops.items()))
            files = dataset.write(
                made, {split: store.documents(span) for split, span in spans.items()}
            )
        identity = {
            "seed": seed,
            "validation_share": validation_share,
            "test_share": test_share,
            "licenses": sorted(licenses) if licenses else None,
        }
        written = manifest.write(
            made, kind="dataset", name=name, identity=identity, parents={}, files=files, notes=notes
        )
        made.replace(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return written


def _check(
    out: Path, validation_share: float, test_share: float, licenses: tuple[str, ...] | None
) -> None:
    if validation_share <= 0 or test_share <= 0 or validation_share + test_share >= 1:
        raise InputError(
            f"validation_share={validation_share} and test_share={test_share} leave no train, "
            "validation or test split; both must be above 0 and sum to less than 1."
        )
    if licenses == ():
        raise InputError("licenses is empty, which keeps no document; name one, or None for all.")
    if manifest.exists(out):
        raise InputError(
            f"{out} has a {manifest.FILE_NAME} already, and nothing finished is overwritten; "
            "give another folder, or remove this one first."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; give another one.")


def _collect(
    store: spool.Spool,
    paths: Sequence[Path],
    seed: int,
    licenses: tuple[str, ...] | None,
    report: read.Report | None,
) -> Counter[str]:
    drops: Counter[str] = Counter()
    for record in read.each(paths, drops=drops, report=report):
        document = record.document
        if licenses is None or document.license.lower().startswith(
            tuple(wanted.lower() for wanted in licenses)
        ):
            store.add(document, _cluster_hash(record, seed))
        else:
            drops[f"license: {document.license or 'unknown'}"] += 1
    drops["duplicate"] = store.num_added - store.finish()
    return +drops


def _cluster_hash(record: read.Record, seed: int) -> bytes:
    key = record.cluster or "".join(record.document.text.split())
    return hashlib.sha256(f"{seed}\0{bool(record.cluster)}\0{key}".encode()).digest()


def _spans(
    store: spool.Spool, shares: tuple[float, float], drops: Counter[str]
) -> dict[str, spool.Span]:
    """Where each split begins and ends among the sorted hashes: test lowest, then validation."""
    num_clusters = store.num_clusters()
    if num_clusters < 3:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(drops.items()))
        raise InputError(
            f"the input holds {store.num_documents()} usable documents in {num_clusters} clusters "
            f"(left out: {dropped or 'none'}), but train, validation and test need at least one "
            "cluster each: 3 documents with different texts; add text, or split a long file into "
            "several documents."
        )
    test_share, validation_share = shares
    below_test = store.num_clusters(below=_threshold(test_share))
    below_validation = store.num_clusters(below=_threshold(test_share + validation_share))
    test_end = min(max(below_test, 1), num_clusters - 2)
    validation_end = min(max(below_validation, test_end + 1), num_clusters - 1)
    ends = store.cluster(test_end), store.cluster(validation_end)
    return {
        "train": (ends[1], _HIGHEST),
        "validation": (ends[0], ends[1]),
        "test": (b"", ends[0]),
    }


def _threshold(share: float) -> bytes:
    """The hash that `share` of all possible hashes are lower than."""
    return int(share * 2**64).to_bytes(8, "big")


def _account(store: spool.Spool, spans: dict[str, spool.Span]) -> dict[str, Any]:
    """Documents, bytes and characters in all, by split, by source and by licence."""
    tables: dict[str, defaultdict[str, list[int]]] = {
        table: defaultdict(lambda: [0, 0, 0]) for table in ("splits", "sources", "licenses")
    }
    totals = [0, 0, 0]
    for split, span in spans.items():
        for source, license, *counts in store.account(span):
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
    return _counts(totals) | by_table


def _counts(row: list[int]) -> dict[str, Any]:
    return dict(zip(("num_documents", "num_bytes", "num_chars"), row, strict=True))
