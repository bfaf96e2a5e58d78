import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from jgpt2 import drawing
from jgpt2.errors import InputError

PAPER = ("#fdfdfb", "#15171a")


def draw(*points, log_x=False):
    return drawing.lines(points, log_x=log_x, salt="test")


def texts(svg):
    return [node.text for node in svg.iter("text")]


def luminance(colour):
    """Relative luminance by WCAG 2.2, of a colour such as #0072b2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_sixty_lines_can_be_told_apart():
    strokes = list(itertools.islice(drawing.strokes(), 60))
    assert len(set(strokes)) == 60
    for one, other in itertools.combinations(strokes[:4], 2):
        assert not set(one) & set(other)  # the first four differ in everything


@pytest.mark.parametrize("pair", drawing.COLOURS)
def test_every_line_stands_out_from_its_page(pair):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert all(contrast(colour, paper) >= 3 for colour, paper in zip(pair, PAPER, strict=True))


def test_numbers_stay_text_and_take_the_style_of_the_page():
    svg = draw(([0, 250_000, 1_000_000], [4.0, 3.0, 2.0]))
    assert {"0", "200k", "1M", "2", "4"} <= set(texts(svg))
    assert all("style" not in node.attrib for node in svg.iter("text"))
    assert {node.get("text-anchor") for node in svg.iter("text")} == {"middle", "end"}


def test_colours_are_those_of_the_page():
    svg = draw(([1, 2], [1, 2]), ([1, 2], [2, 1]))
    styles = " ".join(node.get("style", "") for node in svg.iter())
    assert "var(--line-0)" in styles and "var(--line-1)" in styles and "#" not in styles


def test_the_drawing_has_no_sheet_namespace_or_idle_id():
    svg = draw(([1, 2], [1, 2]))
    tags = {node.tag for node in svg.iter()}
    assert tags <= {"svg", "g", "defs", "path", "use", "text", "clipPath", "rect"}
    assert all("{" not in name for node in svg.iter() for name in node.attrib)
    ids = [node.get("id") for node in svg.iter() if node.get("id")]
    links = {node.get("href") for node in svg.iter("use")}
    clips = {node.get("clip-path") for node in svg.iter() if node.get("clip-path")}
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} | {f"url(#{name})" for name in ids} >= links | clips
    assert set(svg.attrib) == {"viewBox"}


def test_a_logarithmic_axis_names_powers_or_their_parts():
    assert {"10", "1k", "100k"} <= set(texts(draw(([10, 1000, 1e5], [3, 2, 1]), log_x=True)))
    assert {"100", "200", "500"} <= set(texts(draw(([100, 700], [3, 2]), log_x=True)))


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize(
    "points",
    [
        ([], []),
        ([5], [2.0]),
        ([1, 2, 3], [1.0, math.nan, 2.0]),
        ([1, 2], [math.inf, 1.0]),
        ([1, 2], [math.nan, math.nan]),
        (np.arange(1, 9, dtype=np.float32), np.ones(8, np.float32)),
        ([1, 2], [6e-4, 0.0]),
    ],
    ids=["empty", "one", "gap", "infinite", "nothing", "flat float32", "small"],
)
def test_odd_data_is_drawn_without_a_warning(points, log_x):
    assert draw(points, log_x=log_x).tag == "svg"


def test_small_numbers_are_written_out():
    assert {"0", "0.0002", "0.0006"} <= set(texts(draw(([0, 1], [0.0, 6e-4]))))


def heights(path):
    """Of the bars in a path, up to one place."""
    return [round(abs(float(part.split("h")[0])), 1) for part in path.get("d").split("v")[1:]]


def histogram(above, below, *limits):
    titles = [f"{index}" for index in range(len(above))]
    return drawing.bars(above, below, limits=limits, titles=titles)


def test_bars_grow_with_the_root_of_their_count_by_one_scale():
    svg = histogram([0, 100, 25], [4, 0, 25])
    above, below = svg.findall("path")
    assert heights(above) == pytest.approx([200 / 3, 100 / 3], abs=0.1)
    assert heights(below) == pytest.approx([40 / 3, 100 / 3], abs=0.1)
    assert above.get("fill") == "var(--line-0)" and below.get("fill") == "var(--line-1)"


def test_one_document_is_seen_beside_a_million():
    svg = histogram([10**12, 1], [0, 0])
    assert heights(svg.findall("path")[0])[1] == 2


def test_a_limit_shades_the_side_that_it_refuses():
    upper, lower = drawing.Limit(2.5, refuses_higher=True), drawing.Limit(1, refuses_higher=False)
    svg = histogram([1, 1, 1, 1], [1, 0, 0, 1], upper, lower, drawing.Limit(99, True))
    shades = [box for box in svg.findall("rect") if box.get("class") is None]
    assert [(box.get("x"), box.get("width")) for box in shades] == [
        ("25", "15"), ("0", "10"), ("40", "0"),
    ]  # fmt: skip
    lines = [line.get("x1") for line in svg.findall("line") if line.get("class") == "limit"]
    assert lines == ["25", "10", "40"]


def test_every_bin_says_what_it_holds():
    assert [title.text for title in histogram([1, 2], [0, 0]).iter("title")] == ["0", "1"]


@pytest.mark.parametrize(
    ("above", "below"), [([0], [0]), ([], []), ([-1], [2])], ids=["zero", "none", "negative"]
)
def test_bars_of_nothing_are_refused(above, below):
    with pytest.raises(InputError, match="show nothing; give counts of 0 and more, and one"):
        histogram(above, below)


def test_bars_of_unequal_lengths_are_refused():
    with pytest.raises(InputError, match="2 counts above the axis, 1 below and 2 titles; give one"):
        histogram([1, 2], [1])


def test_the_parts_of_a_bar_lie_side_by_side_and_within_it():
    boxes = drawing.bar([(0, 0.9999), (2, 0.0), (1, 0.0001)]).findall("rect")
    assert [box.get("fill") for box in boxes] == ["var(--line-0)", "var(--line-1)"]
    assert [(box.get("x"), box.get("width")) for box in boxes] == [
        ("0.00%", "99.99%"), ("99.60%", "0.40%"),
    ]  # fmt: skip


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_bar_longer_than_its_room_is_refused(share):
    with pytest.raises(InputError, match="make no bar; give 0 or more, and 1 at most in all"):
        drawing.bar([(0, share)])


def test_a_swatch_is_drawn_as_its_line():
    solid, dashed = itertools.islice(drawing.strokes(), 2)
    assert "stroke-dasharray" not in drawing.swatch(solid).findall("path")[0].attrib
    assert drawing.swatch(dashed).findall("path")[0].get("stroke-dasharray")
    assert tuple(drawing._SHAPES) == drawing.MARKERS


def test_a_picture_stands_alone_with_its_words_and_colours():
    chart = drawing.Chart(
        {"甲 <a>": ([1, 10], [2.5, 2.0]), "乙": ([1, 10], [2.4, 2.1])},
        title="題 & 名",
        x_label="横",
        y_label="縦",
        log_x=True,
    )
    text = drawing.picture(chart)
    root = ElementTree.fromstring(text)
    words = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"甲 <a>", "乙", "題 & 名", "横", "縦"} <= words
    sheet = root.find("{http://www.w3.org/2000/svg}style")
    assert sheet is not None and sheet.text is not None
    referred = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    defined = set(re.findall(r"(--[a-z0-9-]+):", sheet.text))
    assert referred and referred <= defined
    assert text == drawing.picture(chart)
