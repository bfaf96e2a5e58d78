import itertools
import threading

import numpy as np
import pytest

from jgpt2.data import loader, mixture, tokens
from jgpt2.errors import InputError

CONTEXT, SEQUENCES = 16, 6


def test_every_epoch_is_a_permutation():
    for num_windows in (1, 2, 7, 100):
        order = loader.Order(num_windows, seed=3)
        for epoch in range(3):
            found = order.windows(range(epoch * num_windows, (epoch + 1) * num_windows))
            assert sorted(found.tolist()) == list(range(num_windows))


def test_epochs_and_seeds_differ():
    found = [
        tuple(loader.Order(100, seed).windows(range(start, start + 100)).tolist())
        for seed in (0, 1, 2)
        for start in (0, 100, 200)
    ]
    assert len(set(found)) == len(found)
    assert tuple(range(100)) not in found


def test_a_row_depends_on_seed_and_index_alone():
    whole = loader.Order(37, seed=5).windows(range(200))
    for start, stop in ((0, 1), (36, 38), (150, 200)):
        assert np.array_equal(
            loader.Order(37, seed=5).windows(range(start, stop)), whole[start:stop]
        )


def test_the_order_is_the_same_in_every_version():
    # Frozen: another order under the same seed would part a resumed run from its beginning.
    found = loader.Order(10, seed=0).windows(range(20)).tolist()
    assert found == [1, 2, 4, 5, 9, 7, 8, 6, 0, 3, 9, 6, 1, 8, 2, 0, 3, 5, 4, 7]


def test_an_epoch_predicts_every_token_once(text: mixture.Mixture, stream: tokens.Tokens):
    num_windows = (stream.num_tokens - 1) // CONTEXT
    rows = loader.batch(text, context=CONTEXT, sequences=num_windows, seed=0, step=0)
    flat = stream.window(0, num_windows * CONTEXT + 1)
    assert sorted(map(bytes, rows)) == sorted(
        bytes(flat[start : start + CONTEXT + 1]) for start in range(0, len(flat) - 1, CONTEXT)
    )


@pytest.mark.parametrize("cuts", [(0, 6), (0, 3, 6), (0, 1, 2, 5, 6)])
def test_any_share_of_the_rows_is_part_of_the_same_batch(text: mixture.Mixture, cuts: tuple):
    settings = {"context": CONTEXT, "sequences": SEQUENCES, "seed": 1, "step": 1000}
    whole = loader.batch(text, **settings)
    parts = [
        loader.batch(text, **settings, rows=slice(start, stop))
        for start, stop in itertools.pairwise(cuts)
    ]
    assert whole.shape == (SEQUENCES, CONTEXT + 1)
    assert whole.dtype == np.int32
    assert np.array_equal(np.concatenate(parts), whole)


def test_starting_at_a_step_equals_skipping_to_it(text: mixture.Mixture):
    settings = {"context": CONTEXT, "sequences": SEQUENCES, "seed": 1}
    run = loader.batches(text, **settings, first_step=0)
    skipped = [next(run) for _ in range(12)][7:]
    resumed = loader.batches(text, **settings, first_step=7)
    for step, rows in skipped:
        found_step, found = next(resumed)
        assert found_step == step
        assert np.array_equal(found, rows)
        assert np.array_equal(found, loader.batch(text, **settings, step=step))
    late = loader.batches(text, **settings, first_step=10**12)
    assert next(late)[0] == 10**12


def test_given_rows_alone_are_made(text: mixture.Mixture):
    settings = {"context": CONTEXT, "sequences": SEQUENCES, "seed": 1}
    part = loader.batches(text, **settings, first_step=3, rows=slice(2, 4))
    step, rows = next(part)
    assert np.array_equal(rows, loader.batch(text, **settings, step=step)[2:4])


def test_the_rows_of_a_dataset_alone_are_the_windows_of_its_order(
    text: mixture.Mixture, stream: tokens.Tokens
):
    order = loader.Order((stream.num_tokens - 1) // CONTEXT, seed=1)
    starts = order.windows(range(3 * SEQUENCES, 4 * SEQUENCES)) * CONTEXT
    found = loader.batch(text, context=CONTEXT, sequences=SEQUENCES, seed=1, step=3)
    assert np.array_equal(found, stream.windows(starts, CONTEXT + 1))


def test_dropping_the_iterator_ends_its_threads(text: mixture.Mixture):
    before = set(threading.enumerate())
    run = loader.batches(text, context=CONTEXT, sequences=2, seed=0, first_step=0)
    next(run)
    its_own = set(threading.enumerate()) - before
    assert its_own
    del run
    for thread in its_own:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_split_shorter_than_a_row_is_refused(text: mixture.Mixture, stream: tokens.Tokens):
    context = stream.num_tokens
    with pytest.raises(InputError, match=f"lower model.context to {context - 1}"):
        loader.batches(text, context=context, sequences=1, seed=0, first_step=0)
    mixture.check(text, context=context - 1)
