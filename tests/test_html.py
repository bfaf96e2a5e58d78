import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib
import pytest

from jgpt2 import drawing, html
from jgpt2.errors import InputError

HOSTILE = "<script>alert('x')</script> & \"猫\""
SERIES = {"バイト": ([1, 2, 3], [3.0, 2.5, 2.25]), "語彙 $8k$": ([1, 2, 3], [3.5, 2.4, 2.0])}


class Reader(HTMLParser):
    """Reads a document, holds it to balanced tags, and keeps what it saw."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(document)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"an attribute twice: {attrs}"
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.texts.append(data)

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


def chart(title="検証", **changes):
    given = {"title": title, "x_label": "バイト数", "y_label": "ビット毎バイト"}
    return html.line_chart(SERIES, **given | changes)


def whole_page(text="本文"):
    table = html.table(["語彙", text], [[text, "1"], ["byte", "2"]], caption=text, numeric=[text])
    sections = [
        text,
        html.section(text, table, text),
        html.section("曲線", html.figure(chart(text), text)),
        html.section("見本", html.excerpt(text, text)),
    ]
    return html.page(text, lang="ja", sections=sections)


def test_a_plain_string_is_escaped_and_markup_is_not():
    escaped = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;猫&quot;"
    assert html.escape(HOSTILE) == escaped
    assert html.escape(html.escape(HOSTILE)) == escaped
    assert html.join(["<i>", html.Markup("<b>"), "&"]) == "&lt;i&gt;<b>&amp;"


def test_markup_joined_with_text_is_no_longer_markup():
    bold = html.element("b", "太字")
    for unsafe in (bold + HOSTILE, f"{bold}{HOSTILE}", bold.replace("太字", HOSTILE), bold.upper()):
        assert type(unsafe) is str
        assert "<script" not in html.element("p", unsafe).lower()


def test_markup_cannot_be_changed():
    with pytest.raises(AttributeError):
        html.Markup("<b>").text = "x"  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ['" onload="x', "'><script>", HOSTILE, html.Markup('"><i>')])
def test_an_attribute_cannot_be_left(value):
    seen = Reader(html.element("p", "text", attributes={"title": value}))
    assert seen.attributes == [("title", str(value))]
    assert seen.tags == ["p"]


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("\x00", "[U+0000]"),
        ("\x1b[31m赤", "[U+001B][31m赤"),
        ("\r\n", "[U+000D]\n"),
        ("\x7f\x85\x9f", "[U+007F][U+0085][U+009F]"),
        ("exe.\u202egpj", "exe.[U+202E]gpj"),
        ("\u2066\u2067\u2068\u2069", "[U+2066][U+2067][U+2068][U+2069]"),
        ("\u200e\u200f\u061c", "[U+200E][U+200F][U+061C]"),
        ("\u2028\u2029", "[U+2028][U+2029]"),
        ("前\ud83d後", "前[U+D83D]後"),
    ],
)
def test_what_hides_or_reorders_becomes_visible(text, visible):
    assert html.escape(text) == visible
    html.escape(text).encode("utf-8")


@pytest.mark.parametrize(
    "text",
    ["\t段落\n", "　全角", "ｶﾅ", "か\u3099", "👩‍👩‍👧", "𠮷", "🏴\U000e0067\U000e007f", "שלום"],
)
def test_ordinary_text_is_left_alone(text):
    assert html.escape(text) == text


def test_a_table_has_heads_rows_and_numbers_to_the_right():
    made = html.table(
        ["語彙", "bpb"], [["byte", "2.1"], ["sp", "1.9"]], caption="比較", numeric=["bpb"]
    )
    seen = Reader(made)
    assert [text for text in seen.texts if text.strip()] == [
        "比較", "語彙", "bpb", "byte", "2.1", "sp", "1.9",
    ]  # fmt: skip
    assert seen.values("scope") == ["col", "col", "row", "row"]
    assert made.count('class="number"') == 3
    assert '<td class="number">2.1</td>' in made and '<th scope="row">byte</th>' in made


def test_a_cell_may_be_markup():
    made = html.table(["a"], [[html.element("strong", HOSTILE)]], caption="")
    assert "<strong>&lt;script&gt;" in made


def test_a_table_without_rows_is_a_table():
    assert Reader(html.table(["a", "b"], [], caption="空")).tags.count("tr") == 1


def test_a_row_of_another_length_is_refused():
    with pytest.raises(
        InputError, match=r"the row \['x'\] has 1 cells for 2 columns; give one cell"
    ):
        html.table(["a", "b"], [["x"]], caption="")


def test_an_unknown_numeric_column_is_refused():
    with pytest.raises(
        InputError, match=r"numeric=\['c'\] are no columns; choose among \['a', 'b'\]"
    ):
        html.table(["a", "b"], [], caption="", numeric=["c"])


def test_blocks_stand_side_by_side():
    made = html.beside(html.excerpt("左", "一"), html.excerpt("右 <b>", "二"))
    assert made.startswith('<div class="beside"><figure')
    assert made.index("左") < made.index("右 &lt;b&gt;")


def test_details_fold_their_blocks():
    made = html.details("要約 <b>", "本文 <i>", html.listing(["x"]))
    assert made.startswith("<details><summary>要約 &lt;b&gt;</summary><p>本文 &lt;i&gt;</p><pre")
    assert html.details("要約", is_open=True).startswith('<details open="">')


def test_tiles_show_label_figure_and_note():
    seen = Reader(html.tiles([("文書 <b>", "1,234", "91%"), ("字", "5", "")]))
    assert [text for text in seen.texts if text] == ["文書 <b>", "1,234", "91%", "字", "5"]
    assert seen.tags.count("dt") == 2 and seen.tags.count("dd") == 4


def test_bars_stand_below_their_labels():
    rows = [html.Bar("読む <b>", "9 → 8", [(0, 0.8), (1, 0.1)], "注 &"), html.Bar("採点", "8", [])]
    seen = Reader(html.bar_chart(rows))
    assert seen.texts == ["読む <b>", "9 → 8", "注 &", "採点", "8"]
    assert seen.values("width") == ["80.00%", "10.00%"] and seen.values("x") == ["0.00%", "80.00%"]
    assert Reader(html.legend(["通過", "除外"])).values("fill") == seen.values("fill")


def test_a_histogram_has_its_words_outside_the_picture():
    svg = drawing.bars([1, 2], [0, 3], limits=[], titles=["<1", "1–2"])
    chart = html.histogram(
        svg, title="長さ <b>", label="通過 3", ticks=[(0, "0"), (0.5, "1")], note="下限 1"
    )
    seen = Reader(html.multiples([chart, chart]))
    assert seen.texts == ["長さ <b>", "<1", "1–2", "0", "1", "下限 1"] * 2
    assert seen.values("aria-label") == ["長さ <b>: 通過 3"] * 2
    assert seen.values("style") == ["left:0.00%", "left:50.00%"] * 2


def test_a_listing_keeps_its_lines():
    made = html.listing(["jgpt2 quickstart --out 'a b'", "jgpt2 count <size>"])
    assert made.startswith('<pre tabindex="0"><code>jgpt2 quickstart --out')
    assert "\njgpt2 count &lt;size&gt;</code></pre>" in made


def test_an_excerpt_keeps_its_lines_and_its_language():
    made = html.excerpt("一行目\n  二行目 <b>", "合成")
    assert '<blockquote lang="ja">一行目\n  二行目 &lt;b&gt;</blockquote>' in made
    assert "<figcaption>合成</figcaption>" in made
    assert "blockquote{" in html._CSS and "white-space:pre-wrap" in html._CSS


def test_a_page_is_whole_and_parses():
    page = whole_page()
    seen = Reader(page)
    assert page.startswith('<!DOCTYPE html>\n<html lang="ja">\n<head>\n<meta charset="utf-8">')
    assert {"title", "h1", "h2", "table", "svg", "figcaption", "blockquote"} <= set(seen.tags)
    assert seen.tags.count("h1") == 1 and seen.tags.count("main") == 1
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in seen.values("content")
    assert "width=device-width, initial-scale=1" in seen.values("content")
    assert "prefers-color-scheme:dark" in page


def test_plain_strings_among_sections_are_paragraphs():
    assert "<p>&lt;b&gt;</p>" in html.page("t", lang="en", sections=["<b>"])
    assert html.section("題", "文") == "<section><h2>題</h2><p>文</p></section>"


@pytest.mark.parametrize(
    "text", [HOSTILE, "</title></style>--><svg onload=x>", '" autofocus onfocus="x']
)
def test_hostile_text_stays_text_everywhere(text):
    seen, plain = Reader(whole_page(text)), Reader(whole_page())
    assert seen.tags == plain.tags
    assert {name for name, _ in seen.attributes} == {name for name, _ in plain.attributes}
    assert "".join(seen.texts).count(text) == "".join(plain.texts).count("本文") == 12


def test_a_page_of_any_characters_can_be_written():
    page = whole_page("\x00\x1b\u202e\ud800\ufffe終")
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)
    assert Reader(page).values("aria-label")[0].startswith("[U+0000][U+001B][U+202E][U+D800]")


def test_a_page_needs_nothing_from_outside():
    page = whole_page()
    seen = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "a", "image"} & set(seen.tags)
    assert not [pair for pair in seen.attributes if "//" in (pair[1] or "")]
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert all(value.startswith("#") for value in seen.values("href"))
    assert not re.search(r"@import|@font-face|url\((?!#)", page)
    assert "http" not in page.replace("http-equiv", "")


def test_no_id_is_given_twice_on_a_page_of_two_charts():
    page = html.page("t", lang="ja", sections=[chart("一"), chart("二")])
    ids = Reader(page).values("id")
    assert ids and len(ids) == len(set(ids))


def test_the_words_of_a_chart_are_html():
    seen = Reader(chart())
    words = [text for text in seen.texts if not re.fullmatch(r"[\d.]+", text)]
    assert words == ["検証", "バイト", "語彙 $8k$", "ビット毎バイト", "バイト数"]
    assert seen.values("aria-label") == ["検証: ビット毎バイト – バイト数"]


def test_the_legend_shows_each_line_as_it_is_drawn():
    assert tuple(drawing._SHAPES) == drawing.MARKERS
    seen = Reader(chart())
    assert seen.values("stroke") == ["var(--line-0)", "var(--line-1)"]
    assert len(seen.values("stroke-dasharray")) == 1  # the first is solid


def test_equal_charts_are_equal_bytes():
    assert chart() == chart()
    assert chart() != chart("別")
    assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d", chart())


def test_a_chart_is_the_same_in_another_process():
    arguments = "title='検証', x_label='バイト数', y_label='ビット毎バイト'"
    code = (
        "import hashlib; from jgpt2 import html;"
        f"chart = html.line_chart({SERIES!r}, {arguments});"
        "print(hashlib.sha256(chart.encode()).hexdigest())"
    )
    command = [sys.executable, "-X", "utf8", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(chart().encode()).hexdigest()


def test_the_users_settings_of_matplotlib_do_not_matter_and_stay():
    expected = chart()
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.fonttype": "path", "font.size": 30}):
        assert chart() == expected
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_a_chart_without_lines_is_refused():
    with pytest.raises(InputError, match="the chart '検証' has no line; give one series or more"):
        html.line_chart({}, title="検証", x_label="", y_label="")


def test_a_line_of_unequal_lengths_is_refused():
    with pytest.raises(InputError, match="the line 'a' has 2 xs and 1 ys; give one y for each x"):
        html.line_chart({"a": ([1, 2], [1])}, title="", x_label="", y_label="")


def test_zero_on_a_logarithmic_axis_is_refused():
    with pytest.raises(InputError, match="the line 'a' starts at x=0, which a logarithmic axis"):
        html.line_chart({"a": ([0, 2], [1, 1])}, title="", x_label="", y_label="", log_x=True)
