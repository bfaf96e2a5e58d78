"""Scores: each equals its plain definition; no text breaks them or makes them slow."""

import gzip
import json
import math
import unicodedata
import zlib
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jgpt2.corpus.quality import letters, repetition, scores, sentences, words

# Few different letters, so that n-grams, lines and sentences come again.
REPETITIVE = st.text(st.sampled_from("あい猫ア。！？ \n…x"), max_size=300)
ANY = st.text(st.characters(exclude_categories=()), max_size=200)  # lone surrogates and NUL, too
TEXTS = st.one_of(
    REPETITIVE, ANY, st.builds(lambda text, n: text * n, REPETITIVE, st.integers(0, 9))
)
EXTREMES = {
    "nothing": "",
    "one letter": "あ",
    "white space": "\n \u3000\t\r\n",
    "NUL": "\0" * 500,
    "lone surrogates": "\ud800\udfff" * 300,
    "one line": "あいうえお" * 60_000,
    "line feeds": "\n" * 300_000,
    "marks": "！？。" * 100_000,
    "highest code point": "\U0010ffff" * 40,
}


def repetition_of(text: str) -> dict[str, float]:
    return {name: row.item() for name, row in repetition.measure(letters.join([text])).items()}


def naive_repetition(text: str) -> dict[str, float]:
    found = {}
    for n in range(2, 11):
        counts = Counter(text[start : start + n] for start in range(len(text) - n + 1))
        total = sum(counts.values())
        num_repeated = sum(count > 1 for count in counts.values())
        if n <= 4:
            found[f"top_{n}gram_share"] = max(counts.values(), default=0) / max(total, 1)
        else:
            found[f"duplicate_{n}gram_share"] = num_repeated / max(len(counts), 1)
        if n == 5:
            num_top = min(math.isqrt(len(counts)), num_repeated)
            highest = sorted(counts.values(), reverse=True)[:num_top]
            found["repeated_5gram_share"] = sum(highest) / max(total, 1)
    return found


@given(TEXTS)
@example("ab" * 9)
@example("あ" * 3000)
@settings(deadline=None)
def test_repetition_equals_its_definition_by_counting_substrings(text: str) -> None:
    assert repetition_of(text) == naive_repetition(text)


@pytest.mark.parametrize("length", [1500, 8000, 40_000])
def test_repetition_equals_its_definition_in_texts_of_every_length(length: int) -> None:
    # Squares modulo a prime: irregular, with n-grams of all orders that come again.
    text = "".join(chr(0x3041 + i * i * i % 1009 % 83) for i in range(length))
    text = text[: length // 2] + text[length // 4 : length // 4 + length - length // 2]
    got = repetition_of(text)
    assert got == naive_repetition(text)
    assert got["duplicate_10gram_share"] > 0.2


@given(st.lists(st.integers(0, 40), max_size=300))
def test_equal_keys_have_one_first_and_others_another(numbers: list[int]) -> None:
    # Multiples of 2^40: the highest bits of the hashes, which choose the bucket, are alike.
    keys = np.array(numbers, np.uint64) << np.uint64(40)
    firsts = repetition._firsts(keys)
    assert keys[firsts].tolist() == keys.tolist()
    assert len(set(firsts.tolist())) == len(set(numbers))


@given(st.lists(TEXTS, max_size=6))
@settings(deadline=None)
def test_scores_do_not_depend_on_the_documents_beside(texts: list[str]) -> None:
    shares = [number / 8 for number in range(len(texts))]
    alone = [
        scores.score(text, link_share=share) for text, share in zip(texts, shares, strict=True)
    ]
    assert scores.score_all(texts, shares) == alone


def test_long_and_empty_documents_are_scored_beside_others() -> None:
    texts = ["", "猫は猫である。" * 9, "", "あ" * 300_000, "\0", "", "ネコ\n" * 5000, ""]
    alone = [scores.score(text) for text in texts]
    assert scores.score_all(texts, [0.0] * len(texts)) == alone
    assert [found["letters"] for found in alone] == [0, 63, 0, 300_000, 1, 0, 10_000, 0]
    assert scores.score_all([], []) == []


@given(TEXTS)
def test_letters_are_counted_by_the_names_of_unicode(text: str) -> None:
    tally = letters.tally(text)
    assert sum(tally) == len(text)
    assert tally.spaces == sum(map(str.isspace, text))
    assert tally.punctuation == sum(letter in "、，。．！？" for letter in text)


@pytest.mark.parametrize(
    ("word", "field", "places"),
    [
        ("HIRAGANA", "hiragana", (0x3041, 0x30A0)),
        ("KATAKANA", "katakana", (0x30A1, 0x3100)),
        ("KATAKANA", "katakana", (0x31F0, 0x3200)),
        ("KATAKANA", "katakana", (0xFF66, 0xFFA0)),
        ("CJK", "kanji", (0x3400, 0xA000)),
        ("CJK", "kanji", (0x20000, 0x2FA20)),
    ],
)
def test_each_script_is_where_unicode_has_it(
    word: str, field: str, places: tuple[int, int]
) -> None:
    for place in range(*places):
        name = unicodedata.name(chr(place), "")
        if name.startswith((f"{word} LETTER", f"{word} ITERATION", f"{word} UNIFIED")):
            assert getattr(letters.tally(chr(place)), field) == 1, name


def test_white_space_is_that_of_str_isspace() -> None:
    for place in range(0x3100):
        assert letters.tally(chr(place)).spaces == chr(place).isspace(), hex(place)


def test_long_texts_are_counted_to_the_end() -> None:
    text = "猫は" * 200_000 + "ネコ"
    tally = letters.tally(text)
    assert (tally.kanji, tally.hiragana, tally.katakana) == (200_000, 200_000, 2)


@given(TEXTS)
def test_the_longest_run_is_that_of_groupby(text: str) -> None:
    longest = max((len(list(group)) for _, group in groupby(text)), default=0)
    found = letters.longest_runs(letters.join(["", text, "", ""]))
    assert found.tolist() == [0, longest, 0, 0]


@given(TEXTS)
def test_sentences_hold_every_letter_of_two_or_more(text: str) -> None:
    for sentence in sentences.sentences(text):
        assert len(sentence) > 1
        assert not set(sentence[:-1]) & set("。．！？!?\n")
        assert sentence in text


@given(st.lists(st.sampled_from(["猫", "犬が走る。", "  猫", "", "…", "長い長い長い行である…"])))
def test_shares_of_lines_equal_their_definition(parts: list[str]) -> None:
    text = "\n".join(parts)
    lines = [part.strip() for part in parts if part.strip()]
    copies = [line for place, line in enumerate(lines) if line in lines[:place]]
    found = sentences.measure(text)
    total = max(len(lines), 1)
    assert found["duplicate_line_share"] == len(copies) / total
    assert found["duplicate_line_chars_share"] == pytest.approx(
        sum(map(len, copies)) / max(sum(map(len, lines)), 1)
    )
    assert found["short_line_share"] == sum(len(line) < 10 for line in lines) / total
    assert found["ellipsis_share"] == sum(line.endswith("…") for line in lines) / total


def test_a_quotation_of_two_marks_is_no_sentence_of_its_own() -> None:
    text = "「行くぞ！？」\n「うん。」"
    assert sentences.sentences(text) == ["「行くぞ！", "「うん。"]


@given(TEXTS, st.floats(0, 1))
def test_every_text_gets_every_score_finite_and_plain(text: str, link_share: float) -> None:
    found = scores.score(text, link_share=link_share)
    assert tuple(found) == scores.NAMES
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    shares = {name: value for name, value in found.items() if name.endswith("_share")}
    assert all(0 <= value <= 1 for value in shares.values()), shares
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("kind", EXTREMES)
def test_extreme_texts_get_scores(kind: str) -> None:
    found = scores.score(EXTREMES[kind])
    assert tuple(found) == scores.NAMES
    assert all(math.isfinite(value) for value in found.values())


def test_what_is_known_of_a_text_shows_in_its_scores() -> None:
    found = scores.score("猫はネコ。\nwww\n" * 50, link_share=0.25)
    assert found["letters"] == 400
    assert found["japanese_letters"] == 250
    assert found["japanese_share"] == 250 / 400
    assert found["hiragana_share"] == 50 / 250
    assert found["katakana_share"] == 100 / 250
    assert found["duplicate_line_share"] == 98 / 100
    assert found["mean_sentence_chars"] == 4
    assert found["longest_run"] == 3
    assert found["link_share"] == 0.25
    assert found["deflate_ratio"] < 0.1


def test_a_sample_is_windows_from_the_first_letter_to_the_last() -> None:
    size = scores.SAMPLE_CHARS
    text = "".join(chr(0x4E00 + i % 20_000) for i in range(3 * size + 17))
    windows = scores.sample(text).split("\n")
    assert len(windows) == 8
    assert {len(window) for window in windows} == {size // 8}
    assert text.startswith(windows[0])
    assert text.endswith(windows[-1])
    assert scores.sample(text[:size]) == text[:size]
    found = scores.score(text)
    assert found["letters"] == len(text)


@pytest.mark.parametrize("num_bytes", [0, 300, 2047, 2048, 4095, 4096, 7000, 100_000])
def test_deflate_takes_whole_blocks_first_and_last_among_them(num_bytes: int) -> None:
    text = "".join(chr(0x21 + i * i % 89) for i in range(num_bytes))
    size = scores._BLOCK_BYTES
    count = min(max(num_bytes // size, 1), 4)
    starts = [max(num_bytes - size, 0) * block // max(count - 1, 1) for block in range(count)]
    blocks = [text.encode()[start : start + size] for start in starts]
    assert len({len(block) for block in blocks}) == 1
    if num_bytes:
        assert blocks[-1] == text.encode()[-size:]
        sizes = [len(zlib.compress(block, 6)) for block in blocks]
        assert scores.deflate_ratio(text) == sum(sizes) / sum(map(len, blocks))
    else:
        assert scores.deflate_ratio(text) == 0


def test_words_are_counted_once_each_and_by_their_list() -> None:
    text = "送料無料の商品。送料無料。関連記事 投稿日: 2024年5月1日 エロ動画"
    joined = letters.join(["送料無", text, "料の商品"])
    found = words.measure(joined, np.array([1000, 1000, 1000]))
    rates = {score: row.tolist() for score, row in found.items()}
    assert rates == {
        "advertisement_rate": [0, 2, 0],
        "forum_rate": [0, 3, 0],
        "adult_rate": [0, 1, 0],
    }


@given(st.lists(st.sampled_from([*words._ROWS, "2024年5月", "19", "/", " ", "送", "😀"])))
def test_words_are_those_that_a_search_finds(parts: list[str]) -> None:
    text = "".join(parts)
    found = words.measure(letters.join([text]), np.array([1000]))
    expected = Counter(
        "forum_rate" if match[0] not in words._ROWS else list(words.RATES)[words._ROWS[match[0]]]
        for match in words._FOUND.finditer(text)
    )
    assert {score: row.item() for score, row in found.items()} == {
        score: expected[score] for score in words.RATES
    }


def test_no_word_is_in_two_lists_or_twice_in_one() -> None:
    everything = [word for words_ in words.RATES.values() for word in words_]
    assert len(everything) == len(set(everything))
    assert all(len(word) > 1 and word == word.strip() for word in everything)
    assert not any(set(word) & set("0123456789年月/.-\0") for word in everything)


def test_scores_of_real_documents_equal_the_plain_definitions(real_data: Path) -> None:
    for name in ("web-000", "docs-000", "literature-000"):
        with gzip.open(real_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = [json.loads(next(file))["text"][:20_000] for _ in range(8)]
        for text in texts:
            found = scores.score(text)
            for score, value in naive_repetition(text).items():
                assert found[score] == value, (name, score)
            assert found["letters"] == sum(not letter.isspace() for letter in text)
