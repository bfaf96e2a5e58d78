"""Tables of the report: by source, licence, kind, charset, rule, mask, cluster size and host.

A table that would be long shows its largest rows, and the sum of all others in one more row.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jgpt2 import html, table
from jgpt2.corpus.accounting import exhibits, terms

MAX_ROWS = 20

Row = tuple[str, tuple[int, ...]]
"""What is counted, and its counts."""

_FAMILIES = (
    "shiftjis shiftjis2004 shiftjisx0213 sjis mskanji ms932 cp932 cp943 windows31j windows932 "
    "csshiftjis cswindows31j xmacjapanese",
    "eucjp eucjpms eucjis2004 eucjisx0213 ujis cp51932 cseucpkdfmtjapanese",
    "iso2022jp iso2022jp1 iso2022jp2 iso2022jp3 iso2022jp2004 iso2022jpext csiso2022jp cp50220 "
    "cp50221 cp50222",
    "utf8 utf8sig unicode11utf8 unicode20utf8 cesu8",
    "utf16 utf16le utf16be unicode ucs2",
)
_FAMILY = {
    name: names[0] for names in map(str.split, _FAMILIES) for name in names
}  # label without signs -> its family


def share(part: int, whole: int) -> str:
    """A share in per cent; nothing but all is 100%, and nothing but none is 0%.

    >>> share(1, 3), share(1, 100_000), share(99_999, 100_000), share(0, 0)
    ('33.3%', '<0.1%', '>99.9%', '–')
    """
    if not whole:
        return table.cell(None)
    if 0 < part < 0.0005 * whole:
        return "<0.1%"
    if 0.9995 * whole <= part < whole:
        return ">99.9%"
    return f"{part / whole:.1%}"


def counts(
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    caption: str,
    limit: int = MAX_ROWS,
    of: int | None = None,
) -> html.Markup:
    """A table of counts: the first `limit` rows, the sum of the rest, the sum of all.

    `of` names the count whose share of the sum stands in a last column.
    """
    width = len(columns) - 1 - (of is not None)
    sums = [sum(row[1][place] for row in rows) for place in range(width)]
    shown: list[Row] = list(rows[:limit])
    if len(rows) > limit:
        rest = rows[limit:]
        name = f"ほか {len(rest):,} 種類 {len(rest):,} others"
        shown.append((name, tuple(sum(row[1][place] for row in rest) for place in range(width))))
    if len(rows) > 1:
        shown.append(("合計 total", tuple(sums)))
    cells = [
        [html.element("bdi", name), *map(table.cell, values)]
        + ([] if of is None else [share(values[of], sums[of])])
        for name, values in shown
    ]
    return html.table(columns, cells, caption=caption, numeric=columns[1:])


def origins(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """Tables of sources, licences and kinds of record."""
    note = "除外 left out は、本文を取り出した後に除いた文書(ライセンス・しきい値・重複)。"
    made = [html.element("p", note)]
    for key, name in (("sources", "出典 source"), ("licenses", "ライセンス licence")):
        rows = [
            (
                exhibits.short(label) or "不明 unknown",
                (row["num_documents"], row["num_chars"], row["num_bytes"], row["left_out"]),
            )
            for label, row in gathered[key].items()
        ]
        rows.sort(key=lambda row: (-row[1][2], -row[1][3], row[0]))
        made.append(
            counts(
                [name, *_SIZES, "除外 left out", "割合 share"],
                rows,
                caption=f"{name}: {len(rows):,} 種類、採用したバイト数の順 by bytes kept",
                of=2,
            )
        )
    kinds = [(_named(terms.KINDS, kind), (count,)) for kind, count in gathered["kinds"].items()]
    caption = "記録の種類: 選ぶ前の文書 kinds of record, before the choice"
    made.append(counts(["種類 kind", _SIZES[0]], kinds, caption=caption, of=None))
    return made


_IMPERFECT = (
    (
        "replaced",
        "元のバイトが読めず「�」になった文字 Characters that stand for unreadable bytes",
        "文字",
    ),
    (
        "lossy",
        "符号化し直しても元のバイト列に戻らない文書 Documents that do not encode back",
        "文書",
    ),
)
_LOSSLESS = (
    "どの文書も、符号化し直せば元のバイト列に戻ります。 Every document encodes back to its bytes."
)


def charsets(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """How pages were labelled and what they were, and the bytes that fit no character."""
    rows = []
    num_wrong, num_all = 0, sum(gathered["charsets"].values())
    for pair, count in gathered["charsets"].items():
        declared, _, used = pair.rpartition(" > ")
        is_wrong = is_mislabelled(declared, used)
        num_wrong += is_wrong * count
        rows.append((count, declared, used, is_wrong))
    rows.sort(key=lambda row: (-row[0], *row[1:]))
    if not rows:
        return [none()]
    note = (
        f"表示と実際の文字コードが違う文書は {num_wrong:,} 件({share(num_wrong, num_all)})です。"
        "文字コードは表示ではなくバイト列から決めます。"
        "Shift_JIS と cp932 のような同系の名前は同じとみなします。"
    )
    told = (
        f"{num_wrong:,} documents are mislabelled ({share(num_wrong, num_all)}); the charset is "
        "taken from the bytes. Names of one family, as Shift_JIS and cp932, count as the same."
    )
    made = [html.element("p", note), html.english(told), _labels(rows, num_all)]
    for name, caption, unit in _IMPERFECT:
        found = _sorted(gathered[name])
        if found:
            made.append(counts(["文字コード charset", unit], found, caption=caption))
    if not gathered["lossy"]:
        made.append(html.element("p", _LOSSLESS))
    return made


def _labels(rows: Sequence[tuple[int, str, str, bool]], num_all: int) -> html.Markup:
    """The table of labels and what they were; a row is (documents, declared, used, is it wrong)."""
    cells = [
        [
            "なし none" if declared == "none" else html.element("bdi", exhibits.short(declared)),
            exhibits.short(used),
            table.cell(count),
            share(count, num_all),
            html.element("strong", "不一致 mislabelled") if is_wrong else "",
        ]
        for count, declared, used, is_wrong in rows[:MAX_ROWS]
    ]
    if rest := rows[MAX_ROWS:]:
        count = sum(row[0] for row in rest)
        wrong = sum(row[0] for row in rest if row[3])
        name = f"ほか {len(rest):,} 種類 {len(rest):,} others"
        cells.append([name, "", table.cell(count), share(count, num_all), f"不一致 {wrong:,}"])
    columns = ["表示 declared", "実際 used", _SIZES[0], "割合 share", "注 note"]
    caption = "表示と実際の文字コード Charsets, declared and used"
    return html.table(columns, cells, caption=caption, numeric=columns[2:4])


def is_mislabelled(declared: str, used: str) -> bool:
    """Whether a label names a charset of another family than the one that a page is in.

    >>> is_mislabelled("Shift_JIS", "cp932"), is_mislabelled("x-euc-jp", "euc_jp")
    (False, False)
    >>> is_mislabelled("iso-8859-1", "utf-8"), is_mislabelled("none", "utf-8")
    (True, False)
    """
    return declared != "none" and _family(declared) != _family(used)


def changes(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """How many places each rule of normalisation and each mask changed."""
    made = []
    for key, names, name, unit in (
        ("rules", terms.RULES, "規則 rule", "変更箇所 places changed"),
        ("masks", terms.MASKS, "伏せ字 mask", "箇所 places masked"),
    ):
        rows = [(_named(names, row[0]), row[1]) for row in _sorted(gathered[key])]
        title = {"rules": "正規化 Normalisation", "masks": "伏せ字 Masks"}[key]
        made.append(
            counts([name, unit], rows, caption=title)
            if rows
            else html.element("p", f"{title}: なし none")
        )
    return made


def cluster_sizes(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """How many clusters of near-duplicates there are of each size, exact copies counted in."""
    bins: dict[tuple[int, int], list[int]] = {}
    for row in gathered["cluster_sizes"]:
        size, number = row["documents"], row["clusters"]
        count = bins.setdefault(_size_bin(size), [0, 0])
        count[0] += number
        count[1] += number * size
    if not bins:
        return [html.element("p", "重複はありません。 No duplicates.")]
    rows: list[Row] = [
        (f"{low:,}" if low == high else f"{low:,}–{high:,}", tuple(bins[low, high]))
        for low, high in sorted(bins)
    ]
    largest = max(row["documents"] for row in gathered["cluster_sizes"])
    caption = f"重複のまとまりの大きさ、最大 {largest:,} 件 Sizes of clusters, at most {largest:,}"
    columns = ["文書の数 documents in it", "まとまり clusters", "文書の計 documents in all"]
    return [counts(columns, rows, caption=caption)]


def hosts(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """The hosts with most bytes in the dataset, and what all others have together."""
    found = gathered["hosts"][:MAX_ROWS]
    if not found:
        return [html.element("p", "URL のある文書はありません。 No document has an address.")]
    total = [
        sum(split[name] for split in gathered["splits"].values())
        for name in ("num_documents", "num_bytes")
    ]
    cells = [
        [
            exhibits.aside(row["host"]),
            *map(table.cell, (row["documents"], row["num_bytes"])),
            share(row["num_bytes"], total[1]),
            table.cell(row["left_out"]),
        ]
        for row in found
    ]
    rest = [
        total[0] - sum(row["documents"] for row in found),
        total[1] - sum(row["num_bytes"] for row in found),
    ]
    if rest[0] > 0:
        name = "ほか・ホストなし others and none"
        cells.append([name, *map(table.cell, rest), share(rest[1], total[1]), table.cell(None)])
    caption = (
        f"ホスト: 採用したバイト数の上位 {len(found):,} 件 The top {len(found):,} by bytes kept"
    )
    columns = ["ホスト host", _SIZES[0], _SIZES[2], "割合 share", "除外 left out"]
    return [html.table(columns, cells, caption=caption, numeric=columns[1:])]


def none() -> html.Markup:
    """A paragraph that says that there is nothing to show."""
    return html.element("p", "ありません。 None.")


_SIZES = ("文書 documents", "文字 characters", "バイト bytes")


def _family(label: str) -> str:
    name = re.sub("[^a-z0-9]", "", label[:100].lower())
    return _FAMILY.get(name) or _FAMILY.get(name.removeprefix("x")) or name


def _size_bin(size: int) -> tuple[int, int]:
    """2, 3 and 4 alone, then 5–9, 10–19, 20–49, 50–99, …"""
    if size < 5:
        return size, size
    low, power = 5, 1
    while True:
        high = 10 * power if low == 5 * power else 2 * low if low == power else 5 * power
        if size < high:
            return low, high - 1
        power = 10 * power if low == 5 * power else power
        low = high


def _sorted(found: Mapping[str, int]) -> list[Row]:
    """Name and count, the largest first."""
    return [(name, (count,)) for name, count in sorted(found.items(), key=lambda e: (-e[1], e[0]))]


def _named(names: Mapping[str, str], name: str) -> str:
    return f"{names[name]} {name}" if name in names else exhibits.short(name)
