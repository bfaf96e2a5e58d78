"""The items of our own tasks, and JGLUE's files as they are found and scored."""

import json

import pytest

from jgpt2.errors import InputError
from jgpt2.harness import documents, evaluation


def items(name):
    lines = (evaluation.TASKS / f"{name}.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("name", "num_choices"), [("commonsense", 5), ("grammar", 2)])
def test_choices_differ_and_the_right_one_is_everywhere_equally_often(name, num_choices):
    rows = items(name)
    assert len(rows) == 30
    for row in rows:
        assert len(set(row["choices"])) == num_choices
        assert all(choice == choice.strip() != "" for choice in row["choices"])
    places = [row["label"] for row in rows]
    assert {places.count(place) for place in range(num_choices)} == {30 // num_choices}
    assert len({json.dumps(row, ensure_ascii=False) for row in rows}) == 30


def test_prose_is_thirty_different_texts():
    texts = [row["text"] for row in items("prose")]
    assert len(set(texts)) == 30
    assert all(len(text) > 30 and text.endswith("。") for text in texts)


def test_an_answer_is_compared_with_the_nearest_of_the_right_ones():
    doc = {"answers": ["東京都", "東京"]}
    assert documents.answer_scores(doc, ["東京"]) == {"exact_match": 1.0, "char_f1": 1.0}
    assert documents.answer_scores(doc, [" 東京。"])["exact_match"] == 1.0
    assert documents.answer_scores(doc, ["東"]) == {
        "exact_match": 0.0,
        "char_f1": pytest.approx(2 / 3),
    }
    assert documents.answer_scores(doc, [""]) == {"exact_match": 0.0, "char_f1": 0.0}
    assert documents.answer_scores({"answers": ["２８５ km/h"]}, ["285 km/h"])["exact_match"] == 1


def test_jglue_is_asked_for_where_it_is_not_given_or_not_there(tmp_path):
    with pytest.raises(InputError, match="JGLUE's jnli is not shipped; clone"):
        documents.jglue("jnli")
    with pytest.raises(InputError, match=r"0 files jnli-\*/train-\*\.json"):
        documents._only(tmp_path, "jnli-*/train-*.json")
    for version in ("1.1", "1.3"):
        (tmp_path / f"jnli-v{version}").mkdir()
        (tmp_path / f"jnli-v{version}" / f"train-v{version}.json").write_text("{}\n", "utf-8")
    with pytest.raises(InputError, match=r"2 files .* one version of each task"):
        documents._only(tmp_path, "jnli-*/train-*.json")
