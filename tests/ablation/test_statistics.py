import itertools

import numpy as np
import pytest
from scipy import stats

from jgpt2.ablation import statistics
from jgpt2.errors import InputError

STUDIES, ARMS, DOCUMENTS = 200, 4, 100
PAIRS = list(itertools.combinations(range(ARMS), 2))
# At a familywise error of 5%, more than this many of 200 studies happen once in a thousand times.
MOST_ALARMS = int(stats.binom.ppf(0.999, STUDIES, 0.05))


def study(rng, *, seeds, shift=0.0):
    """Arms whose documents have shared and own effects, and whose seeds have effects as large."""
    num_bytes = np.exp(rng.normal(7.5, 1.0, DOCUMENTS)).astype(np.int64) + 50
    shared = rng.normal(2.0, 0.4, DOCUMENTS)
    arms = []
    for arm in range(ARMS):
        own = rng.normal(0, 0.05, DOCUMENTS)
        of_seed = rng.normal(0, 0.03, (seeds, 1)) + rng.normal(0, 0.03, (seeds, DOCUMENTS))
        rates = shared + own + of_seed + (shift if arm == 0 else 0)
        arms.append(statistics.Scores(rates * num_bytes, num_bytes))
    return arms


def judged(arms, seeds=None):
    seeds = seeds or statistics.spread(arms)
    pairs = {
        (str(a), str(b)): statistics.compare(arms[a], arms[b], seeds, resamples=300)
        for a, b in PAIRS
    }
    return statistics.verdicts(pairs)


def alarms(seeds, verdicts=judged):
    count = 0
    for number in range(STUDIES):
        found = verdicts(study(np.random.default_rng(number), seeds=seeds))
        count += any(one.verdict != "tie" for one in found.values())
    return count


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_arms_without_a_difference_tie_at_the_stated_rate(seeds):
    assert alarms(seeds) <= MOST_ALARMS


def test_shuffled_labels_tie_at_the_stated_rate():
    """Seeds of two truly different arms, dealt out at random: what is left is no difference."""
    count = 0
    for number in range(STUDIES):
        rng = np.random.default_rng([7, number])
        arms = study(rng, seeds=3)
        runs = np.concatenate([arms[0].bits, arms[1].bits])[rng.permutation(6)]
        first, second = (statistics.Scores(half, arms[0].num_bytes) for half in np.split(runs, 2))
        seeds = statistics.spread([first, second])
        found = statistics.compare(first, second, seeds, resamples=300)
        count += statistics.verdicts({("a", "b"): found})["a", "b"].verdict != "tie"
    assert count <= MOST_ALARMS


def test_without_the_seeds_the_rate_would_be_far_off():
    """The test above can fail: intervals over documents alone take a lucky seed for a finding."""

    def naive(arms):
        return judged(arms, statistics.Spread(0.0, 1))

    assert alarms(3, naive) > 2 * MOST_ALARMS


def test_a_difference_of_many_errors_is_found():
    found = 0
    for number in range(STUDIES):
        rng = np.random.default_rng([1, number])
        verdicts = judged(study(rng, seeds=3, shift=0.3))
        of_first = [one.verdict for (a, _), one in verdicts.items() if a == "0"]
        found += of_first == ["worse"] * (ARMS - 1)
    assert found >= 0.95 * STUDIES


def test_the_interval_covers_the_difference_as_often_as_it_says():
    covered = 0
    for number in range(STUDIES):
        arms = study(np.random.default_rng([2, number]), seeds=3)
        found = statistics.compare(arms[0], arms[1], statistics.spread(arms), resamples=300)
        covered += found.low <= 0 <= found.high
    assert covered >= STUDIES - MOST_ALARMS


def test_seeds_are_pooled_over_arms():
    num_bytes = np.array([100])
    arms = [
        statistics.Scores(np.array([[90.0], [110.0]]), num_bytes),
        statistics.Scores(np.array([[300.0], [300.0]]), num_bytes),
        statistics.Scores(np.array([[500.0]]), num_bytes),
    ]
    assert statistics.spread(arms) == statistics.Spread(pytest.approx(0.02 / 2), 2)


def test_sums_over_sums():
    scores = statistics.Scores(np.array([[10.0, 900.0], [20.0, 700.0]]), np.array([10, 300]))
    assert scores.bits_per_byte == pytest.approx((910 + 720) / 2 / 310)
    assert scores.by_seed == pytest.approx([910 / 310, 720 / 310])


def test_an_arm_beside_itself_is_a_tie():
    arms = study(np.random.default_rng(0), seeds=3)
    found = statistics.compare(arms[0], arms[0], statistics.spread(arms))
    assert found.difference == 0 and found.low <= 0 <= found.high
    assert statistics.verdicts({("a", "a"): found})["a", "a"].verdict == "tie"


def test_sides_are_told_apart():
    arms = study(np.random.default_rng(0), seeds=3, shift=0.5)
    seeds = statistics.spread(arms)
    forth, back = (statistics.compare(arms[a], arms[b], seeds) for a, b in ((0, 1), (1, 0)))
    assert forth.difference == -back.difference > 0
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert statistics.verdicts({("x", "y"): forth})["x", "y"].verdict == "worse"
    assert statistics.verdicts({("x", "y"): back})["x", "y"].verdict == "better"


def test_one_seed_gives_no_verdict():
    arms = study(np.random.default_rng(0), seeds=1, shift=0.5)
    found = statistics.compare(arms[0], arms[1], statistics.spread(arms))
    assert found.p is None and found.low is None
    pair = study(np.random.default_rng(1), seeds=2)[:2]
    known = statistics.compare(*pair, statistics.spread(pair))
    judgements = statistics.verdicts({("a", "b"): found, ("c", "d"): known})
    assert judgements["a", "b"] == statistics.Judgement(None, "unknown")
    assert judgements["c", "d"].p_holm == known.p  # a family of one


def test_other_documents_are_refused():
    arms = study(np.random.default_rng(0), seeds=2)
    fewer = statistics.Scores(arms[1].bits[:, 1:], arms[1].num_bytes[1:])
    with pytest.raises(InputError, match="100 documents and another on 99"):
        statistics.compare(arms[0], fewer, statistics.spread(arms))
    num_bytes = arms[1].num_bytes.copy()
    num_bytes[3] += 1
    with pytest.raises(InputError, match="document 3 has"):
        statistics.compare(
            arms[0], statistics.Scores(arms[1].bits, num_bytes), statistics.spread(arms)
        )
