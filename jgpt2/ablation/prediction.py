"""The best vocabulary of a size that was not trained, extrapolated from those that were.

Of each body a parabola of bits per byte over log2 V has its lowest point at the best vocabulary
V*; over bodies, log2 V* is fitted by a line in the logarithm of their parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jgpt2.ablation import statistics
from jgpt2.errors import InputError

FEWEST_ARMS = 3
FEWEST_BODIES = 3
_ANSWERED = 0.9
"""Share of the resamples that must have a lowest point in every body."""
_POINTS = 33
PUBLISHED = {"small": (7_000, 9_000), "medium": (15_800, 19_500)}
"""Size -> best vocabulary at compute-optimal data by the vocabulary scaling law of Tao et al. 2024
(arXiv:2407.13623), from the coefficients that they released: English SlimPajama, untied
embeddings, 33M to 1.13B non-vocabulary parameters, 4k to 96k ids."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Bits per byte over the size of the vocabulary, of one body."""

    body: str
    body_parameters: int
    """Non-embedding."""
    vocab_sizes: Int[np.ndarray, " arms"]
    bits_per_byte: Float[np.ndarray, " arms"]


@dataclass(frozen=True)
class Vertex:
    """The parabola of one body."""

    log2_vocab: float | None
    """Of its lowest point; None where it has none."""
    coefficients: tuple[float, float, float]
    """Of log2 V to the powers 2, 1 and 0."""
    rms: float
    """Root of the mean square of what is left, in bits per byte."""
    is_inside: bool
    """Whether the lowest point lies within the vocabularies measured."""


def fit(curve: Curve) -> Vertex:
    """The parabola by least squares; InputError for fewer than three vocabularies."""
    if len(set(curve.vocab_sizes.tolist())) < FEWEST_ARMS:
        raise InputError(
            f"the body {curve.body} has {len(set(curve.vocab_sizes.tolist()))} vocabularies, and "
            f"a curve takes {FEWEST_ARMS}; add arms."
        )
    x = np.log2(curve.vocab_sizes)
    coefficients = _parabolas(x, curve.bits_per_byte[None])[0]
    rest = np.polyval(coefficients, x) - curve.bits_per_byte
    lowest = _lowest(coefficients[None])[0]
    is_inside = bool(x.min() <= lowest <= x.max())
    a, b, c = coefficients.tolist()
    found = None if math.isnan(lowest) else float(lowest)
    return Vertex(found, (a, b, c), float(np.sqrt(np.mean(rest**2))), is_inside)


def record(
    curves: Sequence[Curve],
    scores: Sequence[Sequence[statistics.Scores]],
    *,
    targets: Mapping[str, int],
    level: float,
) -> dict[str, Any]:
    """All fits, and for each target its best vocabulary with an interval, or the reason for none.

    `scores` are those of the curves' arms; `targets` maps a size to its body's parameters. Every
    resample draws documents, the same for all arms, and moves each arm by what seeds do.
    """
    fits = [fit(one) if len(one.vocab_sizes) >= FEWEST_ARMS else None for one in curves]
    bodies = [_body(one, found) for one, found in zip(curves, fits, strict=True)]
    reason = _reason(curves, fits)
    if reason is not None:
        return {"bodies": bodies, "targets": {}, "reason": reason}
    vertices = np.array([[found.log2_vocab for found in fits if found is not None]])
    sizes = np.array([one.body_parameters for one in curves])
    replicated = np.stack(
        [
            _lowest(_parabolas(np.log2(one.vocab_sizes), replicates(own)))
            for one, own in zip(curves, scores, strict=True)
        ],
        axis=1,
    )
    answered = ~np.isnan(replicated).any(axis=1)
    found = {}
    for name, parameters in targets.items():
        value = 2 ** _extrapolated(sizes, vertices, parameters)[0]
        low = high = None
        if answered.mean() >= _ANSWERED:
            many = _extrapolated(sizes, replicated[answered], parameters)
            low, high = (2 ** np.quantile(many, [(1 - level) / 2, (1 + level) / 2])).tolist()
        found[name] = {
            "body_parameters": parameters,
            "vocab_size": float(value),
            "low": low,
            "high": high,
            "answered_share": float(answered.mean()),
            "is_extrapolated": not sizes.min() <= parameters <= sizes.max(),
            "factor": parameters / int(sizes.max()),
            "published": PUBLISHED.get(name),
        }
    return {"bodies": bodies, "targets": found, "reason": None}


def replicates(
    scores: Sequence[statistics.Scores],
) -> Float[np.ndarray, "resamples arms"]:
    """Bits per byte of the arms of a body as they could have been.

    Seeds move an arm by a normal error of their pooled variance; where no arm has two seeds it is
    unknown, and all are NaN.
    """
    num_bytes = scores[0].num_bytes
    drawn = statistics.resample(len(num_bytes), statistics.RESAMPLES)
    means = np.stack([one.bits.mean(axis=0) for one in scores], axis=1)
    seeds = statistics.spread(scores).variance
    errors = np.sqrt([seeds / one.num_seeds for one in scores])
    rng = np.random.default_rng([len(scores), len(num_bytes)])
    noise = rng.standard_normal((statistics.RESAMPLES, len(scores)))
    return (drawn @ means) / (drawn @ num_bytes)[:, None] + noise * errors


def _parabolas(
    x: Float[np.ndarray, " arms"], ys: Float[np.ndarray, "curves arms"]
) -> Float[np.ndarray, "curves 3"]:
    return ys @ np.linalg.pinv(np.stack([x**2, x, np.ones_like(x)], axis=1)).T


def _lowest(coefficients: Float[np.ndarray, "curves 3"]) -> Float[np.ndarray, " curves"]:
    """log2 V of the lowest points; NaN where a parabola opens downwards."""
    a, b = coefficients[:, 0], coefficients[:, 1]
    return np.where(a > 0, -b / (2 * np.where(a > 0, a, 1)), np.nan)


def _extrapolated(
    sizes: Int[np.ndarray, " bodies"],
    vertices: Float[np.ndarray, "curves bodies"],
    parameters: int,
) -> Float[np.ndarray, " curves"]:
    """log2 V* at `parameters`, by the line through the bodies' vertices."""
    x = np.log2(sizes)
    line = vertices @ np.linalg.pinv(np.stack([x, np.ones_like(x)], axis=1)).T
    return line @ np.array([math.log2(parameters), 1.0])


def _reason(curves: Sequence[Curve], fits: Sequence[Vertex | None]) -> dict[str, str | int] | None:
    """What keeps the line from being drawn: what there is too little of, and where."""
    if len(curves) < FEWEST_BODIES:
        return {"lacks": "bodies", "found": len(curves)}
    for one, found in zip(curves, fits, strict=True):
        if found is None:
            return {"lacks": "vocabularies", "body": one.body, "found": len(one.vocab_sizes)}
        if found.log2_vocab is None:
            return {"lacks": "valley", "body": one.body}
    return None


def _body(curve: Curve, found: Vertex | None) -> dict[str, Any]:
    """One body for the record, with points of its parabola to draw."""
    row: dict[str, Any] = {"body": curve.body, "body_parameters": curve.body_parameters}
    if found is None:
        return row | {"vocab_size": None, "is_inside": False, "is_convex": False, "fit": None}
    sizes = np.log2(curve.vocab_sizes)
    x = np.linspace(sizes.min(), sizes.max(), _POINTS)
    lowest = found.log2_vocab
    return row | {
        "vocab_size": None if lowest is None else 2**lowest,
        "is_inside": found.is_inside,
        "is_convex": lowest is not None,
        "rms": found.rms,
        "fit": {
            "vocab_sizes": (2**x).tolist(),
            "bits": np.polyval(found.coefficients, x).tolist(),
        },
    }
