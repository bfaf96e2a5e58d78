import dataclasses
import gzip
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import normalise as module
from jgpt2.corpus.cleaning.normalise import Rules, normalise

NAMES = [field.name for field in dataclasses.fields(Rules)]
NONE = Rules(**dict.fromkeys(NAMES, False))
FAMILY = "👨\u200d👩\u200d👧"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
CLEAN = (
    f"　吾輩は猫である。\n\n\n\tＡＢＣｶﾞ①㍿…ゝヾ゛葛\U000e0100{FAMILY}☎\ufe0f{ENGLAND}𠮷﨑\ufa19――"
    "—-〜 /～ － ∥‖\ufffd\ue000\u200c 終"
)

AWKWARD = (
    "\r\n\v\f\t \u3000\x85\u2028\u2029\0\x1b\x7f\xa0\xad\u200b\u200d\u202e\ufeff\ufffc\ufffe"
    "\U0001ffff\ud800\udc00\u2581～〜−－/／￠￡￢¢１ｚAかハァワう゛ﾞ\u3099\u309a\u0301é①㍿…\ufa19"
)
TEXT = st.text(
    st.one_of(st.characters(codec=None, exclude_categories=()), st.sampled_from(AWKWARD)),
    max_size=40,
)
ANY_RULES = st.builds(Rules, **{name: st.booleans() for name in NAMES})


def only(name: str) -> Rules:
    return dataclasses.replace(NONE, **{name: True})


def alone(name: str, text: str) -> tuple[str, int]:
    """The text and the count under one rule, which must give that count and no other."""
    done, counts = normalise(text, only(name))
    assert set(counts) <= {name}
    return done, counts[name]


@given(TEXT, ANY_RULES)
def test_twice_is_once(text, rules):
    once, _ = normalise(text, rules)
    assert normalise(once, rules) == (once, Counter())


@given(TEXT, ANY_RULES)
def test_counts_are_empty_exactly_when_nothing_changed(text, rules):
    done, counts = normalise(text, rules)
    assert (done == text) == (not counts)
    assert all(count > 0 for count in counts.values())
    assert all(getattr(rules, name) for name in counts)
    if not counts:
        assert done is text


@given(TEXT)
def test_no_rules_no_change(text):
    assert normalise(text, NONE)[0] is text


@given(TEXT)
def test_what_comes_out_can_be_written_and_read_back(text):
    done, _ = normalise(text)
    assert done.encode().decode() == done
    assert not {unicodedata.category(char) for char in done} & {"Cs", "Zl", "Zp"}
    assert {char for char in done if unicodedata.category(char) == "Cc"} <= {"\n", "\t"}


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_the_defaults_touch_nothing_but_what_they_name(text):
    named = re.compile(
        "[\0-\x08\x0b-\x1f\x7f-\xa0\xad\u061c\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f"
        "\u2212\u2581\u3099\u309a\ufdd0-\ufdef\ufeff\uff5e\uffe0-\uffe2\ufff9-\ufffc\ufffe\uffff]"
    )
    text = "".join(c for c in named.sub("", text) if ord(c) & 0xFFFE != 0xFFFE)
    text = re.sub("[ \t\u3000]+(?=\n)", "", text).strip(" \t\u3000\n")
    text = re.sub("\n{4,}", "\n\n\n", text)
    assert normalise(text)[0] is text


def test_what_an_author_wrote_stays():
    assert normalise(CLEAN)[0] is CLEAN
    every_kana_and_width = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x309B, 0x3100)]))
    every_kana_and_width += "".join(map(chr, [*range(0xFF01, 0xFF5E), *range(0xFF5F, 0xFFDD)]))
    assert normalise(every_kana_and_width)[0] is every_kana_and_width
    kanji = "".join(
        map(chr, [*range(0x3400, 0xA000), *range(0xF900, 0xFAFF), *range(0x20000, 0x2A6E0)])
    )
    assert normalise(kanji)[0] is kanji


@pytest.mark.parametrize("char", sorted({*map(chr, range(0xA0)), "\ufdd0", "\ufdef", "\ufffe"}))
def test_controls_go_but_tab_and_line_ends(char):
    done, num_chars = alone("controls", f"山{char}{char}川")
    if char in "\t\n\v\f\r\x85" or " " <= char <= "~":
        assert (done, num_chars) == (f"山{char}{char}川", 0)
    else:
        assert (done, num_chars) == ("山川", 2)


def test_noncharacters_of_every_plane_go():
    ends = [plane * 0x10000 + last for plane in range(17) for last in (0xFFFE, 0xFFFF)]
    assert alone("controls", "".join(map(chr, ends)) + "𠮷") == ("𠮷", 34)
    beside = "".join(chr(end + step) for end in ends[2:-2:2] for step in (-1, 2))
    assert alone("controls", beside) == (beside, 0)


def test_unpaired_surrogates_go():
    assert alone("controls", "山\ud83d川\udc00") == ("山川", 2)
    assert normalise("山\ud83d川")[0] == "山川"


def test_invisible_characters_go_and_joiners_stay():
    marks = "\xad\u061c\u200b\u200e\u200f\u202a\u202e\u2060\u2063\u2066\u2069\ufeff\ufffc"
    assert alone("invisible", "可" + "視".join(marks)) == (
        "可" + "視" * (len(marks) - 1),
        len(marks),
    )
    for kept in (FAMILY, ENGLAND, "می\u200cخواهم", "☎\ufe0f", "葛\U000e0100", "辻\ufe00"):
        assert normalise(kept)[0] is kept


@pytest.mark.parametrize(
    ("text", "done", "num_ends"),
    [
        ("一\r\n二\r三\n四", "一\n二\n三\n四", 2),
        ("一\r\r\n\n二", "一\n\n\n二", 2),
        ("一\v二\f三\x85四\u2028五\u2029六", "一\n二\n三\n四\n五\n六", 5),
    ],
)
def test_line_ends(text, done, num_ends):
    assert alone("line_ends", text) == (done, num_ends)


def test_a_control_between_cr_and_lf_does_not_make_two_lines():
    assert normalise("一\r\0\n二")[0] == "一\n二"


def test_spaces_of_typography_become_spaces_and_the_ideographic_one_stays():
    wide = "\xa0\u2000\u2009\u200a\u202f\u205f"
    assert alone("spaces", f"山{wide}川　海 空") == ("山      川　海 空", 6)


def test_the_space_mark_becomes_what_it_looks_like():
    assert alone("space_mark", "▁▂▃▁猫") == ("_▂▃_猫", 2)


@pytest.mark.parametrize(
    ("text", "done", "num_chars"),
    [
        ("１０～２０、らーめん～～", "１０〜２０、らーめん〜〜", 3),
        ("東京〜大阪", "東京〜大阪", 0),
        ("http://a.jp/～taro と ／～花子", "http://a.jp/～taro と ／～花子", 0),
        ("~/bin", "~/bin", 0),
    ],
)
def test_wave_dash(text, done, num_chars):
    assert alone("wave_dash", text) == (done, num_chars)


@pytest.mark.parametrize(
    ("text", "done", "num_chars"),
    [
        ("０３−１２３４", "０３－１２３４", 1),
        ("ＣＤ−ＲＯＭと−５", "ＣＤ－ＲＯＭと－５", 2),
        ("x − 1、−40℃、サ−バ", "x − 1、−40℃、サ−バ", 0),
        ("コ－ド", "コ－ド", 0),
    ],
)
def test_minus_beside_full_width_forms(text, done, num_chars):
    assert alone("minus", text) == (done, num_chars)


def test_signs_take_the_width_of_jis():
    assert alone("signs", "￠￡￢￡¥￥￤") == ("¢£¬£¥￥￤", 4)


def test_texts_of_either_codec_become_the_same():
    text = "３〜５、ＣＤ−ＲＯＭ、¢£¬、―…"
    as_cp932 = text.encode("shift_jis").decode("cp932")
    as_euc = text.encode("euc_jp").decode("euc_jp")
    as_iso_2022 = text.encode("iso2022_jp").decode("iso2022_jp")
    assert as_cp932 != as_euc == as_iso_2022
    assert normalise(as_cp932)[0] == normalise(as_euc)[0]


def test_kana_marks_join_their_kana_and_nothing_else():
    whole = "がぎゔぱぽゞガヴヷヸヹヺパヾ"
    parts = unicodedata.normalize("NFD", whole)
    assert alone("kana_marks", parts) == (whole, len(whole))
    for kept in (
        "か\u309a",
        "あ\u3099",
        "漢\u3099",
        "\u3099か",
        "がか\u309a\u3099",
        "\ufa19e\u0301Å",
    ):
        assert normalise(kept)[0] is kept


def test_kana_joins_a_mark_from_which_it_was_parted_unseen():
    assert normalise("か\u200b\u3099")[0] == "が"


def test_nfkc_is_never_the_default_and_its_traps_are_known():
    text = "…①㍿Ⅷ²：　ｶﾞ゛\ufa19"
    assert normalise(text)[0] is text
    done, counts = normalise(f"{text}\n猫", Rules(nfkc=True))
    assert done == "...1株式会社VIII2: ガ \u3099神\n猫"
    assert counts == {"nfkc": 1}


@given(TEXT)
def test_nfkc_rule_is_nfkc(text):
    assert normalise(text, only("nfkc"))[0] == unicodedata.normalize("NFKC", text)


def test_a_wave_dash_outlives_nfkc():
    assert normalise("３～５　／～ａ", Rules(nfkc=True))[0] == "3〜5 /~a"
    assert normalise("３～５", only("nfkc"))[0] == "3~5"


def test_trailing_spaces():
    assert alone("trailing_spaces", "　一 \t\n　\n  二　三\u3000") == ("　一\n\n  二　三", 4)
    assert alone("trailing_spaces", " \t　") == ("", 3)


def test_blank_lines():
    assert alone("blank_lines", "\n\n　一\n\n二\n\n\n三\n\n\n\n\n四\n") == (
        "　一\n\n二\n\n\n三\n\n\n四",
        5,
    )
    assert normalise("一\n \n　\n\t\n\n二")[0] == "一\n\n\n二"


def test_an_empty_text_stays():
    assert normalise("") == ("", Counter())


@pytest.mark.parametrize(
    "unit",
    [
        "\0",
        " ",
        "\u3000",
        " \n",
        "\n",
        "\r",
        "\xa0x",
        "～",
        "か\u3099",
        "\u3099",
        "𠮷",
        "一" + " " * 99,
    ],
)
def test_work_grows_with_length_alone(unit):
    """A million of them; quadratic work would take hours."""
    text = unit * 1_000_000 if len(unit) < 9 else unit * 20_000
    done, _ = normalise("一" + text + "二")
    assert done[0] == "一"
    assert done[-1] == "二"


def test_the_version_is_a_positive_number():
    assert isinstance(module.VERSION, int)
    assert module.VERSION > 0


def test_real_text(real_data: Path):
    """Prepared text needs little: three rules have work in it, and the laws hold there too."""
    totals: Counter[str] = Counter()
    for path in sorted(real_data.glob("*-000.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            text = json.loads(line)["text"]
            done, counts = normalise(text)
            assert (done == text) == (not counts)
            assert normalise(done)[0] is done
            totals += counts
    assert {"wave_dash", "spaces", "invisible"} <= set(totals)
    assert totals["wave_dash"] > 100
