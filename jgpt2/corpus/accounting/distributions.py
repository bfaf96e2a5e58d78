"""Small charts of lengths and scores for the report: kept above the axis, left out below it.

The counts come from `accounting.histograms`; the thresholds of the recipe are drawn into them.
"""

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from jgpt2 import drawing, html
from jgpt2.corpus.accounting import terms

PARTS = ("通過 chosen", "除外 left out")
_MAX_TICKS = 5

Filters = Mapping[str, Mapping[str, float]]
"""Kind of record -> threshold -> value, as in a recipe."""


def blocks(histograms: Mapping[str, Any], filters: Filters) -> list[html.Markup]:
    """The charts of all scores: those with a threshold, then the others folded away.

    A score whose documents all lie in one bin is named in words; one without any is left away.
    """
    bounded: list[html.Markup] = []
    others: list[html.Markup] = []
    alike: list[str] = []
    for name, found in histograms.items():
        edges, counts = found["edges"], (found["chosen"], found["left_out"])
        used = [index for index, pair in enumerate(zip(*counts, strict=True)) if any(pair)]
        limits = limits_of(name, filters)
        if len(used) == 1:
            alike.append(f"{_title(name)}: {_bin(edges, used[0])}")
        elif used:
            chart = _chart(name, edges, counts, used, limits)
            (bounded if limits else others).append(chart)
    made = [html.legend(PARTS)] if bounded or others else []
    if bounded:
        made.append(html.multiples(bounded))
    if others:
        summary = f"しきい値のない指標 {len(others)} 個 Scores without a threshold"
        made.append(html.details(summary, html.multiples(others), is_open=not bounded))
    if alike:
        lines = (html.element("li", line) for line in alike)
        summary = (
            f"すべての文書が一つの区間にある指標 {len(alike)} 個 Scores with all documents alike"
        )
        made.append(html.details(summary, html.element("ul", *lines)))
    return made


def limits_of(name: str, filters: Filters) -> dict[tuple[str, float], list[str]]:
    """(threshold, value) -> kinds of record it holds for, of the thresholds on one score."""
    found: dict[tuple[str, float], list[str]] = {}
    for rule in (f"min_{name}", f"max_{name}"):
        for kind in sorted(filters):
            if (value := filters[kind].get(rule)) is not None:
                found.setdefault((rule, value), []).append(kind)
    return found


def number(value: float) -> str:
    """A score or threshold as it is shown: at most four decimals, thousands in groups.

    >>> number(0.25), number(1234567.0), number(1 / 3)
    ('0.25', '1,234,567', '0.3333')
    """
    shown = f"{value:,.4f}"
    return shown.rstrip("0").rstrip(".")


def _chart(
    name: str,
    edges: Sequence[float],
    counts: tuple[Sequence[int], Sequence[int]],
    used: Sequence[int],
    limits: Mapping[tuple[str, float], Sequence[str]],
) -> html.Markup:
    """The chart of the bins in use and of those up to the thresholds."""
    places = {rule_value: _place(edges, rule_value[1]) for rule_value in limits}
    spots = [min(int(place), len(edges) - 2) for place in places.values()]
    low, high = min([*used, *spots]), max([*used, *spots]) + 1
    chosen, left_out = (list(part[low:high]) for part in counts)
    titles = [
        f"{_bin(edges, low + index)}: {PARTS[0]} {above:,}、{PARTS[1]} {below:,}"
        for index, (above, below) in enumerate(zip(chosen, left_out, strict=True))
    ]
    drawn = [
        drawing.Limit(place - low, refuses_higher=rule.startswith("max_"))
        for (rule, _), place in places.items()
    ]
    notes = [
        f"{'上限' if rule.startswith('max_') else '下限'} {number(value)}({'・'.join(kinds)})"
        for (rule, value), kinds in limits.items()
    ]
    return html.histogram(
        drawing.bars(chosen, left_out, limits=drawn, titles=titles),
        title=_title(name),
        label=f"{PARTS[0]} {sum(chosen):,}、{PARTS[1]} {sum(left_out):,}",
        ticks=_ticks(edges, low, high),
        note="、".join(notes),
    )


def _title(name: str) -> str:
    japanese = terms.score(name)
    return name if japanese == name else f"{japanese} {name}"


def _place(edges: Sequence[float], value: float) -> float:
    """Where a value lies on the axis, in bins from the first edge; what is beyond is at the end."""
    if value <= edges[0]:
        return 0.0
    if value >= edges[-1]:
        return len(edges) - 1.0
    left = bisect.bisect_right(edges, value) - 1
    return left + (value - edges[left]) / (edges[left + 1] - edges[left])


def _is_even(edges: Sequence[float]) -> bool:
    return abs((edges[-1] - edges[-2]) - (edges[1] - edges[0])) < 1e-9


def _bin(edges: Sequence[float], index: int) -> str:
    """The values of a bin; what lies beyond an end counts in the first or the last."""
    if index == 0:
        return f"{number(edges[1])} 未満"
    if index == len(edges) - 2:
        return f"{number(edges[-2])} 以上"
    return f"{number(edges[index])}–{number(edges[index + 1])}"


def _ticks(edges: Sequence[float], low: int, high: int) -> list[tuple[float, str]]:
    """Round numbers below the bins from `low` to `high`: few enough to stand side by side."""
    places = list(range(low, high + 1))
    powers = [place for place in places if f"{edges[place]:e}".startswith("1.000000e")]
    if not _is_even(edges) and len(powers) > 1:
        shown = powers[:: 1 + len(powers) // (_MAX_TICKS + 1)]
    else:
        step = next(step for step in (1, 2, 4, 5, 10) if len(places) <= step * (_MAX_TICKS - 1) + 1)
        shown = [place for place in places if place % step == 0]
    return [((place - low) / (high - low), _tick(edges, place)) for place in shown]


def _tick(edges: Sequence[float], place: int) -> str:
    """The number at an edge; the first bin reaches down to 0."""
    value = 0.0 if place == 0 else edges[place]
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"
