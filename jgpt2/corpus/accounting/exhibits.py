"""Texts shown in the report: documents kept, documents left out and why, near-duplicates, losses.

All of it is from the web: it is escaped, cut to a length, and kept from turning the direction of
what stands beside it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jgpt2 import html
from jgpt2.corpus.accounting import distributions, terms

_FIRST = 4
"""Kept documents in sight; the others unfold."""


def short(text: str, limit: int = 60) -> str:
    """The text in one line; of a longer one the beginning and the end.

    >>> short("https://example.jp/" + "記事/" * 30, limit=30)
    'https://example.jp/…/記事/記事/記事/'
    """
    line = " ".join(text[: 4 * limit].split()) if len(text) <= 4 * limit else text
    if len(line) <= limit:
        return line
    tail = limit // 3
    return " ".join(f"{line[: limit - tail - 1]}…{line[-tail:]}".split())


def aside(text: str, limit: int = 60) -> html.Markup:
    """Text of the web within a sentence: cut, and turned within itself alone."""
    return html.element("bdi", short(text, limit))


def kept(samples: Sequence[Mapping[str, Any]]) -> list[html.Markup]:
    """Some documents of the dataset."""
    shown = [_excerpt(sample) for sample in samples]
    rest = shown[_FIRST:]
    folded = html.details(f"ほか {len(rest)} 件 {len(rest)} more", html.beside(*rest))
    return [html.beside(*shown[:_FIRST])] * bool(shown) + [folded] * bool(rest)


def left_out(
    samples: Sequence[Mapping[str, Any]],
    stages: Mapping[str, Any],
    filters: distributions.Filters,
) -> list[html.Markup]:
    """Some documents that a licence or a threshold refused, by first reason, the most first."""

    def group(sample: Mapping[str, Any]) -> tuple[str, str]:
        return sample["stage"], sample["reasons"][0] if sample["stage"] == "filter" else ""

    made: list[tuple[int, html.Markup]] = []
    for (stage, reason), members in groupby(sorted(samples, key=group), key=group):
        drops = stages.get(stage, {"drops": {}})["drops"]
        names = [reason] if reason else list(drops)
        count = sum(drops[name]["documents"] for name in names if name in drops)
        title = f"{terms.reason(reason)} {short(reason)}" if reason else terms.stage(stage)
        shown = [_excerpt(sample, *_why(sample, filters)) for sample in members]
        summary = f"{title}: {count:,} 件(例 {len(shown)})"
        made.append((-count, html.details(summary, html.beside(*shown))))
    return [block for _, block in sorted(made, key=lambda pair: pair[0])]


def clusters(found: Sequence[Sequence[Mapping[str, Any]]], *, are_kept: bool) -> list[html.Markup]:
    """Members of the largest clusters beside each other, the kept one first.

    With `are_kept` the others are in the dataset too.
    """
    made = []
    for number, members in enumerate(filter(None, found), 1):
        labels = ["採用 kept"] + ["採用 kept" if are_kept else "除外 left out"] * len(members)
        shown = [
            _excerpt(member, html.element("strong", label))
            for member, label in zip(members, labels, strict=False)
        ]
        title = members[0]["title"] or members[0]["id"]
        summary = html.join([f"{number}. ", aside(title)])
        made.append(html.details(summary, html.beside(*shown), is_open=number == 1))
    return made


def losses(found: Sequence[Mapping[str, str]]) -> html.Markup:
    """What is known of some records that could not be read."""
    rows = [
        [
            html.join([terms.reason(loss["reason"]), " ", aside(loss["reason"])]),
            html.join([aside(loss["where"], 160), " ", aside(loss["detail"], 400)]),
        ]
        for loss in found
    ]
    caption = f"読めなかった記録の例 {len(rows)} 件 Records that could not be read"
    return html.table(["理由 reason", "場所と詳細 particulars"], rows, caption=caption)


def _excerpt(sample: Mapping[str, Any], *lines: html.Markup) -> html.Markup:
    """The beginning of a document above where it is from."""
    text, num_chars = sample["excerpt"], sample["num_chars"]
    origin = [aside(sample[name], 80) for name in ("title", "source", "license") if sample[name]]
    about = [*origin, html.escape(f"{num_chars:,} 字 characters")]
    parts = [*lines, _join(about), *([aside(sample["url"], 100)] if sample["url"] else [])]
    caption = html.join(html.element("div", part) for part in parts)
    return html.excerpt(text + "…" * (len(text) < num_chars), caption)


def _join(parts: Sequence[html.Markup]) -> html.Markup:
    return html.join([parts[0], *(word for part in parts[1:] for word in (" · ", part))])


def _why(sample: Mapping[str, Any], filters: distributions.Filters) -> list[html.Markup]:
    """For each rule that a document broke, its value and the threshold.

    Of a document whose kind is not told, the thresholds of all kinds that it breaks.
    """
    kind = sample.get("kind", "")
    in_force = {kind: filters[kind]} if kind in filters else filters
    return [
        html.element("div", _broken(reason, sample["scores"], in_force))
        for reason in sample["reasons"]
    ]


def _broken(
    reason: str, scores: Mapping[str, float], filters: distributions.Filters
) -> html.Markup:
    """A rule, the value that broke it, and the thresholds of it that the value breaks."""
    bound = terms.bound(reason)
    value = scores.get(bound[0]) if bound else None
    if bound is None or value is None:
        japanese = terms.reason(reason)
        return html.join([f"{japanese}: " if japanese else "", aside(reason)])
    limits = {limits[reason] for limits in filters.values() if reason in limits}
    broken = sorted(limit for limit in limits if (value > limit if bound[1] else value < limit))
    sign = ">" if bound[1] else "<"
    shown = [distributions.number(limit) for limit in broken]
    number = distributions.number(value)
    if number in shown:  # apart by less than is shown
        number = repr(value)
    told = f"{number} {sign} {' / '.join(shown)}" if shown else number
    return html.join([f"{bound[0]} ", html.element("strong", told)])
