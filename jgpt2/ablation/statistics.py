"""How sure a difference is: paired over documents, with the seeds as the outer level.

Bits per byte are sums over sums. Documents are resampled (the same for both arms); seeds are too
few for that, three have ten resamples, so they enter by their variance, pooled over the arms of a
body, and Student's t.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from jgpt2.errors import InputError

RESAMPLES = 2000
_SEED = 0
Verdict = Literal["better", "worse", "tie", "unknown"]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the documents cost under one arm, trained with several seeds."""

    bits: Float[np.ndarray, "seeds documents"]
    num_bytes: Int[np.ndarray, " documents"]
    """UTF-8 bytes of each document."""

    @property
    def num_seeds(self) -> int:
        """Runs of the arm."""
        return len(self.bits)

    @property
    def by_seed(self) -> Float[np.ndarray, " seeds"]:
        """Bits per byte of each run."""
        return self.bits.sum(axis=1) / self.num_bytes.sum()

    @property
    def bits_per_byte(self) -> float:
        """Of all runs together."""
        return float(self.by_seed.mean())


@dataclass(frozen=True)
class Spread:
    """How far seeds move one run, pooled over arms that are taken to be moved alike."""

    variance: float
    """Of the bits per byte of one run; NaN where no arm has two seeds."""
    degrees: int
    """Degrees of freedom: seeds less arms."""


@dataclass(frozen=True)
class Comparison:
    """Bits per byte of one arm less those of another."""

    difference: float
    low: float | None
    high: float | None
    """The interval at the level asked for, uncorrected; None where no arm has two seeds."""
    standard_error: float | None
    degrees_of_freedom: float | None
    p: float | None
    """Two-sided; None where no arm has two seeds: what they do is unknown."""


@dataclass(frozen=True)
class Judgement:
    """A comparison among others."""

    p_holm: float | None
    verdict: Verdict
    """The first arm beside the second; fewer bits are better."""


def spread(arms: Sequence[Scores]) -> Spread:
    """What the seeds do to a run, from the differences between the runs of each arm."""
    degrees = sum(arm.num_seeds - 1 for arm in arms)
    squares = sum(float(((arm.by_seed - arm.bits_per_byte) ** 2).sum()) for arm in arms)
    return Spread(squares / degrees if degrees else math.nan, degrees)


def compare(
    a: Scores, b: Scores, seeds: Spread, *, level: float = 0.95, resamples: int = RESAMPLES
) -> Comparison:
    """The difference a - b in bits per byte.

    The standard error adds up the variance over resampled documents, of bits averaged over seeds,
    and what seeds do to the mean of either arm; the first holds some of the second, which errs on
    the safe side. Degrees of freedom by Welch and Satterthwaite. Raises InputError when the arms
    were not measured on the same documents.
    """
    _require_same_documents(a, b)
    between = a.bits.mean(axis=0) - b.bits.mean(axis=0)
    runs = 1 / a.num_seeds + 1 / b.num_seeds
    return _judged(between, a.num_bytes, seeds.variance * runs, seeds.degrees, level, resamples)


def interval(
    scores: Scores, seeds: Spread, *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Of the bits per byte of one arm, over documents and seeds; None where no arm has two."""
    mean, variance = scores.bits.mean(axis=0), seeds.variance / scores.num_seeds
    found = _judged(mean, scores.num_bytes, variance, seeds.degrees, level, RESAMPLES)
    return found.low, found.high


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order (Holm 1979: step-down, the m-th smallest times n - m).

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def verdicts(
    pairs: Mapping[tuple[str, str], Comparison], *, level: float = 0.95
) -> dict[tuple[str, str], Judgement]:
    """What all comparisons of a family say, corrected together; of (a, b), a beside b."""
    known = {pair: found.p for pair, found in pairs.items() if found.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    judged = {}
    for pair, found in pairs.items():
        p = adjusted.get(pair)
        verdict: Verdict = "unknown"
        if p is not None and p >= 1 - level:
            verdict = "tie"
        elif p is not None:
            verdict = "better" if found.difference < 0 else "worse"
        judged[pair] = Judgement(p, verdict)
    return judged


@functools.lru_cache(maxsize=8)
def resample(num_documents: int, resamples: int) -> Int[np.ndarray, "resamples documents"]:
    """How often each document is drawn in each resample; the same for all arms of a study."""
    shares = np.full(num_documents, 1 / num_documents)
    return np.random.default_rng(_SEED).multinomial(num_documents, shares, size=resamples)


def _judged(
    bits: Float[np.ndarray, " documents"],
    num_bytes: Int[np.ndarray, " documents"],
    of_seeds: float,
    seed_degrees: int,
    level: float,
    resamples: int,
) -> Comparison:
    drawn = resample(len(num_bytes), resamples)
    of_documents = float(np.var((drawn @ bits) / (drawn @ num_bytes), ddof=1))
    variances = [(len(num_bytes) - 1, of_documents), (seed_degrees, of_seeds)]
    difference = float(bits.sum() / num_bytes.sum())
    variance = sum(part for _, part in variances)
    if math.isnan(variance):
        return Comparison(difference, None, None, None, None, None)
    if variance == 0:  # a model beside itself
        p = 1.0 if difference == 0 else 0.0
        return Comparison(difference, difference, difference, 0.0, None, p)
    error = math.sqrt(variance)
    freedom = variance**2 / sum(part**2 / degrees for degrees, part in variances if degrees)
    student = stats.t(freedom)
    reach = float(student.ppf((1 + level) / 2)) * error
    p = float(2 * student.sf(abs(difference) / error))
    return Comparison(difference, difference - reach, difference + reach, error, freedom, p)


def _require_same_documents(a: Scores, b: Scores) -> None:
    if len(a.num_bytes) != len(b.num_bytes):
        raise InputError(
            f"one arm was measured on {len(a.num_bytes)} documents and another on "
            f"{len(b.num_bytes)}; measure both on the same ones."
        )
    differing = np.flatnonzero(a.num_bytes != b.num_bytes)
    if len(differing):
        first = differing[0]
        raise InputError(
            f"document {first} has {a.num_bytes[first]} bytes for one arm and "
            f"{b.num_bytes[first]} for another; measure both on the same documents."
        )
