"""One pass over the annotated documents: which are chosen, and what is counted on the way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from jgpt2.corpus import annotate, index, selection, shards
from jgpt2.corpus.accounting import account, histograms, samples
from jgpt2.corpus.quality import filters


@dataclass
class Met:
    """What the pass counted, beside the index."""

    counted: account.Account = field(default_factory=account.Account)
    distributions: histograms.Histograms = field(default_factory=histograms.Histograms)
    left_out: samples.Samples = field(default_factory=samples.Samples)
    losses: list[dict[str, str]] = field(default_factory=list)
    """Particulars of some records that could not be read."""
    presets: Counter[str] = field(default_factory=Counter)
    """Preset -> documents that its thresholds alone would keep."""


def collect(
    planned: Sequence[shards.Shard],
    base: index.Index,
    choice: selection.Choice,
    *,
    keep_sites_together: bool,
) -> Met:
    """Adds the documents that are chosen to the index, and tells of the others why they are not."""
    met = Met()
    choose = selection.Chooser(choice)
    for number, shard in enumerate(planned):
        counted, losses = shards.read_account(shard)
        met.counted.merge(counted)
        met.losses.extend(losses[: shards.NUM_LOSSES - len(met.losses)])
        for position, (start, row, item) in enumerate(shards.read_documents(shard)):
            hashes = bytes(row["digest"]), bytes(row["record"])
            with met.counted.timed("filter"):
                verdict = choose(item)
                _look_at(item, verdict, hashes[1], met)
            if verdict.stage not in ("", "removal"):
                document, size = item.document, _size(item)
                base.leave_out(item.host, document.source, document.license, verdict.stage, size)
                continue
            place = (number, position, start, int(row["length"]))
            cluster = item.cluster or (item.host if keep_sites_together else "")
            base.add(_row(item, place, hashes, cluster, is_removed=verdict.stage == "removal"))
    return met


def count_copies(base: index.Index, counted: account.Account) -> None:
    """Adds what the search for duplicates left out to the account, once the index has judged."""
    documents, chars, num_bytes = base.totals()
    for reason, *lost in base.dropped():
        stage = "exact duplicate" if reason == "exact duplicate" else "near-duplicate"
        counted.drops_many(stage, reason, account.Tally(*lost))
        if stage == "exact duplicate":
            documents, chars, num_bytes = (
                total - part
                for total, part in zip((documents, chars, num_bytes), lost, strict=True)
            )
    counted.passes_many("exact duplicate", account.Tally(documents, chars, num_bytes))
    counted.passes_many("near-duplicate", account.Tally(*base.kept_totals()))


def _look_at(
    item: annotate.Annotated, verdict: selection.Verdict, record_hash: bytes, met: Met
) -> None:
    """Counts a verdict and keeps a sample of what is left out."""
    size = _size(item)
    for stage in ("removal", "license", "filter"):
        if verdict.stage == stage:
            reason = "asked to be removed" if stage == "removal" else verdict.reasons[0]
            met.counted.drops(stage, f"license: {reason}" if stage == "license" else reason, *size)
            break
        met.counted.passes(stage, *size)
    scores = item.document.scores
    if verdict.stage in ("", "filter"):
        met.distributions.add(scores, is_chosen=not verdict.stage)
        met.presets.update(
            name
            for name, thresholds in filters.PRESETS.items()
            if not filters.failures(scores, thresholds)
        )
    if verdict.stage in ("license", "filter"):
        met.left_out.add(item, verdict, record_hash)


def _row(
    item: annotate.Annotated,
    place: tuple[int, int, int, int],
    hashes: tuple[bytes, bytes],
    cluster: str,
    *,
    is_removed: bool,
) -> index.Row:
    document = item.document
    return index.Row(
        *place,
        *hashes,
        cluster=cluster,
        is_removed=is_removed,
        host=item.host,
        source=document.source,
        license=document.license,
        num_chars=len(document.text),
        num_bytes=document.num_bytes,
    )


def _size(item: annotate.Annotated) -> tuple[int, int]:
    return len(item.document.text), item.document.num_bytes
