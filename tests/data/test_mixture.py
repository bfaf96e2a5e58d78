"""Several datasets as one text: the shares, and that rows are spread evenly and found at once."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.data import loader, mixture, tokens
from jgpt2.errors import InputError

CONTEXT = 7
SHARES = st.lists(st.integers(1, 10**6), min_size=1, max_size=12).map(
    lambda weights: [Fraction(weight, sum(weights)) for weight in weights]
)
ROWS = st.integers(0, 10**15)
Streams = Callable[..., tokens.Tokens]


@pytest.fixture
def stream_of(tmp_path: Path) -> Streams:
    """stream_of(first, num_tokens, num_bytes): the ids from `first` on, so each tells its place."""

    def made(first: int, num_tokens: int, num_bytes: int) -> tokens.Tokens:
        path = tmp_path / f"{first}.tokens"
        np.arange(first, first + num_tokens, dtype="<u2").tofile(path)
        return tokens.Tokens((path,), np.dtype("<u2"), num_tokens, 1, num_bytes, num_bytes)

    return made


@pytest.fixture
def mixed(stream_of: Streams) -> mixture.Mixture:
    """Half of the bytes each; at 3, 2 and 1 bytes per token that is 2, 3 and 6 of 11 rows."""
    return mixture.Mixture(
        (
            mixture.Part("books", stream_of(0, 1000, 3000), 0.2),
            mixture.Part("code", stream_of(10_000, 500, 1000), 0.2),
            mixture.Part("web", stream_of(20_000, 2000, 2000), 0.2),
        )
    )


def error(shares: list[Fraction], num_rows: int) -> Fraction:
    """How far the rows of any source are from their share."""
    counts = mixture.Interleaving(shares).counts(num_rows)
    assert sum(counts) == num_rows
    return max(abs(count - share * num_rows) for count, share in zip(counts, shares, strict=True))


@given(SHARES, ROWS)
def test_every_prefix_has_the_shares(shares: list[Fraction], num_rows: int):
    bound = {1: Fraction(0), 2: Fraction(1, 2)}.get(len(shares), Fraction(168, 100))
    assert error(shares, num_rows) <= bound


@pytest.mark.parametrize("num_sources", [3, 8, 9, 64, 100])
@pytest.mark.parametrize("make", [lambda i: 1, lambda i: i + 1, lambda i: 2 ** (i % 40)])
def test_every_prefix_of_many_sources_has_the_shares(num_sources: int, make: Callable):
    weights = [make(i) for i in range(num_sources)]
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    assert max(error(shares, num_rows) for num_rows in range(300)) <= Fraction(168, 100)


@given(SHARES, ROWS)
def test_a_row_is_the_next_of_the_source_whose_count_rises(shares: list[Fraction], start: int):
    interleaving = mixture.Interleaving(shares)
    for row in range(start, start + 20):
        source, earlier = interleaving.place(row)
        before, after = interleaving.counts(row), interleaving.counts(row + 1)
        assert earlier == before[source]
        rises = [later - sooner for sooner, later in zip(before, after, strict=True)]
        assert rises == [int(each == source) for each in range(len(shares))]


def test_the_interleaving_is_the_same_in_every_version():
    # Frozen: another one would part a resumed run from its beginning.
    shares = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
    interleaving = mixture.Interleaving(shares)
    found = [interleaving.place(row) for row in range(8)]
    assert found == [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (0, 3), (1, 2)]


def test_a_weight_is_a_share_of_bytes(mixed: mixture.Mixture):
    assert mixed.byte_shares == (Fraction(1, 3),) * 3
    assert mixed.row_shares == (Fraction(2, 11), Fraction(3, 11), Fraction(6, 11))
    assert mixed.bytes_per_token == float(Fraction(18, 11))  # 2/11 x 3 + 3/11 x 2 + 6/11 x 1
    facts = mixed.describe(num_rows=1100, context=CONTEXT)
    num_bytes = [facts[part.name]["rows"] * CONTEXT * part.bytes_per_token for part in mixed.parts]
    assert num_bytes == [600 * CONTEXT] * 3


@given(
    weights=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=5),
    densities=st.lists(st.integers(1, 60_000), min_size=5, max_size=5),
)
def test_bytes_are_shared_by_weight_whatever_the_tokens_hold(
    weights: list[float], densities: list[int]
):
    parts = tuple(
        mixture.Part(str(i), tokens.Tokens((), np.dtype("<u2"), 10_000, 1, density, 1), weight)
        for i, (weight, density) in enumerate(zip(weights, densities, strict=False))
    )
    made = mixture.Mixture(parts)
    assert sum(made.row_shares) == 1
    num_bytes = [
        share * part.bytes_per_token for part, share in zip(parts, made.row_shares, strict=True)
    ]
    assert made.bytes_per_token == float(sum(num_bytes))
    exact = [Fraction(str(weight)) for weight in weights]
    assert [part / sum(num_bytes) for part in num_bytes] == [one / sum(exact) for one in exact]


def test_epochs_tell_how_often_a_dataset_is_read(mixed: mixture.Mixture):
    facts = mixed.describe(num_rows=1100, context=CONTEXT)
    assert list(facts) == ["books", "code", "web"]
    # 999 // 7, 499 // 7 and 1999 // 7 windows
    assert [fact["epochs"] for fact in facts.values()] == [
        round(200 / 142, 4),
        round(300 / 71, 4),
        round(600 / 285, 4),
    ]
    alone = mixture.alone(mixed.parts[0].stream, "books")
    assert alone.describe(num_rows=284, context=CONTEXT) == {
        "books": {"byte_share": 1.0, "row_share": 1.0, "rows": 284, "epochs": 2.0}
    }


def test_every_dataset_has_the_order_that_it_has_alone(mixed: mixture.Mixture):
    settings = {"context": CONTEXT, "seed": 5}
    rows = loader.batch(mixed, **settings, sequences=1100, step=0)
    for part, count in zip(mixed.parts, (200, 300, 600), strict=True):
        first = int(part.stream.window(0, 1)[0])
        own = rows[(first <= rows[:, 0]) & (rows[:, 0] < first + part.stream.num_tokens)]
        alone = mixture.Mixture((mixture.Part("x", part.stream, 0.3),))
        assert np.array_equal(own, loader.batch(alone, **settings, sequences=count, step=0))
    assert (np.diff(rows, axis=1) == 1).all()  # no row crosses from one dataset into another


@pytest.mark.parametrize("cuts", [(0, 6), (0, 3, 6), (0, 1, 2, 5, 6), (0, 0, 6)])
def test_any_share_of_the_rows_is_part_of_the_same_batch(mixed: mixture.Mixture, cuts: tuple):
    settings = {"context": CONTEXT, "sequences": 6, "seed": 1, "step": 10**12}
    parts = [
        loader.batch(mixed, **settings, rows=slice(start, stop))
        for start, stop in itertools.pairwise(cuts)
    ]
    assert np.array_equal(np.concatenate(parts), loader.batch(mixed, **settings))


def test_starting_at_a_step_equals_skipping_to_it(mixed: mixture.Mixture):
    settings = {"context": CONTEXT, "sequences": 5, "seed": 1}
    skipped = list(itertools.islice(loader.batches(mixed, **settings, first_step=0), 12))[7:]
    resumed = loader.batches(mixed, **settings, first_step=7)
    for (step, rows), (found_step, found) in zip(skipped, resumed, strict=False):
        assert found_step == step
        assert np.array_equal(found, rows)


def test_weights_in_another_unit_are_the_same_mixture(stream_of: Streams):
    streams = stream_of(0, 100, 310), stream_of(1000, 100, 170)
    batches = [
        loader.batch(
            mixture.Mixture(
                tuple(mixture.Part("x", *pair) for pair in zip(streams, weights, strict=True))
            ),
            context=CONTEXT,
            sequences=100,
            seed=0,
            step=3,
        )
        for weights in ((0.1, 0.2), (1, 2), (50, 100.0), (0.2, 0.1))
    ]
    assert np.array_equal(batches[0], batches[1])
    assert np.array_equal(batches[0], batches[2])
    assert not np.array_equal(batches[0], batches[3])


def test_a_dataset_that_cannot_take_part_is_refused_by_name(stream_of: Streams):
    whole = mixture.Part("books", stream_of(0, 100, 100))
    short = mixture.Part("poems", stream_of(1000, 7, 7))
    with pytest.raises(InputError) as refused:
        mixture.check(mixture.Mixture((whole, short)), context=7)
    assert str(refused.value) == (
        "the train split of poems has 7 tokens, but one row takes context + 1 = 8; lower "
        "model.context to 6 or less, or add text."
    )
    empty = mixture.Part("blank", stream_of(2000, 100, 0))
    with pytest.raises(InputError) as refused:
        mixture.check(mixture.Mixture((whole, empty)), context=7)
    assert str(refused.value) == (
        "all training documents of blank are empty, so it has no share of the bytes; leave it out "
        "of the mixture."
    )
    mixture.check(mixture.Mixture((empty,)), context=7)
    assert mixture.Mixture((empty,)).row_shares == (1,)
