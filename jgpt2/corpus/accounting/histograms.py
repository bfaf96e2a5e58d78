"""Distributions of scores and lengths over fixed edges, counted in one pass for the report."""

import bisect
import functools
from collections.abc import Mapping
from typing import Any

_SHARES = tuple(i / 20 for i in range(21))
_SIZES = tuple(float(10**power * step) for power in range(8) for step in (1, 2, 5))
"""1, 2, 5, 10, 20, … characters or pieces; what lies beyond an end counts in the last bin."""
_RATES = (0.0, *(float(step * 2**i) for i in range(8) for step in (1, 1.5)))
"""0, 1, 1.5, 2, 3, 4, 6, … in 1,000 letters."""


class Histograms:
    """For each score the documents in each bin: those chosen and those the filters left out."""

    def __init__(self) -> None:
        self._counts: dict[str, list[list[int]]] = {}

    def add(self, scores: Mapping[str, float], *, is_chosen: bool) -> None:
        """Counts one document."""
        for name, value in scores.items():
            if (counts := self._counts.get(name)) is None:
                num_bins = len(edges(name)) - 1
                counts = self._counts[name] = [[0] * num_bins, [0] * num_bins]
            bins = counts[not is_chosen]
            place = bisect.bisect_right(edges(name), value) - 1
            bins[min(max(place, 0), len(bins) - 1)] += 1

    def to_json(self) -> dict[str, Any]:
        """Score -> edges, and documents `chosen` and `left_out` in each bin."""
        return {
            name: {"edges": list(edges(name)), "chosen": chosen, "left_out": left_out}
            for name, (chosen, left_out) in self._counts.items()
        }


@functools.cache
def edges(name: str) -> tuple[float, ...]:
    """The edges of a score's bins: twentieths of a share or ratio, steps of a number or a rate.

    >>> edges("hiragana_share")[:3], edges("num_chars")[:5]
    ((0.0, 0.05, 0.1), (1.0, 2.0, 5.0, 10.0, 20.0))
    """
    if name.endswith(("_share", "_ratio")):
        return _SHARES
    return _RATES if name.endswith("_rate") else _SIZES
