"""Samples of documents for people to look at: the same ones whatever the order of the input."""

import heapq
from typing import Any

from jgpt2.corpus import annotate, selection

EXCERPT_CHARS = 300
PER_REASON = 5


class Samples:
    """Up to `PER_REASON` documents for each reason, those with the lowest hashes."""

    def __init__(self) -> None:
        self._heaps: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}

    def add(self, item: annotate.Annotated, verdict: selection.Verdict, record_hash: bytes) -> None:
        """Takes a document that was left out, or passes it over."""
        reason = verdict.reasons[0] if verdict.stage == "filter" else ""
        heap = self._heaps.setdefault((verdict.stage, reason), [])
        rank = -int.from_bytes(record_hash)  # the highest hash leaves first
        if len(heap) == PER_REASON and rank <= heap[0][0]:
            return
        entry = excerpt(item) | {"stage": verdict.stage, "reasons": list(verdict.reasons)}
        if len(heap) < PER_REASON:
            heapq.heappush(heap, (rank, entry))
        elif all(rank != known for known, _ in heap):
            heapq.heapreplace(heap, (rank, entry))

    def to_json(self) -> list[dict[str, Any]]:
        """The documents, by stage and reason."""
        return [
            entry
            for key in sorted(self._heaps)
            for _, entry in sorted(self._heaps[key], key=lambda pair: -pair[0])
        ]


def excerpt(item: annotate.Annotated) -> dict[str, Any]:
    """Where a document is from, its scores, and its beginning."""
    document = item.document
    return {
        "id": document.id,
        "url": document.url,
        "kind": item.kind,
        "source": document.source,
        "license": document.license,
        "title": document.title,
        "num_chars": len(document.text),
        "scores": dict(document.scores),
        "excerpt": document.text[:EXCERPT_CHARS],
    }
