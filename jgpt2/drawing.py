"""Lines drawn by matplotlib as SVG that fits into a page: the picture inside `html.line_chart`.

The drawing holds axes, numbers and lines; words stand beside it as HTML. Colours are variables of
the page's style sheet, so that the picture follows it into the dark. matplotlib is imported when
something is drawn, not before.
"""

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

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
DASHES = ((), (6, 2.2), (1.2, 1.8), (7, 2, 1.2, 2))
"""Lengths of ink and gap in points; the first is a solid line."""
MARKERS = ("o", "s", "^", "D", "v")
"""Shapes on a line, by matplotlib's names."""
LINE_WIDTH = 1.4
"""In points."""
_RULE = "#dededa"
_STEPS = (1, 2, 2.5, 5, 10)  # between the numbers of an axis, times a power of ten


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
