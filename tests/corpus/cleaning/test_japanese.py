import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import japanese

JAPANESE = "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。"
CHINESE = "鲜の每日，我們在這裡介紹東京的美食與文化，希望大家能夠喜歡這個網站的內容。"
KOREAN = "우리는 이곳에서 도쿄의 음식과 문화를 소개합니다. 많은 관심 부탁드립니다. "
ENGLISH = "We introduce the food and culture of Tokyo here, and hope that you like the site. "
SCRIPT = "<script>" + 'var config = {"name": "value", "items": [1, 2]};' * 500 + "</script>"
STYLE = "<STYLE>" + ".header .menu { color: black; font-family: sans-serif }" * 500 + "</STYLE>"


@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        JAPANESE,
        "アイウエオカキクケコサシスセソタチツテト",
        "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄ",
        JAPANESE * 5 + "for (const item of items) { console.log(item.name) }" * 20,
        JAPANESE * 2 + ENGLISH * 5,
    ],
)
def test_text_with_enough_kana_is_japanese(text: str, is_html: bool):
    assert japanese.is_japanese(text, is_html=is_html)


@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "あいうえお",
        CHINESE * 50,
        KOREAN * 50,
        KOREAN * 50 + "「おはようございます、みなさん。きょうはいいてんきですね。」",
        ENGLISH * 20,
        ENGLISH * 20 + "The director is みやざき はやお (宮崎 駿).",
        ENGLISH * 100 + JAPANESE * 2,
        "Мы рассказываем о культуре Токио. " * 50 + JAPANESE,
        "0123456789 \x00\ud800" * 50,
    ],
)
def test_text_with_few_kana_is_not(text: str, is_html: bool):
    assert not japanese.is_japanese(text, is_html=is_html)


def test_tags_scripts_and_styles_of_a_page_do_not_count():
    page = f"<html><head>{SCRIPT}{STYLE}</head><body class='{ENGLISH * 99}'>{JAPANESE}</body>"
    assert japanese.is_japanese(page, is_html=True)
    assert not japanese.is_japanese(page, is_html=False)


def test_kana_in_a_script_do_not_make_a_page_japanese():
    page = f"<body>{ENGLISH}<script>var messages = '{JAPANESE * 20}'</script></body>"
    assert not japanese.is_japanese(page, is_html=True)
    assert not japanese.is_japanese(f"<script>{JAPANESE * 20}", is_html=True)


def test_kana_written_as_numbers_count_in_a_page():
    page = "<p>" + "".join(f"&#{ord(char)};" for char in JAPANESE) + "</p>"
    assert japanese.is_japanese(page, is_html=True)
    assert not japanese.is_japanese(page, is_html=False)


def test_a_long_text_is_judged_by_its_start_and_its_middle():
    filler = "x" * japanese.SAMPLE_CHARS
    text = filler + JAPANESE * 20_000 + filler
    assert japanese.is_japanese(text, is_html=False)
    assert not japanese.is_japanese(filler * 4, is_html=False)


@given(st.text(alphabet='<script>/style!-" あ漢\x00\ud800a', max_size=200), st.booleans())
def test_no_text_raises(text: str, is_html: bool):
    assert japanese.is_japanese(text, is_html=is_html) in (True, False)


@pytest.mark.parametrize("piece", ["<script", "<style>", "</script", "<", "<script></", "<a "])
def test_hostile_pages_end(piece: str):
    assert not japanese.is_japanese(piece * 50_000, is_html=True)


def test_crawled_japanese_pages_pass(raw_data: Path):
    lines = (raw_data / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    pages = [entry for entry in map(json.loads, lines) if entry["kind"].startswith("html")]
    assert len(pages) > 100
    for page in pages:
        text = (raw_data / page["file"]).read_bytes().decode(page["encoding"], "replace")
        assert japanese.is_japanese(text, is_html=True), page["file"]
