"""One self-contained HTML file: escaped text, tables, charts, and the page around them.

Reports of every layer are made of these. A page has no script and loads nothing, so that it can be
mailed or archived; the caller writes it with `jgpt2.manifest.write_text`. Text from the web or from
a model is safe by default: a plain `str` is always escaped, only `Markup` is taken as it is.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape as _escape_markup
from typing import NamedTuple
from xml.etree import ElementTree

from jgpt2 import drawing
from jgpt2.errors import InputError

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"  # line separators, direction marks
    "\ud800-\udfff]"  # unpaired surrogates, which UTF-8 cannot hold
)


class Markup(str):
    """HTML that is already safe; joining it with other strings gives a plain, unsafe `str`."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """The text as HTML, for content and quoted attributes; Markup is returned as it is.

    Characters that hide or reorder their neighbours (control characters, direction marks, unpaired
    surrogates) become visible signs.

    >>> escape("<b>「猫 & 犬」</b>")
    '&lt;b&gt;「猫 &amp; 犬」&lt;/b&gt;'
    >>> escape("改竄\\u202eされた\\x00名前")
    '改竄[U+202E]された[U+0000]名前'
    """
    return text if isinstance(text, Markup) else _escape(text)


def _escape(text: str) -> Markup:
    return Markup(_escape_markup(_visible(text), quote=True))


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda match: f"[U+{ord(match.group()):04X}]", text)


def join(parts: Iterable[str]) -> Markup:
    """The parts one after another, each escaped unless it is Markup."""
    return Markup("".join(escape(part) for part in parts))


def element(tag: str, *content: str, attributes: Mapping[str, str] | None = None) -> Markup:
    """One HTML element; attribute values are escaped always, content unless it is Markup.

    >>> element("td", "3 > 2", attributes={"class": "数"})
    '<td class="数">3 &gt; 2</td>'
    """
    given = "".join(f' {name}="{_escape(value)}"' for name, value in (attributes or {}).items())
    return Markup(f"<{tag}{given}>{join(content)}</{tag}>")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numeric: Collection[str] = (),
) -> Markup:
    """A table whose first column heads its rows; columns named in `numeric` are aligned right.

    Raises InputError when a row is not as long as `columns` or `numeric` names no column.
    """
    if unknown := sorted(set(numeric) - set(columns)):
        raise InputError(f"numeric={unknown} are no columns; choose among {list(columns)}.")
    kinds = [{"class": "number"} if column in numeric else {} for column in columns]
    head = [
        element("th", column, attributes={"scope": "col"} | kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    body = []
    for row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"the row {list(row)} has {len(row)} cells for {len(columns)} columns; "
                "give one cell for each column."
            )
        cells = [element("th", row[0], attributes={"scope": "row"} | kinds[0])] + [
            element("td", cell, attributes=kind)
            for cell, kind in zip(row[1:], kinds[1:], strict=True)
        ]
        body.append(element("tr", *cells))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    # Wide tables scroll inside their own box, by finger and by keyboard.
    scroll = {"class": "table", "role": "region", "tabindex": "0", "aria-label": caption}
    return element("div", whole, attributes=scroll)


def figure(content: str, caption: str) -> Markup:
    """Content with a caption below it."""
    return element("figure", content, element("figcaption", caption))


def excerpt(text: str, caption: str) -> Markup:
    """Japanese text from a corpus or a model, set apart, its line breaks kept."""
    quote = element("blockquote", text, attributes={"lang": "ja"})
    return element("figure", quote, element("figcaption", caption), attributes={"class": "excerpt"})


def beside(*blocks: Markup) -> Markup:
    """Blocks side by side where the page is wide enough, such as excerpts to compare."""
    return element("div", *blocks, attributes={"class": "beside"})


def listing(lines: Iterable[str]) -> Markup:
    """Lines of a program or commands of a shell, to be copied as they are."""
    # Long lines scroll by finger and by keyboard: broken ones could not be copied.
    return element("pre", element("code", "\n".join(lines)), attributes={"tabindex": "0"})


def english(text: str) -> Markup:
    """A paragraph in English, on a page in Japanese."""
    return element("p", text, attributes={"lang": "en"})


def section(heading: str, *blocks: str) -> Markup:
    """A heading and what stands below it; a plain `str` becomes a paragraph."""
    return element("section", element("h2", heading), *_blocks(blocks))


def details(summary: str, *blocks: str, is_open: bool = False) -> Markup:
    """Blocks that unfold below their summary; a plain `str` becomes a paragraph."""
    attributes = {"open": ""} if is_open else {}
    return element("details", element("summary", summary), *_blocks(blocks), attributes=attributes)


def tiles(figures: Iterable[tuple[str, str, str]]) -> Markup:
    """A few large figures to be taken in at a glance: label, figure and a note below each."""
    cells = (
        element("div", element("dt", label), element("dd", figure), element("dd", note))
        for label, figure, note in figures
    )
    return element("dl", *cells, attributes={"class": "tiles"})


def page(title: str, *, lang: str, sections: Iterable[str]) -> str:
    """A whole document in the language `lang` ("ja", "en"); a plain `str` becomes a paragraph.

    It needs no other file, runs no script, and forbids the browser to load anything.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="{_escape(lang)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_escape(title)}</title>\n<style>{_css()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join([element("h1", title), *_blocks(sections)])
        + "\n</main>\n</body>\n</html>\n"
    )


def _blocks(blocks: Iterable[str]) -> list[Markup]:
    return [block if isinstance(block, Markup) else element("p", block) for block in blocks]


def line_chart(
    series: Mapping[str, drawing.Points],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
) -> Markup:
    """Lines drawn by matplotlib as inline SVG; `series` is label -> (xs, ys). NaN makes a gap.

    All words are HTML beside the drawing: they need no font file, wrap on a phone, and are never
    read as TeX. Equal arguments give equal bytes. Raises InputError when there is no line, xs and
    ys differ in length, or `log_x` meets an x that is not positive.
    """
    if not series:
        raise InputError(f"the chart {title!r} has no line; give one series or more.")
    for label, (xs, ys) in series.items():
        if len(xs) != len(ys):
            raise InputError(
                f"the line {label!r} has {len(xs)} xs and {len(ys)} ys; give one y for each x."
            )
        if log_x and len(xs) and min(xs) <= 0:
            raise InputError(
                f"the line {label!r} starts at x={min(xs)}, which a logarithmic axis cannot show; "
                "leave out what is not positive, or set log_x=False."
            )
    svg = drawing.lines(list(series.values()), log_x=log_x, salt=_visible(f"jgpt2 {title}"))
    svg.attrib |= {"role": "img", "aria-label": _visible(f"{title}: {y_label} – {x_label}")}
    entries = [
        element("li", _svg(drawing.swatch(stroke)), element("span", label))
        for label, stroke in zip(series, drawing.strokes(), strict=False)
    ]
    return element(
        "div",
        element("p", title, attributes={"class": "title"}),
        element("ul", *entries, attributes={"class": "legend"}),
        element("p", y_label, attributes={"class": "axis"}),
        _svg(svg),
        element("p", x_label, attributes={"class": "axis x"}),
        attributes={"class": "chart"},
    )


class Bar(NamedTuple):
    """A row of `bar_chart`."""

    label: str
    value: str
    """The numbers, which stand beside the label."""
    parts: Sequence[tuple[int, float]]
    """As in `drawing.bar`."""
    note: str = ""


def bar_chart(bars: Iterable[Bar]) -> Markup:
    """Bars below one another, each below its label and numbers."""
    rows = []
    for row in bars:
        head = element("p", element("span", row.label), element("span", row.value))
        note = [element("small", row.note)] if row.note else []
        rows.append(element("li", head, _svg(drawing.bar(row.parts)), *note))
    return element("ul", *rows, attributes={"class": "bars"})


def legend(names: Iterable[str]) -> Markup:
    """The names of the parts of bars, in the order of `drawing.FILLS`."""
    entries = (
        element("li", _svg(drawing.bar([(fill, 1.0)])), element("span", name))
        for fill, name in enumerate(names)
    )
    return element("ul", *entries, attributes={"class": "legend"})


def histogram(
    svg: ElementTree.Element,
    *,
    title: str,
    label: str,
    ticks: Iterable[tuple[float, str]],
    note: str = "",
) -> Markup:
    """A small chart of `drawing.bars`, for `multiples`.

    `label` says in words what is drawn; `ticks` are shares of the width, and the number there.
    """
    svg.attrib |= {"role": "img", "aria-label": _visible(f"{title}: {label}")}
    numbers = (
        element("span", number, attributes={"style": f"left:{place:.2%}"})
        for place, number in ticks
    )
    return element(
        "div",
        element("p", title, attributes={"class": "title"}),
        _svg(svg),
        element("div", *numbers, attributes={"class": "ticks"}),
        *([element("p", note, attributes={"class": "axis"})] if note else []),
        attributes={"class": "histogram"},
    )


def multiples(charts: Iterable[Markup]) -> Markup:
    """Small charts in a grid."""
    return element("div", *charts, attributes={"class": "multiples"})


def _svg(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


def _css() -> str:
    light, dark = drawing.variables()
    return _CSS.replace("/*light*/", light).replace("/*dark*/", dark)


_CSS = """
:root{color-scheme:light dark;--muted:#5b616a;--panel:#f6f6f2;--accent:#9c2f2a;/*light*/}
@media (prefers-color-scheme:dark){:root{--muted:#a2a8b0;--panel:#1c1f23;
--accent:#e58f83;/*dark*/}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:1rem/1.8 "Hiragino Sans","Hiragino Kaku Gothic ProN","Noto Sans JP","Noto Sans CJK JP",
"Yu Gothic",YuGothic,Meiryo,system-ui,sans-serif;
line-break:strict;overflow-wrap:anywhere;font-variant-numeric:lining-nums}
:lang(en){line-height:1.6}
main{max-width:46rem;margin:0 auto;padding:clamp(1.75rem,6vw,4rem) clamp(1rem,5vw,2rem) 5rem}
h1,h2{font-weight:600;line-height:1.4;text-wrap:balance;font-feature-settings:"palt"}
h1{font-size:clamp(1.45rem,4.5vw,1.9rem);margin:0 0 1.5rem;padding-top:1.1rem;
border-top:3px solid var(--accent)}
h2{font-size:1.15rem;margin:3.25rem 0 1rem}
p{margin:0 0 1rem}
figure{margin:1.75rem 0}
figcaption,caption{color:var(--muted);font-size:.85rem;line-height:1.6}
figcaption{margin-top:.6rem}
caption{text-align:start;padding-bottom:.6rem}
.table{overflow-x:auto;margin:1.5rem 0;background:linear-gradient(to left,var(--paper) 40%,#0000)
right/2.5rem 100% no-repeat local,linear-gradient(to left,var(--rule),#0000) right/.8rem 100%
no-repeat scroll}
table{border-collapse:collapse;width:100%;font-size:.92rem;line-height:1.5;
border-bottom:1px solid var(--rule)}
th,td{padding:.5rem .75rem;text-align:start;vertical-align:top;font-weight:400;
border-top:1px solid var(--rule)}
th:first-child{padding-inline-start:0}
th:last-child,td:last-child{padding-inline-end:0}
thead th{color:var(--muted);font-size:.85rem;border-top:0;vertical-align:bottom}
th{overflow-wrap:normal;word-break:keep-all}
td.number{white-space:nowrap}
td:not(.number){min-width:6rem}
th:first-child{position:sticky;left:0;background:var(--paper)}
tbody tr:first-child>*{border-top:1px solid var(--muted)}
.number{text-align:end;font-variant-numeric:lining-nums tabular-nums}
.excerpt blockquote{margin:0;padding:1rem 1.25rem;background:var(--panel);border-radius:4px;
border-inline-start:3px solid var(--rule);white-space:pre-wrap;line-height:1.9}
.beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));
gap:1.25rem;margin:1.75rem 0}
.beside>*{margin:0;min-width:0;display:flex;flex-direction:column}
.beside blockquote{flex:1}
pre{overflow-x:auto;margin:1rem 0 1.75rem;padding:1rem 1.25rem;background:var(--panel);
border-radius:4px;white-space:pre;overflow-wrap:normal;
font:.82rem/1.8 ui-monospace,"SF Mono",Menlo,Consolas,"Noto Sans Mono CJK JP",monospace}
code{font:inherit}
.chart{margin:1.75rem 0}
.chart .title{margin:0 0 .35rem;font-weight:600;line-height:1.5}
.chart .axis{margin:.35rem 0 .15rem;color:var(--muted);font-size:.8rem;line-height:1.5}
.chart .x{margin-top:.1rem;text-align:center}
.chart>svg{display:block;width:100%;height:auto;overflow:visible;
stroke-linejoin:round;stroke-linecap:butt}
.chart text{font-size:8px;fill:var(--muted);font-variant-numeric:lining-nums tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.4rem;margin:0 0 .6rem;padding:0;list-style:none;
font-size:.88rem;line-height:1.7}
.legend li{display:flex;align-items:baseline;gap:.5rem}
.legend svg{flex:none;width:36px;height:12px}
.bars{margin:1.25rem 0;padding:0;list-style:none}
.bars li{margin:0 0 .7rem}
.bars p{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;margin:0;
font-size:.92rem;line-height:1.6}
.bars p span:last-child{margin-inline-start:auto;text-align:end;
font-variant-numeric:lining-nums tabular-nums}
.bars svg{display:block;width:100%;height:.75rem;background:var(--panel)}
.bars small,.tiles dd+dd{display:block;color:var(--muted);font-size:.8rem;line-height:1.5}
.multiples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,12.5rem),1fr));
gap:2rem 1.5rem;margin:1.5rem 0}
.histogram{min-width:0}
.histogram p{margin:0;font-size:.8rem;line-height:1.5}
.histogram .title{font-weight:600;margin-bottom:.4rem}
.histogram .axis,.ticks{color:var(--muted)}
.histogram svg{display:block;width:100%;height:5.5rem;overflow:visible}
.histogram rect{fill:var(--rule);opacity:.5}
.histogram .bin{fill:#0000;opacity:1}
.histogram .bin:hover{fill:var(--rule);opacity:.6}
.histogram line{stroke:var(--muted);vector-effect:non-scaling-stroke}
.histogram .limit{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}
.ticks{position:relative;height:1.5em;font-size:.72rem;line-height:1.5;
font-variant-numeric:lining-nums tabular-nums}
.ticks span{position:absolute;white-space:nowrap;transform:translateX(-50%)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1.25rem;
margin:2rem 0}
.tiles dt{color:var(--muted);font-size:.85rem;line-height:1.5}
.tiles dd{margin:0;font-variant-numeric:lining-nums tabular-nums}
.tiles dt+dd{font-size:1.6rem;font-weight:600;line-height:1.35}
details{border-top:1px solid var(--rule)}
details>:last-child{margin-bottom:2rem}
summary{padding:.6rem 0;cursor:pointer;line-height:1.6}
@media (max-width:34rem){.chart text{font-size:11.5px}th,td{padding:.45rem .5rem}
tbody th{min-width:7.5rem;overflow-wrap:anywhere;word-break:normal}}
@media (min-width:60rem){.table{position:relative;left:50%;transform:translateX(-50%);
width:max-content;min-width:100%;max-width:calc(100vw - 4rem)}}
@media print{main{max-width:none;padding:0}section,figure,.chart{break-inside:avoid}}
"""
