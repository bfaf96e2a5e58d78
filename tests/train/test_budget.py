import pytest

from jgpt2 import config
from jgpt2.model import count
from jgpt2.train import budget

# A step of these tests' experiment predicts 8 rows x 16 tokens.
TOKENS = 128


def steps(change, **given):
    experiment = change(budget=config.Budget(**given))
    return budget.num_steps(experiment, vocab_size=257, bytes_per_token=2.5)


def test_a_step_predicts_every_position_of_every_row(change):
    assert budget.tokens_per_step(change()) == TOKENS
    assert budget.tokens_per_step(change(batch={"accumulation": 4})) == TOKENS


@pytest.mark.parametrize(("tokens", "expected"), [(1, 1), (128, 1), (129, 2), (1280, 10)])
def test_the_same_budget_in_every_unit_is_the_same_steps_rounded_up(change, tokens, expected):
    per_token = count.flops_per_token(change().model, 257)
    assert steps(change, tokens=tokens) == expected
    assert steps(change, num_bytes=int(tokens * 2.5)) == expected
    assert steps(change, flops=float(tokens * per_token)) == expected


def test_steps_are_taken_as_given(change):
    assert steps(change, steps=7) == 7
