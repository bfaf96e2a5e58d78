"""Which documents are kept: thresholds on the scores, by kind of source, and the rules one breaks.

Thresholds are applied to stored scores, so other thresholds need no new pass over the crawl. A
novel breaks many rules that are right for web pages: take the preset of the kind of source.
"""

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jgpt2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The lowest (`min_`) and highest (`max_`) value kept of the score named; None: no rule.

    See `quality.scores.score` for what the scores are.
    """

    min_letters: float | None = None
    min_japanese_letters: float | None = None
    min_japanese_share: float | None = None
    min_hiragana_share: float | None = None
    max_katakana_share: float | None = None
    min_mean_sentence_chars: float | None = None
    max_mean_sentence_chars: float | None = None
    max_longest_sentence_chars: float | None = None
    max_ellipsis_share: float | None = None
    max_short_line_share: float | None = None
    max_duplicate_line_share: float | None = None
    max_duplicate_line_chars_share: float | None = None
    max_duplicate_sentence_share: float | None = None
    max_duplicate_sentence_chars_share: float | None = None
    max_longest_run: float | None = None
    max_top_2gram_share: float | None = None
    max_top_3gram_share: float | None = None
    max_top_4gram_share: float | None = None
    max_duplicate_5gram_share: float | None = None
    max_duplicate_6gram_share: float | None = None
    max_duplicate_7gram_share: float | None = None
    max_duplicate_8gram_share: float | None = None
    max_duplicate_9gram_share: float | None = None
    max_duplicate_10gram_share: float | None = None
    max_repeated_5gram_share: float | None = None
    min_deflate_ratio: float | None = None
    max_deflate_ratio: float | None = None
    max_advertisement_rate: float | None = None
    max_forum_rate: float | None = None
    max_adult_rate: float | None = None
    max_link_share: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a threshold that is no finite number or None."""
        for rule in RULES:
            value = getattr(self, rule)
            if value is not None and not math.isfinite(value):
                raise InputError(f"{rule}={value}: a threshold is a finite number or none (off).")


RULES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Thresholds))
"""Every rule, in the order in which `failures` names them."""

_BOUNDS = tuple((rule, rule.partition("_")[2], rule.startswith("min_")) for rule in RULES)

_WEB = Thresholds(
    min_letters=400,
    min_japanese_letters=200,
    min_japanese_share=0.4,
    min_hiragana_share=0.2,
    max_katakana_share=0.5,
    min_mean_sentence_chars=15,
    max_mean_sentence_chars=90,
    max_longest_sentence_chars=600,
    max_ellipsis_share=0.3,
    max_short_line_share=0.5,
    max_duplicate_line_share=0.30,
    max_duplicate_line_chars_share=0.20,
    max_duplicate_sentence_share=0.30,
    max_duplicate_sentence_chars_share=0.20,
    max_longest_run=199,
    max_top_2gram_share=0.20,
    max_top_3gram_share=0.18,
    max_top_4gram_share=0.16,
    max_duplicate_5gram_share=0.30,
    max_duplicate_6gram_share=0.28,
    max_duplicate_7gram_share=0.26,
    max_duplicate_8gram_share=0.24,
    max_duplicate_9gram_share=0.22,
    max_duplicate_10gram_share=0.20,
    max_repeated_5gram_share=0.33,
    min_deflate_ratio=0.30,
    max_deflate_ratio=0.75,
    max_advertisement_rate=10,
    max_forum_rate=20,
    max_adult_rate=3,
    max_link_share=0.4,
)

_LITERATURE = Thresholds(
    min_letters=100,
    min_japanese_share=0.5,
    max_duplicate_line_share=0.60,
    max_duplicate_line_chars_share=0.50,
    max_longest_run=199,
    max_top_2gram_share=0.20,
    max_top_3gram_share=0.18,
    max_top_4gram_share=0.16,
    max_duplicate_5gram_share=0.45,
    max_duplicate_6gram_share=0.42,
    max_duplicate_7gram_share=0.39,
    max_duplicate_8gram_share=0.36,
    max_duplicate_9gram_share=0.33,
    max_duplicate_10gram_share=0.30,
    min_deflate_ratio=0.30,
    max_deflate_ratio=0.85,
)

_DOCS = Thresholds(
    min_letters=100,
    min_japanese_letters=75,
    min_japanese_share=0.25,
    min_hiragana_share=0.15,
    max_katakana_share=0.6,
    max_short_line_share=0.75,
    max_duplicate_line_share=0.40,
    max_duplicate_line_chars_share=0.30,
    max_longest_run=199,
    max_duplicate_5gram_share=0.45,
    max_duplicate_6gram_share=0.42,
    max_duplicate_7gram_share=0.39,
    max_duplicate_8gram_share=0.36,
    max_duplicate_9gram_share=0.33,
    max_duplicate_10gram_share=0.30,
    max_repeated_5gram_share=0.60,
    min_deflate_ratio=0.25,
    max_deflate_ratio=0.85,
    max_link_share=0.8,
)

PRESETS: Mapping[str, Thresholds] = {
    "web": _WEB,
    "literature": _LITERATURE,
    "docs": _DOCS,
    "none": Thresholds(),
}
"""Thresholds by kind of source: web pages, literature, reference documents, and none at all.

`web`, by where a value comes from:
- Swallow (Okazaki et al. 2024): letters 400, hiragana 0.2, katakana 0.5, mean sentence at most 90,
  duplicate lines and sentences 0.30 and 0.20 of characters, top n-grams 0.20, 0.18, 0.16.
- Gopher (Rae et al. 2021): ellipses 0.3 of lines. llm-jp: deflate at least 0.30; it takes 0.30-0.70
  of whole documents. Uzushio: Japanese letters 200 (its document length), deflate at most 0.75
  (there of LZ4), links 0.4.
- HojiChar: short lines 0.5, runs below 200, repeated 5-grams 0.33.
- Ours, measured on 2,458 posts of three technical blogs and read by eye where Swallow's value drops
  good ones: Japanese share 0.4 (Swallow 0.5 drops 37% of them, mostly for links and names in Latin
  letters), mean sentence at least 15 (Swallow 20), longest sentence 600 (Swallow 200; a quotation
  in English has no 。), duplicate n-grams 0.30 ... 0.20, twice Swallow's (0.15 ... 0.10 drops 21%:
  terms come again).
- Ours, set from the counts of others: advertisement 10, forum 20, adult words 3 in 1,000 letters.
  llm-jp drops above 10 advertisement and 3 adult words, HojiChar above 14 of the first two, in
  documents of about 1,000 letters. Calendars in good posts reach 19 dates.

`literature`, ours, measured on 831 novels, tales and plays: nothing about sentences, line lengths,
kana or letters of words, for dialogue has short lines, old prose has sentences of 1,900 characters,
and some works are in katakana alone. Half of the letters Japanese; a refrain may be half of the
lines; top and duplicate n-grams and deflate as `web`, with room for poems of 100 letters.

`docs`, ours, measured on 4,934 pages of seven manuals: much Latin text, short lines, tables padded
with spaces and phrases that come again are their nature, so the bounds stand where only fragments,
pages not translated and lists of names fall. Links as Uzushio's loose 0.8.
"""


def failures(scores: Mapping[str, float], thresholds: Thresholds) -> tuple[str, ...]:
    """The rules that a document breaks, in the order of RULES; a bound itself is kept.

    Raises InputError where a rule is set whose score the document lacks.

    >>> thresholds = Thresholds(min_letters=400, max_link_share=1)
    >>> failures({"letters": 120.0, "link_share": 0.9}, thresholds)
    ('min_letters',)
    """
    broken = []
    for rule, name, is_lowest, bound in _set_bounds(thresholds):
        if name not in scores:
            raise InputError(
                f"{rule}={bound:g} needs the score {name!r}, which the document lacks; annotate it "
                "again, or turn the rule off."
            )
        if scores[name] < bound if is_lowest else scores[name] > bound:
            broken.append(rule)
    return tuple(broken)


@functools.cache
def _set_bounds(thresholds: Thresholds) -> tuple[tuple[str, str, bool, float], ...]:
    """(rule, score, whether it is the lowest value, value) of the rules that are on."""
    bounds = ((*named, getattr(thresholds, named[0])) for named in _BOUNDS)
    return tuple(bound for bound in bounds if bound[3] is not None)


def with_overrides(thresholds: Thresholds, overrides: Sequence[str]) -> Thresholds:
    """The thresholds with some of them replaced, each given as RULE=NUMBER or RULE=none (off).

    Of two for one rule the later counts. Raises InputError for anything else.

    >>> with_overrides(PRESETS["web"], ["min_letters=300", "max_link_share=none"]).min_letters
    300.0
    """
    changed = {}
    for override in overrides:
        rule, equals, value = map(str.strip, override.partition("="))
        if not equals:
            raise InputError(f"{override!r} is no threshold; write it RULE=NUMBER or RULE=none.")
        if rule not in RULES:
            near = difflib.get_close_matches(rule, RULES, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(
                f"{override!r}: there is no rule {rule!r}.{hint} The rules: {', '.join(RULES)}."
            )
        changed[rule] = _number(override, value)
    return dataclasses.replace(thresholds, **changed)


def _number(override: str, value: str) -> float | None:
    if value.lower() == "none":
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{override!r}: {value!r} is no finite number; give one, or none to turn the rule off."
        )
    return number
