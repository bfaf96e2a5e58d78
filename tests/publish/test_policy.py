"""Policies: the template, and every rule that a file can break."""

import pytest

from jgpt2.errors import InputError
from jgpt2.publish.release import gates, policy
from tests.publish import ladder

ONE = ladder.stage("small")


def test_the_template_is_a_policy_of_four_stages(command, tmp_path):
    out = tmp_path / "方針.toml"
    assert command("release", "template", out).exit_code == 0
    read = policy.load(out)
    assert [stage.name for stage in read.stage] == list(ladder.NAMES)
    assert read.waiver == []
    text = out.read_text("utf-8")
    assert all(f"#   {gate} " in text for gate in policy.GATES)
    assert "nothing is overwritten" in command("release", "template", out).err


def test_every_gate_has_its_question():
    assert set(gates._GATES) == set(policy.GATES)


def test_a_policy_that_is_missing_or_no_toml(tmp_path):
    with pytest.raises(InputError, match="`jgpt2 release template"):
        policy.load(tmp_path / "none.toml")
    with pytest.raises(InputError, match="is no TOML"):
        policy.load(ladder.write(tmp_path, "stage = "))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (["x = 1"], "x: no such key; the known ones are stage, waiver"),
        ([ONE + "x = 1"], "known ones are replication, misuse, partners"),
        ([ladder.stage("small", gates=["card"])], "gates: no such key; the known ones are name, e"),
        (["stage = []"], "has no stage; add"),
        (['[stage]\nname = "small"'], "of another form"),
        (["stage = 1"], "of another form"),
        (['[[stage]]\nname = "small"'], "export is missing"),
        ([ladder.stage("small", cool_off_days='"ten"')], "'ten' is not a whole number"),
        ([ladder.stage("a/b")], "'a/b' names a file"),
        ([ONE, ONE], "two stages are named 'small'"),
        ([ladder.stage("small", cool_off_days=3)], "no stage comes before 'small'"),
        ([ONE, ladder.stage("xl", cool_off_days=-1)], "cool_off_days of 'xl' is negative"),
        ([ONE, ladder.waiver("smal", "bias")], "is of no stage; choose one of small"),
        ([ONE, ladder.waiver("small", "bia")], "is of no gate; choose one of manifest, card"),
        ([ONE, ladder.waiver("small", "manifest")], "would release files that are damaged"),
        ([ONE, ladder.waiver("small", "bias", reason=" ")], "has an empty reason"),
        ([ONE, ladder.waiver("small", "bias", by="")], "has an empty by"),
        ([ONE, ladder.waiver("small", "bias", date='"today"')], "'today' is not a date"),
        ([ONE, *[ladder.waiver("small", "bias")] * 2], "is given twice"),
    ],
)
def test_what_a_policy_must_not_hold(tmp_path, sections, said):
    with pytest.raises(InputError) as refused:
        policy.load(ladder.write(tmp_path, *sections))
    assert said in str(refused.value)


def test_a_stage_that_is_unknown_is_refused_with_the_choices(tmp_path):
    read = policy.load(ladder.full(tmp_path))
    with pytest.raises(InputError, match="no stage 'huge'; choose one of small, medium, large, xl"):
        read.named("huge")
