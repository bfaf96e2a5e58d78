"""The report of a build as one self-contained page: what came in, what is left, what was lost why.

Drawn from the account of `accounting.overview` alone, Japanese first, with English beside it.
Equal accounts give equal bytes, and seconds stand in one column only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jgpt2 import html, table
from jgpt2.corpus.accounting import account, breakdowns, distributions, exhibits, terms
from jgpt2.corpus.accounting.breakdowns import share
from jgpt2.corpus.quality import filters

_MAX_REASONS = 25
_BYTE_UNITS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
_CHAR_UNITS = ((1e12, "兆"), (1e8, "億"), (1e4, "万"), (1, ""))
_PARTS = ("通過 passed", "除外 left out", "対象外 not concerned")


def page(gathered: Mapping[str, Any]) -> str:
    """The whole page of what `accounting.overview.gather` gives."""
    recipe = gathered["recipe"]
    thresholds = recipe["choice"]["filters"]
    in_use = {kind: thresholds[kind] for kind in thresholds if gathered["kinds"].get(kind)}
    steps = list(_steps(gathered["stages"]))
    clusters = exhibits.clusters(gathered["clusters"], are_kept=recipe["keep_near_duplicates"])
    parts = {
        "段階ごとの流れ Stages": _stages(steps),
        "除外の理由 Reasons": _reasons(steps),
        "しきい値の比較 Presets": _presets(gathered),
        "出典とライセンス Sources and licences": breakdowns.origins(gathered),
        "文字コード Charsets": breakdowns.charsets(gathered),
        "正規化と伏せ字 Normalisation and masks": breakdowns.changes(gathered),
        "長さと指標 Lengths and scores": _scores(gathered["histograms"], in_use),
        "採用した文書の例 Documents kept": exhibits.kept(gathered["kept"]),
        "除外した文書の例 Documents left out": _left_out(gathered, in_use),
        "重複 Duplicates": [*breakdowns.cluster_sizes(gathered), *clusters],
        "ホスト Hosts": breakdowns.hosts(gathered),
        "読めなかった記録 Records that could not be read": _losses(gathered, steps),
        "設定 Recipe": _recipe(recipe),
    }  # fmt: skip
    sections = [
        html.section(heading, *(blocks or [breakdowns.none()])) for heading, blocks in parts.items()
    ]
    return html.page(
        f"コーパスの報告 corpus report: {exhibits.short(gathered['name'])}",
        lang="ja",
        sections=[*_summary(gathered, steps), *sections],
    )


class _Step(NamedTuple):
    """A stage as the page shows it; `row` is what the account says of it."""

    name: str
    row: Mapping[str, Any]
    passed: int
    lost: int
    beside: int
    """Documents that did not go through it."""


def _steps(stages: Mapping[str, Any]) -> Iterator[_Step]:
    """The stages that a document went through, or went by."""
    alive = 0
    for name in account.STAGES:
        if name in stages:
            row = stages[name]
            passed, lost = (
                row["documents"],
                sum(drop["documents"] for drop in row["drops"].values()),
            )
            beside = max(alive - passed - lost, 0)
            alive = passed + beside
            yield _Step(name, row, passed, lost, beside)


def _num_read(steps: Sequence[_Step]) -> int:
    return steps[0].passed + steps[0].lost if steps else 0


def _summary(gathered: Mapping[str, Any], steps: Sequence[_Step]) -> list[html.Markup]:
    splits = gathered["splits"]
    documents, chars, num_bytes = (
        sum(row[key] for row in splits.values())
        for key in ("num_documents", "num_chars", "num_bytes")
    )
    num_read, kept = _num_read(steps), share(documents, _num_read(steps))
    japanese = f"{num_read:,} 件の記録を読み、{documents:,} 件({kept})の文書を残しました。"
    told = f"{documents:,} documents ({kept}) are left of {num_read:,} records read."
    worst = max(steps, key=lambda step: step.lost, default=None)
    if worst and worst.lost:
        part = f"{worst.lost:,}", share(worst.lost, num_read)
        japanese += (
            f"最も多く除いたのは「{terms.STAGES[worst.name][0]}」の {part[0]} 件({part[1]})です。"
        )
        told += f" Most were left out at “{worst.name}”: {part[0]} ({part[1]})."
    size = _scaled(gathered["num_bytes"], _BYTE_UNITS)
    source = f"ファイル {gathered['num_files']:,} 個 files、{size}"
    return [
        html.element("p", html.element("strong", japanese)),
        html.english(told),
        html.tiles(
            [
                ("読んだ記録 records read", f"{num_read:,}", source),
                ("残った文書 documents kept", f"{documents:,}", f"記録の {kept} of records"),
                ("文字 characters", _scaled(chars, _CHAR_UNITS), f"{chars:,}"),
                ("バイト bytes", _scaled(num_bytes, _BYTE_UNITS), f"{num_bytes:,}"),
            ]
        ),
        breakdowns.counts(
            ["分割 split", *_COUNTED, "割合 share"],
            [
                (
                    f"{terms.SPLITS.get(split, '')} {exhibits.short(split)}".strip(),
                    (row["num_documents"], row["num_chars"], row["num_bytes"]),
                )
                for split, row in splits.items()
            ],
            caption="データセットの分割 Splits of the dataset",
            of=0,
        ),
        html.element("p", _in_one_line(gathered["recipe"])),
    ]


def _stages(steps: Sequence[_Step]) -> list[html.Markup]:
    """Each stage as a bar of all records, and as a row of numbers."""
    width = max((step.passed + step.lost + step.beside for step in steps), default=0) or 1
    bars = [
        html.Bar(
            terms.stage(step.name),
            f"{step.passed + step.lost:,} → {step.passed:,}"
            + f" (−{step.lost:,}、{share(step.lost, step.passed + step.lost)})" * bool(step.lost)
            + f"、対象外 {step.beside:,}" * bool(step.beside),
            [
                (fill, count / width)
                for fill, count in ((0, step.passed), (2, step.beside), (1, step.lost))
            ],
            terms.STAGES[step.name][1],
        )
        for step in steps
    ]
    rows = [
        [
            terms.stage(step.name),
            *map(table.cell, (step.passed + step.lost, step.passed, step.lost)),
            share(step.passed, step.passed + step.lost),
            *(table.cell(step.row[key] or None) for key in ("chars", "num_bytes")),
            f"{step.row['seconds']:,.1f}",
        ]
        for step in steps
    ]
    total = f"{sum(step.row['seconds'] for step in steps):,.1f}"
    rows.append(["合計 total", *["–"] * 6, total])
    columns = [
        "段階 stage", "入力 in", "通過 passed", "除外 left out", "通過率 share",
        "文字 characters", "バイト bytes", "CPU 秒 seconds",
    ]  # fmt: skip
    return [
        html.legend(_PARTS),
        html.bar_chart(bars),
        html.table(columns, rows, caption=_STAGES_CAPTION, numeric=columns[1:]),
    ]


def _reasons(steps: Sequence[_Step]) -> list[html.Markup]:
    """What was left out by stage and reason, the most documents first."""
    found = [
        (step.name, reason, [drop[key] for key in ("documents", "chars", "num_bytes")])
        for step in steps
        for reason, drop in step.row["drops"].items()
    ]
    if not found:
        return []
    found.sort(key=lambda row: (-row[2][0], account.STAGES.index(row[0]), row[1]))
    num_read = _num_read(steps)

    def numbers(counts: Sequence[int]) -> list[str]:
        documents, *sizes = counts
        shown = (table.cell(size or None) for size in sizes)
        return [table.cell(documents), share(documents, num_read), *shown]

    rows = [
        [
            html.join([terms.reason(reason), " ", exhibits.aside(reason)]),
            terms.stage(stage),
            *numbers(counts),
        ]
        for stage, reason, counts in found[:_MAX_REASONS]
    ]
    if rest := [counts for _, _, counts in found[_MAX_REASONS:]]:
        name = f"ほか {len(rest):,} 種類 {len(rest):,} others"
        rows.append([name, "", *numbers([sum(column) for column in zip(*rest, strict=True)])])
    whole = [sum(column) for column in zip(*(row[2] for row in found), strict=True)]
    rows.append(["合計 total", "", *numbers(whole)])
    columns = [
        "理由 reason", "段階 stage", "文書 documents", "割合 share",
        "文字 characters", "バイト bytes",
    ]  # fmt: skip
    caption = (
        "除外した文書: 多い順。割合は読んだ記録に対して Documents left out; shares of records read"
    )
    return [html.table(columns, rows, caption=caption, numeric=columns[2:])]


def _presets(gathered: Mapping[str, Any]) -> list[html.Markup]:
    """How many documents each preset alone would keep, beside those this build's filter passed."""
    row = gathered["stages"].get("filter", {"documents": 0, "drops": {}})
    whole = row["documents"] + sum(drop["documents"] for drop in row["drops"].values())
    kept = {name: gathered["presets"].get(name, 0) for name in filters.PRESETS}
    width = max([whole, *kept.values()]) or 1
    bars = [
        html.Bar(label, f"{count:,} ({share(count, whole)})", [(0, count / width)])
        for label, count in [("この構築 this build", row["documents"]), *kept.items()]
    ]
    note = (
        f"しきい値の段階に届いた {whole:,} 件のうち、"
        "各プリセットだけを使った場合に残る文書の数です。"
    )
    told = f"Of the {whole:,} documents that reach the filters, those each preset alone would keep."
    return [html.element("p", note), html.english(told), html.bar_chart(bars)]


def _scores(histograms: Mapping[str, Any], in_use: distributions.Filters) -> list[html.Markup]:
    charts = distributions.blocks(histograms, in_use)
    return [html.element("p", _SCORES_JA), html.english(_SCORES_EN), *charts] if charts else []


def _left_out(gathered: Mapping[str, Any], in_use: distributions.Filters) -> list[html.Markup]:
    found = exhibits.left_out(gathered["left_out"], gathered["stages"], in_use)
    return [html.element("p", _LEFT_OUT_NOTE), *found] if found else []


def _losses(gathered: Mapping[str, Any], steps: Sequence[_Step]) -> list[html.Markup]:
    count = steps[0].lost if steps and steps[0].name == "read" else 0
    if not count:
        return []
    shown = len(gathered["losses"])
    note = f"{count:,} 件のうち {shown:,} 件の詳細です。 Particulars of {shown:,} of {count:,}."
    return [html.element("p", note), exhibits.losses(gathered["losses"])]


def _recipe(recipe: Mapping[str, Any]) -> list[html.Markup]:
    text = json.dumps(recipe, ensure_ascii=False, indent=2, sort_keys=True)
    return [html.details("すべての設定 All settings (JSON)", html.listing(text.split("\n")))]


def _in_one_line(recipe: Mapping[str, Any]) -> str:
    """What matters most of a recipe."""
    settings, choice = recipe["annotate"], recipe["choice"]
    licenses = choice["licenses"]
    parts = [
        f"抽出 extractor {settings['extractor']}",
        f"robots {'に従う obeyed' if settings['obey_robots'] else 'に従わない ignored'}",
        f"ライセンス licences {exhibits.short(', '.join(licenses)) if licenses else 'すべて all'}",
        _alike(recipe),
        f"検証 validation {recipe['validation_share']:.1%}",
        f"テスト test {recipe['test_share']:.1%}",
        f"seed {recipe['seed']}",
    ]
    return "設定 Recipe: " + " · ".join(parts)


def _alike(recipe: Mapping[str, Any]) -> str:
    """What is done with near-duplicates."""
    if recipe["near_duplicates"] is None:
        return "まったく同じ文書だけ一つに exact copies left out"
    done = "同じ分割に kept together" if recipe["keep_near_duplicates"] else "一つに left out"
    return f"類似度 Jaccard {recipe['near_duplicates']:g} 以上は{done}"


def _scaled(value: int, units: Sequence[tuple[float, str]]) -> str:
    """A number of three digits or four with the unit in which it has them."""
    size, unit = next((pair for pair in units if value >= pair[0] * 0.9995), units[-1])
    scaled = value / size
    digits = 0 if size == 1 or scaled >= 100 else 1 if scaled >= 10 else 2
    return f"{scaled:,.{digits}f} {unit}".strip()


_COUNTED = ("文書 documents", "文字 characters", "バイト bytes")
_STAGES_CAPTION = (
    "文字とバイトは通過した分。抽出までは HTML を含みます。 "
    "Characters and bytes are of what passed; up to “extract” they include the HTML"
)
_LEFT_OUT_NOTE = (
    "最初に外れたしきい値ごとに数件ずつ。値と、外れたしきい値を添えます。 "
    "A few for each rule that was broken first, with the value and the threshold."
)
_SCORES_JA = (
    "軸の上がしきい値を通った文書、下が除いた文書です。棒の高さは件数の平方根、破線はしきい値、"
    "灰色は除く側です。しきい値は括弧の中の種類だけのもので、他の種類は灰色の側でも通ります。"
)
_SCORES_EN = (
    "Above the axis documents that pass the thresholds, below it those left out; heights are roots "
    "of counts. Dashed: thresholds; grey: the side they refuse, of the "
    "kinds of record in brackets; other kinds pass there."
)
