"""Where the bits of a document went: to which script of characters, and how far into the text.

A vocabulary's tokens are not another's, but the bytes of a text are the same for all, so a token of
n bytes gives 1/n of its bits to each of them (`jgpt2.tokenizer.measure.spread`). Between
`jgpt2.ablation.scoring` (bits of tokens) and `measures` (the record).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jgpt2.tokenizer import measure, scripts

POSITION_EDGES = (0, 64, 256, 1024, 4096, 16384)
"""Bytes from the beginning of a document at which a new row of `by_position` begins."""


def by_script(
    texts: Sequence[str],
    of_bytes: Sequence[Float[np.ndarray, " bytes"]],
    eot_bits: Sequence[float],
) -> dict[str, dict[str, float]]:
    """Bits, bytes and characters of each script; the bits of the EOTs stand under `eot`.

    The bits add up to those of all documents.
    """
    counted = sum(map(measure.count_scripts, texts, of_bytes), np.zeros((len(scripts.SCRIPTS), 3)))
    found = {
        script: {"bits": bits, "num_bytes": int(num_bytes), "num_chars": int(num_chars)}
        for script, (num_bytes, num_chars, bits) in zip(
            scripts.SCRIPTS, counted.tolist(), strict=True
        )
    }
    return {**found, "eot": {"bits": math.fsum(eot_bits), "num_bytes": 0, "num_chars": 0}}


def by_position(of_bytes: Sequence[Float[np.ndarray, " bytes"]]) -> list[dict[str, Any]]:
    """Bits of the text's bytes by their distance from its beginning; EOTs lie in no row.

    The last row has no end: its `to_byte` is None.
    """
    ends = [*POSITION_EDGES[1:], None]
    rows = []
    for first, end in zip(POSITION_EDGES, ends, strict=True):
        parts = [of_byte[first:end] for of_byte in of_bytes]
        rows.append(
            {
                "from_byte": first,
                "to_byte": end,
                "bits": math.fsum(float(part.sum()) for part in parts),
                "num_bytes": sum(map(len, parts)),
            }
        )
    return rows
