"""Every gate: what passes it, what does not, and what it tells."""

import copy
import dataclasses
import shlex

import pytest

from jgpt2.publish.release import gates, ledger, policy
from tests.publish import ladder

FACTS = """
[licenses]
weights = "apache-2.0"
[safety]
detector = "measured.json"
bias = "measured.json"
memorisation = "measured.json"
[stage]
name = "small"
changes = [{date = "2026-02-14", ja = "最初の公開。", en = "First release."}]
[contact]
questions = "https://example.org/jgpt2"
opt_out = "optout@example.org"
"""
WORDS = (
    *("data.statement", "data.personal_information", "data.gaps"),
    *("use.intended", "use.out_of_scope", "use.misuse", "use.limitations"),
)


@pytest.fixture
def candidate(tmp_path):
    """The second stage of the ladder, a month after the first was published."""
    path = ladder.full(tmp_path)
    ledger.append(tmp_path, "published", ladder.START, stage="small", by="山田")
    read = policy.load(path)
    folder = tmp_path / "exports" / "medium"
    lines = ledger.read(tmp_path)
    return gates.Candidate(read.named("medium"), folder, read, lines, ladder.days(30))


def told(candidate, **changes):
    """The same candidate with other values at paths of its card; `__` for a dot."""
    card = copy.deepcopy(ladder.CARD)
    for path, value in changes.items():
        *above, last = path.split("__")
        place = card
        for key in above:
            place = place[key]
        place[last] = value
    ladder.export(candidate.folder, card)
    return candidate


@pytest.mark.parametrize("gate", [gate for gate in policy.GATES if gate != "card"])
def test_a_gate_that_passes(candidate, gate):
    outcome = gates.ask(gate, candidate)
    assert outcome.passed
    assert outcome.found
    assert outcome.remedy == ""


def fails(gate, candidate):
    outcome = gates.ask(gate, candidate)
    assert not outcome.passed
    assert outcome.remedy
    return outcome.found


def test_files_that_are_not_as_recorded(candidate):
    extra = candidate.folder / "extra.bin"
    extra.write_bytes(b"x")
    assert fails("manifest", candidate) == "files that it does not list: extra.bin"
    extra.unlink()
    (candidate.folder / "run" / "config.json").write_text("[]", "utf-8")
    assert "does not match its SHA-256" in fails("manifest", candidate)
    (candidate.folder / "run" / "config.json").unlink()
    assert "is missing" in fails("manifest", candidate)
    (candidate.folder / "manifest.json").unlink()
    assert "no finished export" in fails("manifest", candidate)


def test_a_card_that_is_not_complete(candidate):
    assert "card.json" in fails("card", candidate)
    (candidate.folder / "card.json").unlink()
    (candidate.folder / "README.md").unlink()
    assert "(and 2 more)" in fails("card", candidate)


def test_a_whole_export_passes_with_its_card(walk, command, tmp_path, candidate):
    run, out = walk.root / "runs" / "byte", tmp_path / "whole"
    command("export", run, out, "--json").json()
    (tmp_path / "measured.json").write_text('{"command": "jgpt2 x", "train": {"n": 9}}', "utf-8")
    both = '\nja = "書いてある。"\nen = "It is written."\n'
    facts = FACTS + "".join(f"[{name}]{both}" for name in WORDS)
    (tmp_path / "facts.toml").write_text(facts, "utf-8")
    given = f"--run {shlex.quote(str(run))} --facts {tmp_path / 'facts.toml'} --json"
    built = command("card", "build", out, *shlex.split(given), "--dataset", walk.root / "data/ja")
    assert built.json()["problems"] == []
    whole = dataclasses.replace(candidate, folder=out)
    outcomes = {gate: gates.ask(gate, whole) for gate in policy.GATES}
    assert {gate: outcome.found for gate, outcome in outcomes.items() if not outcome.passed} == {}
    assert "train.n = 9" in outcomes["memorisation"].found


@pytest.mark.parametrize(
    "row",
    [
        {"split": "validation"},
        {"n": None},
        {"value": None},
        {"command": ""},
        {"dataset": ""},
    ],
)
def test_a_test_figure_without_its_source_is_none(candidate, row):
    test = {**ladder.CARD["evaluation"]["results"][1], **row}
    found = fails("evaluation", told(candidate, evaluation__results=[test]))
    assert found.startswith("none of 1 figures is on a test split")


def test_no_figure_at_all(candidate):
    assert "none of 0" in fails("evaluation", told(candidate, evaluation__results=[]))
    assert "none of 0" in fails("evaluation", told(candidate, evaluation="good"))


@pytest.mark.parametrize(("of", "empty"), [("weights", ""), ("code", None), ("data", [])])
def test_a_licence_that_is_not_named(candidate, of, empty):
    changed = told(candidate, **{f"identity__licenses__{of}": empty})
    assert fails("licence", changed) == f"none named for {of}"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_data_statement_in_one_language_alone(candidate, language):
    changed = told(candidate, **{f"data__statement__{language}": " "})
    assert fails("data_statement", changed) == f"none in {language}"


@pytest.mark.parametrize("kind", ["detector", "bias", "memorisation"])
def test_safety_that_was_not_measured_or_has_no_source(candidate, kind):
    assert fails(kind, told(candidate, **{f"safety__{kind}": None})) == "nothing measured"
    for lacking, key in (({"source": ""}, "source"), ({"figures": {"rate": 1}}, "n")):
        changed = told(candidate, **{f"safety__{kind}": ladder.MEASURED | lacking})
        assert fails(kind, changed) == f"figures without {key}"


def test_no_card_at_all_fails_what_reads_it(candidate):
    (candidate.folder / "card.json").unlink()
    reading = ("evaluation", "licence", "data_statement", "detector", "bias", "memorisation")
    assert all(fails(gate, candidate) for gate in reading)


def test_the_stage_before_is_not_published_or_withdrawn(candidate, tmp_path):
    alone = dataclasses.replace(candidate, lines=[])
    assert fails("earlier_stage", alone) == "small is not published"
    assert "no day counts" in fails("cool_off", alone)
    words = {"stage": "small", "by": "山田", "reason": "品質が足りない"}
    ledger.append(tmp_path, "withdrawn", ladder.days(9), **words)
    gone = dataclasses.replace(candidate, lines=ledger.read(tmp_path))
    assert fails("earlier_stage", gone) == "small was withdrawn on 2026-02-23: 品質が足りない"


def test_any_earlier_stage_counts(candidate, tmp_path):
    ledger.append(tmp_path, "published", ladder.days(1), stage="medium", by="山田")
    ledger.append(tmp_path, "withdrawn", ladder.days(2), stage="small", by="山田", reason="理由")
    large = dataclasses.replace(
        candidate, stage=candidate.policy.named("large"), lines=ledger.read(tmp_path)
    )
    assert "small was withdrawn" in fails("earlier_stage", large)


def test_the_cool_off_ends_to_the_second(candidate):
    early = dataclasses.replace(candidate, now=ladder.days(30 - 1 / 86400))
    assert fails("cool_off", early) == "29 of 30 days since small"
    assert gates.ask("cool_off", early).remedy == "wait until 2026-03-16 09:00 UTC"
    assert gates.ask("cool_off", candidate).found == "30 of 30 days since small"


@pytest.mark.parametrize("question", ["replication", "misuse", "partners"])
def test_a_question_without_an_answer(candidate, question):
    review = dataclasses.replace(candidate.stage.review, **{question: " "})
    stage = dataclasses.replace(candidate.stage, review=review)
    changed = dataclasses.replace(candidate, stage=stage)
    assert fails("review", changed) == f"no answer on {question}"


def test_the_first_stage_waits_for_nobody(candidate):
    first = dataclasses.replace(candidate, stage=candidate.policy.named("small"), lines=[])
    for gate in ("earlier_stage", "cool_off"):
        assert gates.ask(gate, first).found == "no stage comes before"
