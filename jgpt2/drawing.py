"""Pictures as SVG that fits into a page: lines by matplotlib, and bars, for the charts of `html`.

A drawing of lines holds its axes and numbers; words stand beside it as HTML. Colours are variables
of the page's style sheet, so that the picture follows it into the dark; `picture` makes a file that
brings words and colours with it. matplotlib is imported when lines are drawn, not before.
"""

import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree import ElementTree

from jgpt2.errors import InputError

Points = tuple[Sequence[float], Sequence[float]]
"""The xs and the ys of one line, of equal length; NaN makes a gap."""

COLOURS = (
    ("#0072b2", "#56b4e9"),  # blue
    ("#c24e00", "#f0894e"),  # vermilion
    ("#00805d", "#2fbf95"),  # bluish green
    ("#a14a79", "#dd9cc0"),  # reddish purple
    ("#946500", "#e6b13c"),  # orange
    ("#50565e", "#b9bdc2"),  # grey
)
"""Of lines, on a light and on a dark page: the colour-blind safe hues of Okabe and Ito (2008), each
darker or lighter until it stands at 3:1 or more against its page (WCAG 2.2, 1.4.11)."""
FILLS: tuple[dict[str, str], ...] = (
    {"fill": "var(--line-0)"},
    {"fill": "var(--line-1)"},
    {"fill": "var(--line-5)", "fill-opacity": "0.4"},
)
"""Of the parts of bars; the last is for what is of no concern."""
DASHES = ((), (6, 2.2), (1.2, 1.8), (7, 2, 1.2, 2))
"""Lengths of ink and gap in points; the first is a solid line."""
MARKERS = ("o", "s", "^", "D", "v")
"""Shapes on a line, by matplotlib's names."""
_SHAPES = {
    "o": "M18 2.6a3.4 3.4 0 1 0 .01 0z",
    "s": "M14.8 2.8h6.4v6.4h-6.4z",
    "^": "M18 1.8l4 7.4h-8z",
    "D": "M18 1.6l4.4 4.4-4.4 4.4-4.4-4.4z",
    "v": "M18 10.2l4-7.4h-8z",
}
"""The shapes of MARKERS in the legend's boxes."""
LINE_WIDTH = 1.4
"""In points."""
GROUND = (
    ("paper", "#fdfdfb", "#15171a"),
    ("ink", "#20242a", "#e4e4df"),
    ("rule", "#dededa", "#34383e"),
)
"""What lies around the lines: its variable, on a light and on a dark page."""
_RULE = GROUND[2][1]
_BIN, _HEIGHT = 10, 100
_LOWEST = 2.0
_THINNEST = 0.004
"""Height and width of the smallest bars, so that a count of 1 beside a million is seen."""
_STEPS = (1, 2, 2.5, 5, 10)  # between the numbers of an axis, times a power of ten
_LINE_HEIGHT, _ENTRIES = 14, 3  # of the words of a picture, in points; of its legend, in a row


@dataclass(frozen=True)
class Chart:
    """Lines and the words around them."""

    series: Mapping[str, Points]
    """Label -> its line."""
    title: str
    x_label: str
    y_label: str
    log_x: bool = False


class Stroke(NamedTuple):
    """How one line is drawn: no two of the first 60 share colour, dashes and marker."""

    colour: int
    """Index into COLOURS."""
    dashes: tuple[float, ...]
    marker: str


def strokes() -> Iterator[Stroke]:
    """The strokes in the order in which the lines of a chart take them, without end."""
    for index in itertools.count():
        dashes, marker = DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)]
        yield Stroke(index % len(COLOURS), dashes, marker)


def swatch(stroke: Stroke) -> ElementTree.Element:
    """A piece of a line for the legend: 36 × 12 points."""
    colour = f"var(--line-{stroke.colour})"
    line = {"d": "M1 6h34", "stroke": colour, "stroke-width": f"{LINE_WIDTH * 1.4}", "fill": "none"}
    if stroke.dashes:
        line["stroke-dasharray"] = " ".join(str(length * 1.4) for length in stroke.dashes)
    svg = ElementTree.Element("svg", {"viewBox": "0 0 36 12", "aria-hidden": "true"})
    ElementTree.SubElement(svg, "path", line)
    ElementTree.SubElement(svg, "path", {"d": _SHAPES[stroke.marker], "fill": colour})
    return svg


def bar(parts: Sequence[tuple[int, float]]) -> ElementTree.Element:
    """A bar of parts: number of one of FILLS, share of the full width; what is not 0 is seen.

    Raises InputError when a share is below 0 or no number, or the sum is above 1.
    """
    shares = [share for _, share in parts]
    if not (all(share >= 0 for share in shares) and sum(shares) < 1 + 1e-9):
        raise InputError(f"the shares {shares} make no bar; give 0 or more, and 1 at most in all.")
    svg = ElementTree.Element("svg", {"aria-hidden": "true"})
    start = 0.0
    for fill, share in parts:
        if share:
            width = max(share, _THINNEST)
            start = min(start, 1 - width)
            box = {"x": f"{start:.2%}", "width": f"{width:.2%}", "height": "100%"}
            ElementTree.SubElement(svg, "rect", box | FILLS[fill])
            start += width
    return svg


def lines(points: Sequence[Points], *, log_x: bool, salt: str) -> ElementTree.Element:
    """The lines with their axes as one `svg` element; equal arguments give equal elements.

    Give each drawing of a page another `salt`, so that their ids differ.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # what the user's own matplotlibrc says must not matter
        matplotlib.rcParams.update(_settings(salt))
        picture = Figure(figsize=(6.4, 3.3), layout="constrained")
        axes = picture.add_subplot()
        picture.patch.set_visible(False)
        axes.patch.set_visible(False)
        for (xs, ys), stroke in zip(points, strokes(), strict=False):
            axes.plot(
                xs,
                ys,
                color=COLOURS[stroke.colour][0],
                linestyle=(0, stroke.dashes) if stroke.dashes else "solid",
                marker=stroke.marker,
                markevery=max(1, len(xs) // 8),
            )
        _set_ticks(axes, log_x=log_x)
        svg = io.StringIO()
        picture.savefig(svg, format="svg", metadata={"Date": None})
    return _tidy(svg.getvalue())


def picture(chart: Chart) -> str:
    """The chart as an SVG file that stands alone: words, colours and background inside it.

    It follows the reader's preference for light or dark; equal arguments give equal text.
    """
    drawn = lines(list(chart.series.values()), log_x=chart.log_x, salt=f"jgpt2 {chart.title}")
    width, height = (float(size) for size in drawn.attrib["viewBox"].split()[2:])
    rows = math.ceil(len(chart.series) / _ENTRIES)
    top = _LINE_HEIGHT * (rows + 2.5)
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width:g} {top + height + _LINE_HEIGHT:g}",
            "role": "img",
            "aria-label": f"{chart.title}: {chart.y_label} – {chart.x_label}",
        },
    )
    ElementTree.SubElement(svg, "style").text = _style()
    _add(svg, "rect", {"width": "100%", "height": "100%", "fill": "var(--paper)"})
    _add(svg, "text", {"x": 6.0, "y": 12.0, "font-weight": "bold"}).text = chart.title
    for index, (label, stroke) in enumerate(zip(chart.series, strokes(), strict=False)):
        x = 6 + index % _ENTRIES * (width - 6) / _ENTRIES
        y = _LINE_HEIGHT * (1.2 + index // _ENTRIES)
        mark = swatch(stroke)
        mark.attrib |= {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": "30", "height": "10"}
        svg.append(mark)
        _add(svg, "text", {"x": x + 34, "y": y + 8.0}).text = label
    _add(svg, "text", {"x": 6.0, "y": top - 4.0}).text = chart.y_label
    drawn.attrib |= {"y": f"{top:g}", "width": f"{width:g}", "height": f"{height:g}"}
    svg.append(drawn)
    end = {"x": width - 6, "y": top + height + 8, "text-anchor": "end"}
    _add(svg, "text", end).text = chart.x_label
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


class Limit(NamedTuple):
    """A threshold on the axis of bars."""

    place: float
    """In bins from the left: 2.5 lies in the middle of the third."""
    refuses_higher: bool
    """Whether what lies to the right of it is refused, or what lies to the left."""


def bars(
    above: Sequence[int], below: Sequence[int], *, limits: Sequence[Limit], titles: Sequence[str]
) -> ElementTree.Element:
    """Two histograms over the same bins as one `svg`, the second hanging from the axis.

    The height of a bar is the root of its count, in both by one scale, so that a few documents
    are seen beside many; `titles` are shown when a bin is pointed at. The sides that the limits
    refuse are shaded. The picture has no ratio of its own: it fills whatever box it is given.
    Raises InputError for unequal lengths, counts below 0, or no count at all.
    """
    if not len(above) == len(below) == len(titles):
        raise InputError(
            f"{len(above)} counts above the axis, {len(below)} below and {len(titles)} titles; "
            "give one of each for every bin."
        )
    if min([*above, *below], default=0) < 0 or not any([*above, *below]):
        raise InputError(
            f"the counts {list(above)} and {list(below)} show nothing; "
            "give counts of 0 and more, and one at least above 0."
        )
    roots = [[math.sqrt(count) for count in counts] for counts in (above, below)]
    unit = _HEIGHT / (max(roots[0]) + max(roots[1]))
    axis = max(roots[0]) * unit
    width = len(above) * _BIN
    svg = ElementTree.Element(
        "svg", {"viewBox": f"0 0 {width} {_HEIGHT}", "preserveAspectRatio": "none"}
    )
    for limit in limits:
        x = min(max(limit.place * _BIN, 0), width)
        left, right = (x, width) if limit.refuses_higher else (0, x)
        _add(svg, "rect", {"x": left, "y": 0, "width": right - left, "height": _HEIGHT})
    for heights, sign, fill in zip(roots, (-1, 1), FILLS, strict=False):
        path = "".join(
            f"M{index * _BIN + 1} {axis:.2f}v{sign * max(height * unit, _LOWEST):.2f}"
            f"h{_BIN - 2}V{axis:.2f}z"
            for index, height in enumerate(heights)
            if height
        )
        ElementTree.SubElement(svg, "path", {"d": path} | fill)
    _add(svg, "line", {"x1": 0, "x2": width, "y1": axis, "y2": axis, "class": "axis"})
    for limit in limits:
        x = min(max(limit.place * _BIN, 0), width)
        _add(svg, "line", {"x1": x, "x2": x, "y1": 0, "y2": _HEIGHT, "class": "limit"})
    for index, title in enumerate(titles):
        box = {"x": index * _BIN, "y": 0, "width": _BIN, "height": _HEIGHT, "class": "bin"}
        ElementTree.SubElement(_add(svg, "rect", box), "title").text = title
    return svg


def variables() -> tuple[str, str]:
    """The variables of CSS that drawings refer to, with their colours: on a light, a dark page."""
    light, dark = (
        "".join(f"--{ground[0]}:{ground[1 + side]};" for ground in GROUND)
        + "".join(f"--line-{number}:{pair[side]};" for number, pair in enumerate(COLOURS))
        for side in range(2)
    )
    return light, dark


def _style() -> str:
    """The sheet of a picture: its colours, and the type of its words."""
    light, dark = variables()
    return (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        'text{font-family:"Hiragino Sans","Noto Sans JP","Noto Sans CJK JP","Yu Gothic",Meiryo,'
        "sans-serif;font-size:8px;fill:var(--ink)}"
    )


def _add(svg: ElementTree.Element, tag: str, given: dict[str, str | float]) -> ElementTree.Element:
    shown = {
        name: value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
        for name, value in given.items()
    }
    return ElementTree.SubElement(svg, tag, shown)


def _settings(salt: str) -> Any:  # matplotlib types its keys as one long Literal
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,
        "font.size": 8,
        "axes.edgecolor": _RULE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": _RULE,
        "grid.linewidth": 0.6,
        "xtick.color": _RULE,
        "ytick.left": False,
        "lines.linewidth": LINE_WIDTH,
        "lines.markersize": 4,
        "lines.scale_dashes": False,
    }


def _set_ticks(axes: Any, *, log_x: bool) -> None:
    """Numbers a reader takes in at a glance: 250, 20k, 1.5M across, plain decimals upwards."""
    from matplotlib import ticker

    if log_x:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        steps = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=steps, numticks=8))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, steps=_STEPS))
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=6, steps=_STEPS))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.6g}"))


def _tidy(svg: str) -> ElementTree.Element:
    """The drawing as part of an HTML page.

    It has no namespaces, metadata or style sheet of its own, ids only where they are referred to,
    and variables of the page for colours.
    """
    root = ElementTree.fromstring(svg)
    used = set(re.findall(r'="(?:url\()?#([^")]+)', svg))
    for parent in root.iter():
        for child in [child for child in parent if re.search("metadata$|style$", child.tag)]:
            parent.remove(child)
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        given = {name.rpartition("}")[2]: value for name, value in node.attrib.items()}
        if given.get("id") not in used:
            given.pop("id", None)
        if "style" in given:
            given |= _restyle(given.pop("style"), is_text=node.tag == "text")
        node.attrib.clear()
        node.attrib.update(given)
        node.text, node.tail = (node.text or "").strip() or None, None
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    return root


def _restyle(style: str, *, is_text: bool) -> dict[str, str]:
    """The attributes that stand for a style of matplotlib; text keeps its anchor alone."""
    if is_text:
        anchor = re.search("text-anchor: (start|middle|end)", style)
        return {"text-anchor": anchor[1]} if anchor else {}
    for number, (light, _) in enumerate(COLOURS):
        style = style.replace(light, f"var(--line-{number})")
    return {"style": style.replace(_RULE, "var(--rule)")}
