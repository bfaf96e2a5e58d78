"""A ladder of four stages from its first to its last, and the ways in which it is held up."""

import json

import pytest

from jgpt2 import storage
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.release import ledger, stages
from tests.publish import ladder


@pytest.fixture
def path(tmp_path):
    return ladder.full(tmp_path)


def publish(path, name, day):
    return stages.publish(path, name, by="山田 花子", now=ladder.days(day))


def test_a_ladder_is_climbed_in_order_and_in_time(path):
    with pytest.raises(InputError, match=r"earlier_stage: small is not published; publish small f"):
        publish(path, "medium", 0)
    publish(path, "small", 0)
    with pytest.raises(
        InputError, match=r"cool_off: 29 of 30 days since small; wait until 2026-03"
    ):
        publish(path, "medium", 29)
    publish(path, "medium", 30)
    with pytest.raises(InputError, match="earlier_stage: large is not published"):
        publish(path, "xl", 400)
    publish(path, "large", 60)
    publish(path, "xl", 90)
    assert {one["state"] for one in stages.plan(path, ladder.days(91))} == {"published"}
    assert [line["stage"] for line in ledger.read(path.parent)] == list(ladder.NAMES)


def test_the_record_says_what_was_signed_off(path):
    record = publish(path, "small", 0)
    file = path.parent / "stages" / "small.json"
    assert json.loads(file.read_text("utf-8")) == record
    exported = json.loads((path.parent / "exports/small/manifest.json").read_text("utf-8"))
    assert record["export"] == exported["fingerprint"]
    assert (record["by"], record["time"]) == ("山田 花子", "2026-02-14T09:00:00+00:00")
    assert (record["ledger"], record["review"]) == (None, ladder.REVIEW)
    states = {gate["gate"]: gate["state"] for gate in record["gates"]}
    assert states.pop("card") == "waived"
    assert set(states.values()) == {"passed"}
    (waived,) = [gate["waiver"] for gate in record["gates"] if gate["waiver"]]
    assert waived == {"reason": "この章では問わない", "by": "山田", "date": "2026-02-14"}
    (line,) = ledger.read(path.parent)
    proof = {"file": "stages/small.json", "sha256": storage.entry(file)["sha256"]}
    assert (line["record"], line["export"]) == (proof, record["export"])
    assert publish(path, "medium", 30)["ledger"] == line["digest"]


def test_without_its_waiver_a_gate_holds_the_stage_up(path):
    text = path.read_text("utf-8")
    path.write_text(text.replace('stage = "small"\ngate = "card"', 'stage = "xl"\ngate = "bias"'))
    with pytest.raises(InputError, match=r"small cannot be published. card: .*jgpt2 card check"):
        publish(path, "small", 0)
    assert not (path.parent / "stages").exists()
    assert ledger.read(path.parent) == []


def test_a_waiver_of_a_gate_that_passes_is_not_used(path):
    path.write_text(path.read_text("utf-8") + ladder.waiver("small", "bias"), "utf-8")
    record = publish(path, "small", 0)
    (bias,) = [gate for gate in record["gates"] if gate["gate"] == "bias"]
    assert (bias["state"], bias["waiver"]) == ("passed", None)


def test_withdrawing_holds_up_what_comes_after(path):
    publish(path, "small", 0)
    line = stages.withdraw(path, "small", reason="品質が足りない", by="山田", now=ladder.days(5))
    assert line["number"] == 2
    with pytest.raises(InputError, match="small was withdrawn on 2026-02-19: 品質が足りない"):
        publish(path, "medium", 60)
    publish(path, "small", 61)
    assert (path.parent / "stages" / "small.json").is_file()
    assert (path.parent / "stages" / "small.2.json").is_file()
    with pytest.raises(InputError, match="cool_off"):
        publish(path, "medium", 90)  # counted from the day it was published again
    publish(path, "medium", 91)


def test_what_cannot_be_done_twice_or_before(path):
    with pytest.raises(InputError, match="small is not published, so that nothing"):
        stages.withdraw(path, "small", reason="x", by="山田", now=ladder.START)
    publish(path, "small", 0)
    with pytest.raises(InputError, match="was published on 2026-02-14"):
        publish(path, "small", 1)


@pytest.mark.parametrize("words", ["", " ", "一行\n二行"])
def test_a_name_and_a_reason_must_be_said(path, words):
    with pytest.raises(InputError, match=r"--by .* says nothing, or more than a line"):
        stages.publish(path, "small", by=words, now=ladder.START)
    with pytest.raises(InputError, match=r"--reason .* says nothing"):
        stages.withdraw(path, "small", reason=words, by="山田", now=ladder.START)


def test_a_record_that_was_changed_stops_everything(path):
    publish(path, "small", 0)
    record = path.parent / "stages" / "small.json"
    record.write_text(record.read_text("utf-8").replace("山田", "田山"), "utf-8")
    with pytest.raises(DamageError, match=r"small.json is missing or was changed after line 1"):
        stages.check(path, "medium", ladder.days(30))
    record.unlink()
    with pytest.raises(DamageError, match="missing or was changed"):
        stages.plan(path, ladder.days(30))


def test_the_plan_says_what_comes_next(path):
    ladder.export(path.parent / "exports" / "xl", {})
    publish(path, "small", 0)
    small, medium, _, xl = stages.plan(path, ladder.days(3))
    assert (small["state"], small["since"][:10]) == ("published", "2026-02-14")
    assert small["next"] == "nothing"
    assert medium["next"] == "cool_off: 3 of 30 days since small; wait until 2026-03-16 09:00 UTC"
    assert xl["next"].startswith("evaluation: none of 0 figures")
    assert stages.plan(path, ladder.days(30))[1]["next"] == "publish it"


def test_the_plan_sees_that_an_export_is_another_than_was_published(path):
    publish(path, "small", 0)
    ladder.export(path.parent / "exports" / "small", ladder.CARD | {"x": 1})
    assert "no longer what was published" in stages.plan(path, ladder.days(1))[0]["next"]
    (path.parent / "exports/small/model.safetensors").write_bytes(b"")
    assert "no longer what was published" in stages.plan(path, ladder.days(1))[0]["next"]


def test_the_verbs(command, path):
    refused = command("release", "check", path, "--stage", "medium")
    assert refused.exit_code == 2
    assert "small is not published, so that no day counts" in refused.out
    assert "medium cannot be published. earlier_stage: small is not published" in refused.err
    refused = command("release", "check", path, "--stage", "medium", "--json")
    states = {gate["gate"]: gate["state"] for gate in json.loads(refused.out)["gates"]}
    assert (refused.exit_code, states["card"], states["cool_off"]) == (2, "waived", "failed")
    assert command("release", "check", path, "--stage", "small").exit_code == 0
    signed = command("release", "publish", path, "--stage", "small", "--by", "山田")
    assert "signed off by 山田" in signed.out
    assert "waived: card; nothing was uploaded" in signed.out
    told = command("release", "plan", path)
    assert "small: nothing" in told.out
    assert "medium: cool_off: 0 of 30 days since small" in told.out
    assert command("release", "plan", path, "--json").json()["stages"][0]["state"] == "published"
    words = ["--reason", "品質", "--by", "山田"]
    assert (
        "line 2 of the ledger"
        in command("release", "withdraw", path, "--stage", "small", *words).out
    )
    assert command("release", "plan", path, "--json").json()["stages"][0]["state"] == "withdrawn"
