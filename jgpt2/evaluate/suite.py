"""The record of one evaluation, `evaluation.json`, and the table that a terminal shows of it.

Scores of `bits` (and, if asked for, sizes of `baseline`) in, plain data out. The command line opens
the model and the documents, and says what they are by their fingerprints.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jgpt2.evaluate import baseline, bits

COLUMNS = ("source", "documents", "bytes", "bits/byte", "bits/char", "bytes/token", "xz bits/byte")
"""Names of what `table` shows; the last where xz was asked for."""
LOWER_BOUND = " (lower bound)"
"""Marks figures of texts that a lossy tokenizer does not restore."""


def record(
    scores: Sequence[bits.DocumentScore],
    *,
    model: str,
    tokenizer: str,
    step: int | None,
    stride: int,
    evaluated: str | list[str],
    xz: baseline.Sizes | None = None,
    with_documents: bool = False,
) -> dict[str, Any]:
    """The content of evaluation.json, ready for JSON.

    `model` and `tokenizer` are fingerprints; `step` is that of the weights, None where they have
    none; `evaluated` names the split or the files. `with_documents` adds a row for every document.
    """
    summary = bits.summary(scores)
    answer = {
        "metric": "bits per UTF-8 byte of the text, the bits of EOT included",
        "model": model,
        "step": step,
        "tokenizer": tokenizer,
        "evaluated": evaluated,
        "stride": stride,
        **summary.overall.record(),
        "by_source": {source: total.record() for source, total in summary.by_source.items()},
        "xz": None if xz is None else xz.record(),
    }
    if with_documents:
        answer["documents"] = [dataclasses.asdict(score) for score in scores]
    return answer


def table(answer: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str | int | float, ...]]]:
    """The columns that show a record, and its rows: one for each source, and one for all.

    A row says so where its figures are lower bounds.
    """
    named = [*answer["by_source"].items(), ("all", answer)]
    xz = answer["xz"] and answer["xz"]["by_source"] | {"all": answer["xz"]}
    rows = [
        (
            name + LOWER_BOUND * row["is_lower_bound"],
            row["num_documents"],
            row["num_bytes"],
            row["bits_per_byte"],
            row["bits_per_char"],
            row["bytes_per_token"],
            *((xz[name]["bits_per_byte"],) if xz else ()),
        )
        for name, row in named
    ]
    return COLUMNS if xz else COLUMNS[:-1], rows
