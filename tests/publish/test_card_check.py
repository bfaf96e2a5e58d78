"""The check of a model card: each rule passes on a whole card and fails where it should."""

import shutil

import pytest

from jgpt2 import manifest
from jgpt2.publish.card import completeness, records
from tests.publish import cards


@pytest.fixture(scope="module")
def made(walk, tmp_path_factory):
    """An export with a complete card."""
    return cards.make(walk, tmp_path_factory.mktemp("公開"), ("byte",)) / "byte"


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "byte")


def places(problems):
    return [problem.partition(":")[0] for problem in problems]


def set_at(record, path, value):
    *keys, last = path.split(".")
    for key in keys:
        record = record[int(key)] if isinstance(record, list) else record[key]
    record[int(last) if isinstance(record, list) else last] = value


def test_a_whole_card_has_no_problem(folder, command):
    assert completeness.problems(folder) == []
    assert command("card", "check", folder, "--json").json() == {"problems": []}
    cards.rewrite(folder, cards.read(folder))  # what the other tests do changes nothing by itself
    assert completeness.problems(folder) == []


@pytest.mark.parametrize("empty", [None, " "])
@pytest.mark.parametrize(
    "path", [*completeness.MANDATORY, *completeness.MANDATORY_OF_RUNS], ids=lambda path: path
)
def test_an_empty_mandatory_field_is_named(folder, path, empty):
    record = cards.read(folder)
    if isinstance(completeness._at(record, path), list | dict):
        empty = []
    set_at(record, path, empty)
    found = list(completeness._mandatory(record))
    assert path in places(found)
    assert "it is empty" in found[0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        *(
            (f"evaluation.results.0.{key}", None, f"evaluation.results.0.{key}")
            for key in ("metric", "value", "dataset", "split", "n", "command")
        ),
        ("evaluation.results.0.n", 0, "evaluation.results.0.n"),
        ("stage.changes.0.date", "", "stage.changes.0.date"),
        ("data.datasets.0.licenses", None, "data.datasets.0.licenses"),
        ("data.datasets.0.masks", None, "data.datasets.0.masks"),
        ("safety.bias", {"source": "", "command": "x", "figures": {"n": 1}}, "safety.bias.source"),
        (
            "safety.bias",
            {"source": "x", "command": None, "figures": {"n": 1}},
            "safety.bias.command",
        ),
        ("safety.bias", {"source": "x", "command": "x", "figures": {}}, "safety.bias.figures"),
        ("energy.kwh", 3.0, "energy.source"),
        ("energy.grams_per_kwh", 400.0, "energy.source"),
        ("identity.licenses.weights", "", "identity.licenses.weights"),
        ("identity.licenses.weights", "other", "identity.licenses.weights_name"),
        ("identity.licenses.weights", "Other", "identity.licenses.weights_link"),
        ("provenance.base", {"model": "a", "step": 1}, "provenance.base_model"),
        ("provenance.files", {"config.json": "0" * 64}, "provenance.files"),
        ("provenance.fingerprints.run", "0" * 64, "provenance.fingerprints.run"),
        ("identity.name", "別名", "identity.name"),
        ("identity.created", "2020", "identity.created"),
        ("provenance.notes", {"a": 1}, "provenance.notes"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(folder, path, value, expected):
    record = cards.read(folder)
    set_at(record, path, value)
    cards.rewrite(folder, record)
    assert expected in places(completeness.problems(folder))


@pytest.mark.parametrize("key", ["kwh", "hours", "watts", "pue", "grams_per_kwh"])
@pytest.mark.parametrize("value", [0, -1.0])
def test_energy_of_zero_is_refused(folder, key, value):
    record = cards.read(folder)
    given = {"kwh": 1.0, "source": "電力計", "how": "measured"}
    record["energy"] |= given
    cards.rewrite(folder, record)
    assert completeness.problems(folder) == []
    record["energy"][key] = value
    cards.rewrite(folder, record)
    assert places(completeness.problems(folder)) == [f"energy.{key}"]


def test_an_estimate_without_a_factor_is_named(folder):
    record = cards.read(folder)
    record["energy"] |= {"watts": 100.0, "source": "規格表"}
    cards.rewrite(folder, record)
    (found,) = completeness.problems(folder)
    assert found.startswith("energy.hours: it is empty")


def test_a_page_written_by_hand_is_found(folder):
    path = folder / "README.md"
    path.write_text(path.read_text("utf-8") + "\n追記\n", "utf-8")
    assert places(completeness.problems(folder)) == ["README.md", "README.md"]
    cards.seal(folder)
    (found,) = completeness.problems(folder)
    assert "it is not what card.json gives" in found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("license: apache-2.0\n", "", "its metadata has no license"),
        ("license: apache-2.0", "license: [", "its metadata cannot be read"),
        ("---\n", "", "it has no block between two lines of ---"),
        ("language:\n- ja\n", "- ja\n", "its metadata cannot be read"),
    ],
)
def test_metadata_that_the_hub_cannot_read_are_found(folder, old, new, said):
    path = folder / "README.md"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    cards.seal(folder)
    assert said in "\n".join(completeness.problems(folder))


def test_one_flipped_byte_anywhere_is_found(folder):
    names = [*manifest.read(folder).files, manifest.FILE_NAME]
    for name in names:
        path = folder / name
        whole = path.read_bytes()
        step = 61 if name == manifest.FILE_NAME else max(1, len(whole) // 2)
        for place in [*range(0, len(whole), step), len(whole) - 1]:
            flipped = bytearray(whole)
            flipped[place] ^= 1
            path.write_bytes(bytes(flipped))
            assert completeness.problems(folder), f"byte {place} of {name}"
        path.write_bytes(whole)
    assert completeness.problems(folder) == []


def test_missing_and_strange_files_are_named(folder, command):
    (folder / "覚え書き.txt").write_text("", "utf-8")
    (folder / "config.json").unlink()
    outcome = command("card", "check", folder)
    assert outcome.exit_code == 2
    assert places(outcome.out.splitlines()) == ["config.json", "覚え書き.txt"]


def test_a_folder_without_a_card_is_told_how_to_get_one(folder, tmp_path):
    (folder / "card.json").unlink()
    cards.seal(folder)
    (found,) = completeness.problems(folder)
    assert "`jgpt2 card build` makes it" in found
    (found,) = completeness.problems(tmp_path / "nothing")
    assert found.startswith("manifest.json: no finished export")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"provenance": 1}', '{"identity": null}'])
def test_a_record_that_is_none_is_one_problem(folder, text):
    (folder / records.FILE_NAME).write_text(text, "utf-8")
    cards.seal(folder)
    assert "it is not the record of a card" in completeness.problems(folder)[-1]
