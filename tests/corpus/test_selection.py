import pickle

import pytest

from jgpt2.corpus import annotate, records, removals, selection
from jgpt2.corpus.quality import filters, scores
from jgpt2.errors import InputError


def item(text="短い。", kind="html", **fields):
    document = records.document(text, source="s", scores=scores.score(text), **fields)
    return annotate.Annotated(
        document=document, kind=kind, cluster="", fetched_at="", charset="", declared="",
        raw_sha256="", extractor="", rules={}, masks={},
    )  # fmt: skip


def verdict(found, **choice):
    return selection.Chooser(selection.Choice(**choice))(found)


def test_by_kind_judges_pages_and_leaves_texts_alone():
    assert verdict(item(kind="html")).stage == "filter"
    assert verdict(item(kind="wet")).reasons[0] == "min_letters"
    assert verdict(item(kind="aozora")).stage == "filter"
    assert verdict(item(kind="text")) == ("", ())
    assert verdict(item(kind="record")) == ("", ())


def test_a_named_preset_judges_everything():
    for kind in ("html", "text", "record", "aozora"):
        assert verdict(item(kind=kind), filters="web").stage == "filter"
        assert verdict(item(kind=kind), filters="none").stage == ""


def test_thresholds_change_every_preset_in_use():
    assert verdict(item(kind="text"), thresholds=("min_letters=100",)).reasons == ("min_letters",)
    short = ("min_letters=1", "min_japanese_letters=none")
    reasons = verdict(item(kind="html"), thresholds=short).reasons
    assert not {"min_letters", "min_japanese_letters"} & set(reasons)


def test_a_removal_comes_before_all_else_and_a_licence_before_quality():
    asked = removals.Removals(ids=frozenset({"a"}))
    found = item(id="a", license="CC0")
    assert verdict(found, removals=asked, licenses=("MIT",)) == ("removal", ("id a",))
    assert verdict(found, licenses=("MIT",)) == ("license", ("CC0",))
    assert verdict(item(), licenses=("MIT",)) == ("license", ("unknown",))
    assert verdict(found, licenses=("cc",), filters="none") == ("", ())


def test_the_identity_holds_numbers():
    loose = selection.Choice(filters="web", thresholds=("min_letters=1",)).identity()
    assert loose["filters"]["html"]["min_letters"] == 1
    assert loose["filters"]["html"]["max_link_share"] == filters.PRESETS["web"].max_link_share
    assert selection.Choice().identity()["filters"]["record"] == {}
    assert loose != selection.Choice(filters="web").identity()


def test_an_unknown_threshold_is_refused_before_any_work():
    with pytest.raises(InputError, match="min_leters"):
        selection.Choice(thresholds=("min_leters=1",))


def test_it_travels_to_workers():
    choose = pickle.loads(pickle.dumps(selection.Chooser(selection.Choice())))
    assert choose(item()).stage == "filter"
