import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jgpt2.errors import InputError
from jgpt2.generate.sampling import Sampler, filter_logits, sample

PROBS_V = np.asarray([0.05, 0.4, 0.1, 0.2, 0.25])
LOGITS_1V = jnp.asarray(np.log(PROBS_V)[None], jnp.float32)


def kept(sampler, logits_1V=LOGITS_1V):
    return set(np.flatnonzero(np.isfinite(filter_logits(logits_1V, sampler)[0])).tolist())


def keys(num_rows, seed=0):
    return jax.random.split(jax.random.key(seed), num_rows)


def test_top_k_keeps_the_k_likeliest():
    assert kept(Sampler(top_k=3)) == {1, 4, 3}
    assert kept(Sampler(top_k=5)) == kept(Sampler(top_k=99)) == {0, 1, 2, 3, 4}


def test_top_k_keeps_the_lower_id_among_equals():
    assert kept(Sampler(top_k=2), jnp.zeros((1, 4))) == {0, 1}


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(1e-9, {1}), (0.3, {1}), (0.41, {1, 4}), (0.64, {1, 4}), (0.66, {1, 4, 3})],
)
def test_top_p_keeps_the_token_that_crosses(top_p, expected):
    assert kept(Sampler(top_p=top_p)) == expected


def test_top_p_of_one_keeps_everything():
    assert kept(Sampler(top_p=1.0)) == {0, 1, 2, 3, 4}


def test_top_p_counts_what_top_k_leaves_renormalised():
    # Of the two left, 0.4 / 0.65 = 0.615: enough for 0.6, but 0.4 alone would not have been.
    assert kept(Sampler(top_p=0.6)) == {1, 4}
    assert kept(Sampler(top_k=2, top_p=0.6)) == {1}
    assert kept(Sampler(top_k=2, top_p=0.62)) == {1, 4}


def test_temperature_comes_before_top_p():
    assert kept(Sampler(top_p=0.6)) == {1, 4}
    assert kept(Sampler(top_p=0.6, temperature=0.25)) == {1}
    assert kept(Sampler(top_p=0.6, temperature=4.0)) == {1, 4, 3}


def test_what_stays_is_the_softmax_at_the_temperature():
    filtered_V = jax.nn.softmax(filter_logits(LOGITS_1V, Sampler(top_k=3, temperature=0.5))[0])
    expected_V = np.where(np.isin(np.arange(5), [1, 3, 4]), PROBS_V**2, 0)
    np.testing.assert_allclose(filtered_V, expected_V / expected_V.sum(), rtol=1e-5)


@pytest.mark.parametrize("top_k", [None, 1, 3, 9])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.5, 1.0])
def test_the_likeliest_token_always_stays(top_k, top_p):
    logits_BV = 10 * jax.random.normal(jax.random.key(0), (200, 8))
    for temperature in (0.0, 1e-6, 1.0, 1e6):
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p)
        filtered_BV = np.asarray(filter_logits(logits_BV, sampler))
        best_B = np.asarray(jnp.argmax(logits_BV, axis=-1))
        assert np.all(np.isfinite(filtered_BV[np.arange(200), best_B]))
        assert not np.any(np.isnan(filtered_BV))


@pytest.mark.parametrize(
    "sampler",
    [Sampler(temperature=0), Sampler(top_k=1), Sampler(top_p=1e-6), Sampler(temperature=1e-6)],
)
def test_top_1_is_greedy(sampler):
    logits_BV = jax.random.normal(jax.random.key(1), (20, 50))
    plain_B = sample(logits_BV, keys(20), Sampler())
    assert not np.array_equal(plain_B, jnp.argmax(logits_BV, axis=-1))
    np.testing.assert_array_equal(
        sample(logits_BV, keys(20), sampler), jnp.argmax(logits_BV, axis=-1)
    )


@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(),
        Sampler(temperature=0.6),
        Sampler(top_k=3),
        Sampler(top_p=0.8, temperature=1.5),
        Sampler(top_k=4, top_p=0.9),
    ],
)
def test_draws_follow_the_filtered_softmax(sampler):
    num_draws = 20_000
    expected_V = np.asarray(jax.nn.softmax(filter_logits(LOGITS_1V, sampler)[0]), np.float64)
    draws_B = sample(jnp.tile(LOGITS_1V, (num_draws, 1)), keys(num_draws), sampler)
    counts_V = np.bincount(draws_B, minlength=5)
    assert counts_V[expected_V == 0].sum() == 0
    is_kept_V = expected_V > 0
    expected_V = expected_V[is_kept_V] / expected_V.sum() * num_draws
    assert stats.chisquare(counts_V[is_kept_V], expected_V).pvalue > 0.001


def test_rows_draw_from_their_own_keys():
    logits_BV = jnp.zeros((6, 40))
    for sampler in (Sampler(), Sampler(top_k=30, top_p=0.9)):
        draw = jax.jit(functools.partial(sample, sampler=sampler))
        together_B = draw(logits_BV, keys(6))
        assert len(set(together_B.tolist())) > 1
        alone_B = [int(draw(logits_BV[:1], keys(6)[i : i + 1])[0]) for i in range(6)]
        assert together_B.tolist() == alone_B


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *(
            (
                "temperature",
                value,
                f"temperature={value} is neither 0 nor 1e-06 or more; 0 always takes the likeliest "
                "token, 1 samples from the model as it is.",
            )
            for value in (-0.5, float("nan"), float("inf"), 1e-7)
        ),
        ("top_k", 0, "top_k=0 keeps no token; choose 1 or more, or leave it out to keep all."),
        (
            "top_p",
            0.0,
            "top_p=0.0 is not a probability in (0, 1]; 0.95 is usual, and leaving it out keeps "
            "all tokens.",
        ),
        (
            "top_p",
            1.5,
            "top_p=1.5 is not a probability in (0, 1]; 0.95 is usual, and leaving it out keeps "
            "all tokens.",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(field, value, message):
    with pytest.raises(InputError) as caught:
        Sampler(**{field: value})
    assert str(caught.value) == message
