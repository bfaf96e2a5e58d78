"""What a search tries, what it leaves out, and what it recommends."""

import dataclasses

import pytest

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import sizes
from jgpt2.plan import page, report, search, topology
from tests.plan.conftest import EXPERIMENT

V5E = topology.parse("v5e-16")


def tried(experiment=EXPERIMENT, where=V5E, vocab_size=1000):
    return search.candidates(experiment, where, vocab_size)


def of_size(model, sequences=128):
    return dataclasses.replace(EXPERIMENT, model=model, batch=config.Batch(sequences=sequences))


def test_the_training_stays_the_same_and_the_best_hope_comes_first():
    found = tried(of_size(sizes.SMALL))
    assert {candidate.experiment.batch.sequences for candidate in found} == {128}
    first = found[0]
    assert (first.fsdp, first.remat, first.rows) == (1, "none", 8)
    assert first.flags == "--mesh.fsdp 1 --model.remat none --batch.accumulation 1"
    assert {candidate.rows for candidate in found} == {8, 4, 2, 1}
    for candidate in found:
        batch = candidate.experiment.batch
        assert batch.sequences == batch.accumulation * candidate.rows * 16


def test_sharding_is_tried_where_copies_leave_no_room():
    assert {candidate.fsdp for candidate in tried(of_size(sizes.SMALL))} == {1, 4}
    assert {candidate.fsdp for candidate in tried(of_size(sizes.XL), vocab_size=50_257)} == {4, 8}
    with pytest.raises(InputError, match="needs 133 GB for weights, moments and gradients"):
        tried(of_size(sizes.MEGATRON_8B), topology.parse("v5e-4"), 50_257)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match=r"batch\.sequences=24 does not divide over 16 devices"):
        tried(of_size(sizes.SMALL, 24))


def outcome(needed, *, room):
    """Forecasts by a rule: rows and what is kept decide memory, everything costs time."""

    def forecast(candidate):
        kept = {"none": 4, "full": 1}.get(candidate.remat, 2)
        fits = candidate.rows * kept <= room * candidate.fsdp
        seconds = 1 + (4 - kept) / 10 + candidate.fsdp / 100 + 1 / candidate.rows
        needed.append(candidate)
        return {
            "fits": fits,
            "step_time_s": seconds if fits else None,
            "mfu": 0.4 if fits else None,
            "hbm_bytes": (10 if fits else 10 * candidate.rows * kept // (room or 1)) * 10**8,
            "hbm_limit_bytes": candidate.fsdp * 10**9,
            "hbm_parts": {"parameters": 0, "optimizer_state": 0},
            "verdict": "does not fit: needs 2 of 1 GB; try",
        }

    return forecast


def test_what_cannot_win_is_not_compiled():
    compiles = []
    found = list(search.search(tried(of_size(sizes.SMALL)), outcome(compiles, room=1000), most=99))
    # All rows fit without recomputation: one compile for each sharding.
    assert [(c.fsdp, c.remat, c.rows) for c in compiles] == [(1, "none", 8), (4, "none", 8)]
    assert search.ranked(found)[0][0].fsdp == 1


def test_what_is_larger_than_what_did_not_fit_is_not_compiled():
    compiles = []
    list(search.search(tried(of_size(sizes.SMALL)), outcome(compiles, room=8), most=99))
    whole = [(candidate.remat, candidate.rows) for candidate in compiles if candidate.fsdp == 1]
    # The refusal of 8 rows tells that 4 are too many; what fits less recomputed needs no fewer.
    assert whole == [("none", 8), ("none", 2), ("dots", 8), ("dots", 4), ("names", 8),
                     ("names", 4), ("attention", 8), ("attention", 4), ("full", 8)]  # fmt: skip
    assert [(c.remat, c.rows) for c in compiles if c.fsdp == 4] == [("none", 8)]


def test_a_search_ends_at_its_number_of_compiles():
    compiles = []
    list(search.search(tried(of_size(sizes.SMALL)), outcome(compiles, room=8), most=3))
    assert len(compiles) == 3


def account(room, most=99):
    found = search.search(tried(of_size(sizes.SMALL)), outcome([], room=room), most=most)
    return search.account(search.ranked(list(found)))


def test_the_fastest_that_fits_is_recommended_with_the_reason(one_second):
    made = account(8)
    assert made["recommended"] == made["tried"][0]["flags"]
    fitting = [row["step_time_s"] for row in made["tried"] if row["fits"]]
    assert fitting == sorted(fitting)
    assert "faster than the next" in made["reason"]
    assert made["reason"].endswith("tried did not fit.")
    forecast = one_second | {"search": made}
    said = report.text([forecast])
    assert f"recommended: {made['recommended']}" in said
    assert made["recommended"] in page.page([forecast])


def test_of_equals_the_simplest_is_recommended():
    first, second = tried(of_size(sizes.SMALL))[:2]
    made = {"fits": True, "mfu": 0.4, "hbm_bytes": 1}
    found = [(first, made | {"step_time_s": 1.005}), (second, made | {"step_time_s": 1.0})]
    assert search.ranked(found) == found
    assert "as fast as the next (within the error" in search.account(found)["reason"]
    found[0] = (first, made | {"step_time_s": 1.02})
    assert search.ranked(found) == found[::-1]


def test_if_nothing_fits_nothing_is_recommended():
    made = account(0, most=2)
    assert made["recommended"] is None
    assert made["reason"].startswith("none of the 2 tried fits; does not fit")
