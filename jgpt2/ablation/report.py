"""The report of a study: one self-contained page, the verdict first, Japanese beside English.

Its charts are written beside it as files, too, for other pages to show.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import drawing, html, manifest, table
from jgpt2.ablation import wording

_MEASURES = (
    ("ビット/バイト bits/byte", "bits_per_byte"),
    ("区間の下 low", "low"),
    ("区間の上 high", "high"),
    ("等バイト文脈 at equal bytes of context", "bits_per_byte_equal_bytes"),
    ("ビット/文字 bits/char", "bits_per_char"),
    ("語彙 ids", "vocab_size"),
    ("本体 body parameters", "body_parameters"),
    ("語彙のパラメータ vocabulary parameters", "vocabulary_parameters"),
    ("埋め込みの割合 embedding share", "embedding_share"),
    ("FLOP/文字 training FLOP/char", "flops_per_char"),
    ("学習バイト bytes seen", "num_bytes"),
    ("学習トークン tokens seen", "tokens"),
    ("ステップ steps", "steps"),
    ("学習率 learning rate", "peak_lr"),
)
_TOKENIZERS = (
    ("バイト/トークン bytes/token", "bytes_per_token"),
    ("文字/トークン chars/token", "chars_per_token"),
    ("バイト片の割合 byte pieces", "byte_share"),
    ("文脈の文字数 context, chars", "context_chars"),
    ("KVバイト/1000文字 KV bytes/1,000 chars", "kv_cache_bytes_per_1000_chars"),
    ("生成 文字/秒 generated chars/s", "generated_chars_per_s"),
    ("学習時メモリ training memory, bytes", "training_memory_bytes"),
    ("稀な漢字の再現率 rare-kanji recall", "rare_kanji_recall"),
    ("標本の正しいUTF-8 valid UTF-8 in samples", "valid_utf8_share"),
)
_PARTS = {
    "source": "文書の種類 source",
    "script": "文字の種類 script",
    "length": "文書の長さ(バイト) length of the document in bytes",
    "position": "文書の中の位置(バイト) position in the document in bytes",
}


def write(path: Path, record: dict[str, Any], *, commands: Sequence[str]) -> None:
    """Writes the page; `commands` made what it reports."""
    answer, scale = wording.verdict(record), wording.scale(record)
    page = html.page(
        f"語彙の比較 {record['plan']['study']['name']}",
        lang="ja",
        sections=[
            html.element("p", html.element("strong", answer.ja)),
            html.english(answer.en),
            html.tiles(_tiles(record)),
            *_both(scale),
            html.section("語彙の大きさとビット Bits against vocabulary", _drawn(u_curve(record))),
            html.section("腕 Arms", *_arms(record)),
            html.section("比較 Comparisons", *_comparisons(record)),
            html.section("予測 Prediction", *_prediction(record)),
            html.section("学習曲線 Curves", *_curves(record)),
            html.section("語彙の性質 Properties of the vocabularies", *_tokenizers(record)),
            html.section("内訳 Breakdowns", *_breakdowns(record)),
            html.section("生成例 Samples", *_samples(record)),
            html.section("計画 The plan", *_plan(record)),
            html.section(
                "注意 Caveats", *(block for said in wording.CAVEATS for block in _both(said))
            ),
            html.section("コマンド Commands", html.listing(commands)),
        ],
    )
    manifest.write_text(path, page)


def write_figures(folder: Path, record: dict[str, Any]) -> None:
    """Writes every chart of the page as an SVG file that stands alone."""
    charts = {"bits-by-vocabulary": u_curve(record)}
    for body in dict.fromkeys(row["body"] for row in record["arms"]):
        for axis, chart in curve_charts(record, body).items():
            charts[f"bits-by-{axis}-{body}"] = chart
    for name, chart in charts.items():
        manifest.write_text(folder / f"{name}.svg", drawing.picture(chart))


def u_curve(record: dict[str, Any]) -> drawing.Chart:
    """Bits per byte over vocabulary size at the primary control: a line for each body."""
    primary = record["plan"]["study"]["controls"][0]
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in sorted(record["arms"], key=lambda row: (row["body_parameters"], row["vocab_size"])):
        if row["control"] == primary:
            xs, ys = series.setdefault(f"{row['body']} ({row['body_parameters']:,})", ([], []))
            xs.append(row["vocab_size"])
            ys.append(row["bits_per_byte"])
    for body in record["prediction"]["bodies"]:
        if body["fit"] is not None:
            series[f"{body['body']} 近似 fit"] = (body["fit"]["vocab_sizes"], body["fit"]["bits"])
    return drawing.Chart(
        series,
        title=f"{wording.CONTROLS[primary][0]} {wording.CONTROLS[primary][1]}",
        x_label="語彙の大きさ size of the vocabulary",
        y_label="ビット/バイト bits per byte",
        log_x=True,
    )


def curve_charts(record: dict[str, Any], body: str) -> dict[str, drawing.Chart]:
    """Validation bits per byte over FLOPs, bytes and seconds, of the arms of one body."""
    arms = [row["arm"] for row in record["arms"] if row["body"] == body]
    curves = {arm: record["curves"][arm] for arm in dict.fromkeys(arms)}
    axes = {
        "flops": "学習の計算量 training FLOPs",
        "bytes": "学習したバイト数 bytes of text seen",
        "seconds": "学習の秒数 seconds of training",
    }
    return {
        axis: drawing.Chart(
            {arm: (points[axis], points["bits"]) for arm, points in curves.items()},
            title=f"本体 body {body}",
            x_label=label,
            y_label="検証ビット/バイト validation bits per byte",
        )
        for axis, label in axes.items()
    }


def _tiles(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    decision = record["decision"]
    bits, best = wording.bits_of(record, decision), decision["best"]
    shown = [
        ("選ばれた語彙 chosen", decision["chosen"], f"{bits[decision['chosen']]:.4f} bits/byte")
    ]
    if len(decision["ranking"]) > 1:
        second = decision["ranking"][1]
        interval = wording.between(record, best, second, decision["control"])
        said = "不明 unknown"
        if interval is not None:
            verdict = "引き分け tie" if second in decision["tied"] else "確か told apart"
            said = f"[{interval[0]:.4f}, {interval[1]:.4f}] {verdict}"
        shown.append((f"{second} − {best}", f"{bits[second] - bits[best]:.4f}", said))
    for size, target in record["prediction"]["targets"].items():
        said = "外挿 extrapolated" if target["is_extrapolated"] else "範囲内 within the range"
        shown.append((f"予測 predicted: {size}", f"{target['vocab_size']:,.0f}", said))
    return shown


def _arms(record: dict[str, Any]) -> list[html.Markup]:
    decision = record["decision"]
    blocks = []
    for one in record["best"]:
        rows = _rows(record, one["control"], one["body"])
        caption = f"{' '.join(wording.CONTROLS[one['control']])} · 本体 body {one['body']}"
        is_open = (one["control"], one["body"]) == (decision["control"], decision["body"])
        figures = _figures(rows, _MEASURES, caption=caption)
        blocks.append(html.details(caption, figures, is_open=is_open))
    return blocks


def _comparisons(record: dict[str, Any]) -> list[html.Markup]:
    words = {"better": "良い better", "worse": "悪い worse", "tie": "引き分け tie"}
    columns = ["", "差 difference", "下 low", "上 high", "p", "p (Holm)", "判定 verdict"]
    blocks = []
    for control in record["plan"]["study"]["controls"]:
        rows = [
            [
                f"{row['arms'][0]} − {row['arms'][1]}",
                *(_cell(row[name]) for name in ("difference", "low", "high", "p", "p_holm")),
                words.get(row["verdict"], "不明 unknown"),
            ]
            for row in record["comparisons"]
            if row["control"] == control
        ]
        caption = " ".join(wording.CONTROLS[control])
        shown = html.table(columns, rows, caption=caption, numeric=columns[1:6])
        blocks.append(html.details(f"{caption}: {len(rows)}", shown))
    return blocks


def _prediction(record: dict[str, Any]) -> list[html.Markup]:
    said = [block for one in wording.prediction(record) for block in _both(one)]
    columns = ["本体 body", "パラメータ parameters", "最良の語彙 best vocabulary", "形 shape"]
    rows = [
        [
            body["body"],
            f"{body['body_parameters']:,}",
            "–" if body["vocab_size"] is None else f"{body['vocab_size']:,.0f}",
            _shape(body),
        ]
        for body in record["prediction"]["bodies"]
    ]
    caption = "各本体での二次近似の頂点 vertex of the quadratic in log V of each body"
    return [*said, html.table(columns, rows, caption=caption, numeric=columns[1:3])]


def _shape(body: Mapping[str, Any]) -> str:
    if not body["is_convex"]:
        return "谷がない no valley"
    return "谷は範囲内 inside" if body["is_inside"] else "谷は範囲外 outside the range measured"


def _curves(record: dict[str, Any]) -> list[html.Markup]:
    bodies = list(dict.fromkeys(row["body"] for row in record["arms"]))
    deciding = record["decision"]["body"]
    others = [body for body in bodies if body != deciding]
    return [
        *map(_drawn, curve_charts(record, deciding).values()),
        *(
            html.details(f"本体 body {body}", *map(_drawn, curve_charts(record, body).values()))
            for body in others
        ),
    ]


def _drawn(chart: drawing.Chart) -> html.Markup:
    return html.line_chart(**vars(chart))


def _tokenizers(record: dict[str, Any]) -> list[html.Markup]:
    decision = record["decision"]
    rows = _rows(record, decision["control"], decision["body"])
    caption = f"本体 body {decision['body']}"
    blocks = [_figures(rows, _TOKENIZERS, caption=caption)]
    gaps = [
        [
            arm,
            f"{gap['num_sentences']:,}",
            f"{gap['num_samples']:,}",
            f"{gap['bits_one_segmentation'] / gap['num_bytes']:.4f}",
            f"{gap['bits_estimated'] / gap['num_bytes']:.4f}",
        ]
        for arm, gap in record["segmentation"].items()
    ]
    if gaps:
        columns = [
            "",
            "文 sentences",
            "標本 samples",
            "一つの分割 one segmentation, bits/byte",
            "分割の和 all segmentations, bits/byte (at most)",
        ]
        caption = "一つの分割だけを数えることの損 what counting one segmentation costs"
        blocks.append(html.table(columns, gaps, caption=caption, numeric=columns[1:]))
    return blocks


def _breakdowns(record: dict[str, Any]) -> list[html.Markup]:
    blocks = []
    for kind, parts in record["breakdowns"].items():
        arms = list(next(iter(parts.values()))["bits_per_byte"])
        columns = [_PARTS[kind], "バイト bytes", *arms]
        rows = [
            [
                part,
                f"{found['num_bytes']:,}",
                *(f"{found['bits_per_byte'][arm]:.4f}" for arm in arms),
            ]
            for part, found in parts.items()
        ]
        caption = f"{_PARTS[kind]} · bits/byte"
        shown = html.table(columns, rows, caption=caption, numeric=columns[1:])
        blocks.append(html.details(caption, shown, is_open=kind == "source"))
    return blocks


def _samples(record: dict[str, Any]) -> list[html.Markup]:
    note = wording.Both(
        "以下はすべて機械が書いた合成テキストです。最初の種のモデルによります。",
        "All text below is synthetic: written by the models of the first seed.",
    )
    blocks = [*_both(note)]
    for row in record["continuations"]:
        excerpts = [
            html.excerpt(made["prompt"] + made["text"], f"合成 synthetic · {arm}")
            for arm, made in row["arms"].items()
        ]
        blocks.append(html.details(row["prompt"], html.beside(*excerpts)))
    return blocks


def _plan(record: dict[str, Any]) -> list[html.Markup]:
    study = record["plan"]["study"]
    rule = wording.rule(record)
    shown = [[name, str(value)] for name, value in study.items()]
    return [
        *_both(rule),
        html.details("全項目 All fields", html.table(["", ""], shown, caption="study")),
    ]


def _rows(record: dict[str, Any], control: str, body: str) -> list[dict[str, Any]]:
    return [row for row in record["arms"] if (row["control"], row["body"]) == (control, body)]


def _figures(
    arms: Sequence[Mapping[str, Any]], measures: Sequence[tuple[str, str]], *, caption: str
) -> html.Markup:
    """A column for each arm, a row for each measure."""
    bound = {False: "", True: " (下限 lower bound)"}
    heads = ["", *(arm["arm"] + bound[arm["is_lower_bound"]] for arm in arms)]
    shown = [[head, *(_cell(arm[name]) for arm in arms)] for head, name in measures]
    return html.table(heads, shown, caption=caption, numeric=heads[1:])


def _cell(value: table.Value) -> str:
    """Large figures in whole numbers, small ones with four digits that say something."""
    if not isinstance(value, float) or not math.isfinite(value):
        return table.cell(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def _both(said: wording.Both) -> tuple[html.Markup, html.Markup]:
    return html.element("p", said.ja), html.english(said.en)
