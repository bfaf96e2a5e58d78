import gzip
import json
import logging
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import charset, extract

EXTRACTORS: list[extract.Extractor] = ["careful", "fast"]
PROSE = (
    "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。意地を通せば窮屈だ。"
    * 4
)
FURNITURE = (
    "お問い合わせ",
    "プライバシーポリシー",
    "会員登録",
    "サイトマップ",
    "最近の記事",
    "月別アーカイブ",
    "関連記事：",
    "All Rights Reserved",
    "無断転載を禁じます",
    "トラックバック(0)",
    "はてブ LINEで送る",
)


PIECES = [
    *re.findall(
        r"<[^<>]+>",
        "<p></p><div></div><ul><li></ul><table><tr><td></table><pre></pre><br><a href=x></a><b>"
        "<rt><ruby><!-- --><script></script><form><html><body><head><title></title><svg><math>"
        "<frameset><button></button><code></code><div class=sns><h1></h1>",
    ),
    *("&#0;", "&#xD800;", "&#1;", "&amp;", "<", ">", "&", "\x00", "\ud800", "\n", " ", "\u3000"),
    *("日本語の文章です。", "word", PROSE),
]


@pytest.fixture(params=EXTRACTORS)
def extractor(request: pytest.FixtureRequest) -> extract.Extractor:
    return request.param


def page(body: str, head: str = "<title>山路</title>") -> str:
    return (
        f'<!DOCTYPE html><html lang="ja"><head>{head}</head><body><div class="entry">'
        f"<h1>山路</h1><p>{PROSE}</p>{body}<p>{PROSE[:60]}</p></div></body></html>"
    )


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<b>日本</b>語の<i>文</i>です。", "日本語の文です。"),
        ("<span>日</span><span>本</span>語", "日本語"),
        ('<font color="a>b">日</font>本', "日本"),
        ("この<code>print</code>を使う", "このprintを使う"),
        ("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を読む", "漢字を読む"),
        ("<ruby><rb>東</rb><rb>京</rb><rt>とう<rt>きょう</ruby>都", "東京都"),
        ("<ruby>山<RT><span>やま</span></RT></ruby>路", "山路"),
        ("一行目<br>二行目<br/>三行<b>目</b>", "一行目\n二行目\n三行目"),
        ("折り返し\n  た文と<b>強\n調</b>\nです", "折り返した文と強調です"),
        ("折り返し\r\nた文", "折り返した文"),
        ("参照は<a href='x'>節</a>\nにある", "参照は節にある"),
        ("two\nwords と\nword", "two words と word"),
        ("山 田", "山 田"),
        ("A &amp; B &lt;x&gt; &#12354;&#x3042;い", "A & B <x> ああい"),
        ("前\x00後\x1bろ", "前 後 ろ"),
        ("前<!-- 注 -->後", "前後"),
        ("前<script>var x = '<p>';</script>後", "前後"),
    ],
)
def test_inline_markup_and_line_ends_leave_no_trace(
    extractor: extract.Extractor, markup: str, text: str
):
    found = extract.main_text(
        page(f"<p>{markup}を、ここに書いておく。</p>"), extractor=extractor
    ).text
    assert f"\n{text}を、ここに書いておく。\n" in found


def test_blocks_are_lines_and_code_keeps_its_own(extractor: extract.Extractor):
    body = (
        "<h2>見出し</h2><p>段落の文章。</p><ul><li>一つ目の項目</li><li><p>二つ目の項目</p></li></ul>"
        "<pre>def f():\n    return 1\n日本\n語</pre>"
        "<table><tr><th>名前</th><td>山田</td></tr><tr><th>年齢</th><td>20歳</td></tr></table>"
    )
    text = extract.main_text(page(body), extractor=extractor).text
    assert "\n見出し\n段落の文章。\n- 一つ目の項目\n- 二つ目の項目\n" in text
    assert "\ndef f():\n    return 1\n日本\n語\n" in text
    assert "\n名前\t山田\n年齢\t20歳\n" in text


def test_line_ends_in_unclosed_pre_stay(extractor: extract.Extractor):
    html = f"<html><body><p>{PROSE}</p><pre>日本\n語\n</body></html>"
    assert extract.main_text(html, extractor=extractor).text.endswith("日本\n語")


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("<title>山路 | 草枕の文庫</title>", "山路"),
        ("<title>草枕の文庫</title>", "草枕の文庫"),
        ("<TITLE lang=ja>\n 山路 \n</TITLE>", "山路"),
        ("<title></title>", "山路"),
        ("", "山路"),
        ("<title>A &amp; B\x00</title>", "A & B"),
        ('<title>草枕 - 文庫</title><meta content="草枕" property="og:title">', "草枕"),
        ('<title>文庫</title><meta content="草枕" property="og:title">', "文庫"),
    ],
)
def test_the_title_is_that_of_the_article(extractor: extract.Extractor, head: str, title: str):
    assert extract.main_text(page("", head), extractor=extractor).title == title


def test_the_title_stands_in_the_text_at_most_once(extractor: extract.Extractor):
    html = page("<h2>山路</h2><p>山路 | 文庫</p>", "<title>山路 | 文庫</title>")
    lines = extract.main_text(html, extractor=extractor).text.split("\n")
    assert sum(line in ("山路", "山路 | 文庫") for line in lines) == 1


def test_the_share_of_links_counts_characters(extractor: extract.Extractor):
    linked, plain = "これはリンクの文字列", "これはリンクの外にある文字列で、終わり。" * 9
    html = f"<html><body><p>{plain}<a href='/x'>{linked}</a>{plain}</p></body></html>"
    found = extract.main_text(html, extractor=extractor)
    assert found.text == plain + linked + plain
    assert found.link_share == pytest.approx(len(linked) / len(found.text))
    assert extract.main_text(page(""), extractor=extractor).link_share == 0.0


def test_menus_are_left_out_though_nothing_names_them(extractor: extract.Extractor):
    menu = "".join(f"<li><a href='/{n}'>{name}</a></li>" for n, name in enumerate(FURNITURE))
    html = f"<html><body><ul>{menu}</ul><p>{PROSE}</p><div>{menu}</div></body></html>"
    assert extract.main_text(html, extractor=extractor).text == PROSE


def test_a_page_of_definitions_is_not_lost_by_the_careful_extractor():
    body = "".join(f"<dt>用語{n}<dd>用語{n}の説明は、次のとおりである。" for n in range(50))
    html = f"<html><body><dl>{body}</dl><p>以上。</p></body></html>"
    found = extract.main_text(html, extractor="careful").text
    assert found.count("の説明は、次のとおりである。") == 50


@pytest.mark.parametrize(
    "html",
    [
        "",
        " \n",
        "\x00",
        "<!-- nothing -->",
        "<html></html>",
        "<?xml version='1.0' encoding='EUC-JP'?>",
        "<html><head><title>題</title></head><frameset><frame src=a></frameset></html>",
        "<script>var a = '日本語の文章です';</script>",
        "<html><body><img src=x></body></html>",
    ],
)
def test_a_page_without_text_gives_none(extractor: extract.Extractor, html: str):
    found = extract.main_text(html, extractor=extractor)
    assert (found.text, found.link_share) == ("", 0.0)


@pytest.mark.parametrize(
    "start",
    [
        '<?xml version="1.0" encoding="Shift_JIS"?><!DOCTYPE html>',
        '<meta charset="Shift_JIS">',
        "\ufeff",
        "\x00\ufffe\ud800",
        "<p>" * 1000,
        "<div>" * 50_000,
        "<ul><li>" * 20_000,
        "<table><tr><td>" * 5_000,
        "<blockquote>" * 20_000,
        "<b><i><font>" * 20_000,
        "<!--" * 1000 + "-->",
        "<p " + "a=1 " * 50_000 + ">",
        "<b a=\"<b a='>" * 20_000 + "'\">",
        "<i></i>\n" * 50_000,
    ],
)
def test_odd_pages_still_give_their_text(extractor: extract.Extractor, start: str):
    found = extract.main_text(f"{start}<p>{PROSE}</p>", extractor=extractor)
    assert PROSE in found.text


def test_a_page_of_ten_million_characters_is_cut(extractor: extract.Extractor):
    found = extract.main_text("<p>" + "日本語" * 3_400_000, extractor=extractor)
    assert extract.MAX_CHARS - 10 < len(found.text) <= extract.MAX_CHARS


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_no_page_raises_and_what_is_found_is_clean(pieces: list[str]):
    for extractor in EXTRACTORS:
        found = extract.main_text("".join(pieces), extractor=extractor)
        assert 0.0 <= found.link_share <= 1.0
        assert found.text == found.text.strip("\n")
        assert not found.text or all(line.strip() for line in found.text.split("\n"))
        assert not extract._INVALID.search(found.text + found.title)
        (found.text + found.title).encode()


def test_pages_before_do_not_change_what_a_page_gives(extractor: extract.Extractor):
    first = extract.main_text(page("<p>くり返す段落の文章。</p>"), extractor=extractor)
    for _ in range(5):
        assert extract.main_text(page("<p>くり返す段落の文章。</p>"), extractor=extractor) == first


def test_nothing_is_logged(extractor: extract.Extractor, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        extract.main_text("nothing", extractor=extractor)
        extract.main_text(page(""), extractor=extractor)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def _grams(text: str) -> Counter[str]:
    dense = "".join(text.split())
    return Counter(dense[start : start + 5] for start in range(len(dense) - 4))


def _articles(data: Path) -> list[tuple[str, str]]:
    """Framed blog pages and the text of the article in each."""
    lines = (data / "raw" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    framed = [entry for entry in map(json.loads, lines) if entry["kind"] == "html-framed"]
    texts = {}
    for path in sorted(data.glob("web-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts |= {record["id"]: record["text"] for record in map(json.loads, file)}
    return [(_page(data / "raw" / entry["file"]), texts[entry["clean_id"]]) for entry in framed]


def _page(path: Path) -> str:
    decoded = charset.decode(path.read_bytes(), is_html=True)
    assert decoded is not None
    return decoded.text


def test_framed_articles_come_out_without_their_frames(
    extractor: extract.Extractor, real_data: Path
):
    """F1 of character 5-grams by mean precision and recall; the references lack code blocks."""
    precisions, recalls = [], []
    articles = _articles(real_data)
    assert len(articles) == 48
    for html, reference in articles:
        found = extract.main_text(html, extractor=extractor).text
        for phrase in FURNITURE:
            assert phrase not in found or phrase in reference
        have, want = _grams(found), _grams(reference)
        common = (have & want).total()
        precisions.append(common / have.total())
        recalls.append(common / want.total())
    precision, recall = sum(precisions) / 48, sum(recalls) / 48
    assert 2 * precision * recall / (precision + recall) > 0.83
