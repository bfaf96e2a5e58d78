"""Filters: a rule breaks just beyond its bound; presets fit their kind of source."""

import dataclasses
import gzip
import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.quality import filters, scores
from jgpt2.errors import InputError

GOOD = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。"
)


def test_every_rule_is_named_after_a_score() -> None:
    for rule in filters.RULES:
        bound, _, name = rule.partition("_")
        assert bound in {"min", "max"}
        assert name in scores.NAMES
    unruled = set(scores.NAMES) - {rule.partition("_")[2] for rule in filters.RULES}
    assert not unruled


@given(st.sampled_from(filters.RULES), st.floats(0.001, 1e6))
def test_a_bound_itself_is_kept_and_the_next_number_is_not(rule: str, bound: float) -> None:
    thresholds = filters.with_overrides(filters.Thresholds(), [f"{rule}={bound!r}"])
    name = rule.partition("_")[2]
    outside = math.nextafter(bound, -math.inf if rule.startswith("min_") else math.inf)
    inside = math.nextafter(bound, math.inf if rule.startswith("min_") else -math.inf)
    assert filters.failures({name: bound}, thresholds) == ()
    assert filters.failures({name: inside}, thresholds) == ()
    assert filters.failures({name: outside}, thresholds) == (rule,)


@given(st.dictionaries(st.sampled_from(scores.NAMES), st.floats(0, 1e6)))
def test_no_rule_breaks_in_the_preset_none(given_scores: dict[str, float]) -> None:
    assert filters.failures(given_scores, filters.PRESETS["none"]) == ()


def test_failures_come_in_the_order_of_the_rules() -> None:
    broken = filters.failures(scores.score("a" * 300, link_share=1.0), filters.PRESETS["web"])
    assert broken[0] == "min_letters"
    assert broken[-1] == "max_link_share"
    assert list(broken) == [rule for rule in filters.RULES if rule in broken]


def test_a_missing_score_is_an_error_that_names_rule_and_remedy() -> None:
    with pytest.raises(InputError, match=r"min_letters=400 needs the score 'letters'.*annotate"):
        filters.failures({}, filters.PRESETS["web"])


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    web = filters.PRESETS["web"]
    changed = filters.with_overrides(
        web, ["min_letters=300", " max_link_share = none ", "min_letters=1e3"]
    )
    assert changed == dataclasses.replace(web, min_letters=1000, max_link_share=None)
    assert filters.with_overrides(web, []) == web


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("min_letters", "is no threshold; write it RULE=NUMBER or RULE=none"),
        ("min_leters=3", "there is no rule 'min_leters'. Did you mean min_letters?"),
        ("qqq=3", "there is no rule 'qqq'. The rules: min_letters, "),
        ("min_letters=many", "'many' is no finite number; give one, or none"),
        ("min_letters=nan", "'nan' is no finite number"),
        ("min_letters=", "'' is no finite number"),
    ],
)
def test_a_wrong_override_says_what_was_given_and_what_to_do(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        filters.with_overrides(filters.PRESETS["web"], [override])
    assert repr(override) in str(caught.value)
    assert message in str(caught.value)


def test_a_threshold_that_is_no_number_is_an_error() -> None:
    with pytest.raises(InputError, match="max_link_share=nan"):
        filters.Thresholds(max_link_share=math.nan)


def test_presets_drop_a_page_of_one_phrase_and_those_of_the_web_noise() -> None:
    noise = "".join(chr(random.Random(7 + i).randrange(0x3041, 0x9FFF)) for i in range(2000))
    for preset in ("web", "literature", "docs"):
        thresholds = filters.PRESETS[preset]
        assert "max_duplicate_10gram_share" in filters.failures(scores.score(GOOD * 40), thresholds)
    assert "max_deflate_ratio" in filters.failures(scores.score(noise), filters.PRESETS["web"])
    assert "min_hiragana_share" in filters.failures(scores.score(noise), filters.PRESETS["docs"])


@pytest.mark.parametrize(
    ("kind", "preset", "share"),
    [("literature-0", "literature", 0.99), ("docs-", "docs", 0.95), ("web-", "web", 0.6)],
)
def test_real_documents_of_a_kind_are_kept_by_its_preset(
    kind: str, preset: str, share: float, real_data: Path
) -> None:
    kept = []
    for path in sorted(real_data.glob(f"{kind}*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts = [json.loads(line)["text"] for line in list(file)[::12]]
        kept += [not filters.failures(scores.score(t), filters.PRESETS[preset]) for t in texts]
    assert len(kept) > 50
    assert sum(kept) / len(kept) >= share
