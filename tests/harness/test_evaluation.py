"""What is refused before the harness is imported, and the table of a record."""

import importlib.util

import pytest

from jgpt2.harness import evaluation


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tasks"], "no task to evaluate on; give --tasks"),
        (["--tasks", "jgpt2_prose", "--limit", 0], "limit=0 takes no item"),
        (["--tasks", "jgpt2_prose", "--num-fewshot", -1], "num_fewshot=-1 is negative"),
        (["--tasks", "jgpt2_prose", "--include", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_asked_is_refused(command, walk, flags, message):
    outcome = command("harness", walk.root / "runs" / "sp", *flags)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert message in outcome.err


def test_without_the_harness_the_extra_is_named(command, walk, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name)
    )
    outcome = command("harness", walk.root / "runs" / "sp", "--tasks", "jgpt2_prose")
    assert outcome.exit_code == 2
    assert "uv sync --extra eval" in outcome.err


def test_the_table_has_a_row_for_each_metric():
    record = {
        "results": {
            "jnli": {"alias": "jnli", "acc,none": 0.5, "acc_stderr,none": 0.1, "sample_len": 20},
            "squad": {"exact_match,trimmed": 0.25, "exact_match_stderr,trimmed": "N/A"},
            "jglue": {"acc,none": 0.4},
        },
        "versions": {"jnli": 1, "squad": 2.0},
        "n-shot": {"jnli": 3, "squad": 0},
        "n-samples": {"jnli": {"effective": 20}, "squad": {"effective": 4}},
    }
    assert evaluation.rows(record) == [
        ("jnli", "1", 3, 20, "acc", 0.5, 0.1),
        ("squad", "2.0", 0, 4, "exact_match (trimmed)", 0.25, None),
        ("jglue", None, None, None, "acc", 0.4, None),
    ]
