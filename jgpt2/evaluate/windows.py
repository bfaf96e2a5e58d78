"""Where the sliding windows of long documents lie, so that every token is scored exactly once.

Pure numpy, for `jgpt2.evaluate.sliding`, which takes rows of ids through a program.
A document of n tokens is the row [EOT, ids..., EOT]; its n + 1 targets are all but the first.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from jgpt2.errors import InputError


@dataclasses.dataclass(frozen=True)
class Windows:
    """One entry per window, in document order."""

    document: Int[np.ndarray, " W"]
    """Index of the document."""
    start: Int[np.ndarray, " W"]
    """Position in the document's row of the window's first input."""
    length: Int[np.ndarray, " W"]
    """Inputs of the window, and as many targets; at most the context."""
    first: Int[np.ndarray, " W"]
    """Targets before this one belong to the window before and are only context here."""


def check_stride(context: int, stride: int | None) -> int:
    """The stride in tokens: as given, or half the context; InputError outside 1..context."""
    usual = max(1, context // 2)
    stride = usual if stride is None else stride
    if not 1 <= stride <= context:
        raise InputError(
            f"stride={stride} is not within the context of {context} tokens; choose 1 to {context}"
            f" (smaller gives every token more context and costs more; {usual} is usual)."
        )
    return stride


def plan(num_targets: Int[np.ndarray, " documents"], *, context: int, stride: int) -> Windows:
    """Covers documents of `num_targets` tokens each by windows of at most `context` inputs.

    Window w starts at w * stride and scores what the windows before have not reached, so a token
    past the first window has at least context - stride + 1 tokens before it in its window.
    """
    num_targets = np.asarray(num_targets, np.int64)
    past_the_first = np.maximum(0, -(-(num_targets - context) // stride))
    counts = np.where(num_targets, 1 + past_the_first, 0)
    document = np.repeat(np.arange(len(num_targets)), counts)
    order = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = order * stride
    return Windows(
        document=document,
        start=start,
        length=np.minimum(context, num_targets[document] - start),
        first=np.where(order == 0, 0, context - stride),
    )


def widths(context: int) -> tuple[int, ...]:
    """Row widths that are compiled: a quarter, a half and the whole of the context.

    Most documents are short. Rows of three widths keep the padding below half of the work (but
    for documents under an eighth of the context) at the price of three compilations.
    """
    return tuple(sorted({max(1, context // 4), max(1, context // 2), context}))


def batches(
    windows: Windows, *, context: int, rows: int
) -> list[tuple[int, Int[np.ndarray, " R"]]]:
    """Groups the windows by width: (width, indices of at most rows * (context // width) windows).

    Batches of every width hold about the same number of tokens. Longest windows come first, so
    that a batch that does not fit into memory fails at once.
    """
    choices = np.asarray(widths(context))
    bucket = np.searchsorted(choices, windows.length)
    groups = []
    for i in reversed(range(len(choices))):
        width = int(choices[i])
        members = np.flatnonzero(bucket == i)
        members = members[np.argsort(-windows.length[members], kind="stable")]
        size = batch_rows(width, context=context, rows=rows)
        groups += [(width, members[j : j + size]) for j in range(0, len(members), size)]
    return groups


def batch_rows(width: int, *, context: int, rows: int) -> int:
    """Rows of a batch of this width; a multiple of `rows`, so that it divides like them."""
    return rows * (context // width)
