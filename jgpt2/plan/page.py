"""A plan as one self-contained page: how long, how much, does it fit, what holds it up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import html, manifest
from jgpt2.plan import report, wording

FILES = ("plan.json", "plan.html")
_LEAST = 0.001
"""Share from which a part has a bar."""


def write(folder: Path, answers: Sequence[dict[str, Any]]) -> None:
    """Writes the forecasts as `plan.json` and `plan.html`."""
    value = answers[0] if len(answers) == 1 else list(answers)
    manifest.write_json(folder / FILES[0], value)
    manifest.write_text(folder / FILES[1], page(answers))


def page(answers: Sequence[dict[str, Any]]) -> str:
    """The page of one forecast or of several compared."""
    names = {made["name"] for made in answers}
    where = ", ".join(made["topology"] for made in answers)
    sections: list[str] = []
    if len(answers) > 1:
        sections.append(_comparison(answers))
    for made in answers:
        sections += _sections(made, is_alone=len(answers) == 1)
    sections.append(html.section("前提 What this rests on", *_caveats(answers[0])))
    return html.page(
        f"学習の計画 Plan: {', '.join(sorted(names))} – {where}", lang="ja", sections=sections
    )


def _comparison(answers: Sequence[dict[str, Any]]) -> html.Markup:
    columns = ["構成 topology", "チップ chips", "メモリ memory", "1ステップ step", "MFU",
               "時間 time", "ドル USD", "円 JPY", "律速 bottleneck"]  # fmt: skip
    return html.section(
        "比較 Comparison",
        html.table(
            columns,
            [report.comparison(made) for made in answers],
            caption="予算どおり学習する場合 For the whole budget of the run",
            numeric=columns[1:8],
        ),
    )


def _sections(made: dict[str, Any], *, is_alone: bool) -> list[html.Markup]:
    price = html.element("p", f"単価 Price: {wording.price(made)}.")
    blocks = [_tiles(made), _description(made), price]
    head = [html.section(made["topology"], *blocks)] if not is_alone else blocks
    if made["step_time_s"] is None:
        return head
    parts = [
        html.section("1ステップの内訳 What a step is made of", _classes(made)),
        html.section("メモリの内訳 What fills the memory", _memory(made)),
        *_search(made),
        *_purse(made),
        html.details("通信・カーネル・重い演算 Communication, kernels, costliest work",
                     *_details(made)),
    ]  # fmt: skip
    return head + parts


def _tiles(made: dict[str, Any]) -> html.Markup:
    """The four answers."""
    memory = f"{made['hbm_bytes'] / 1e9:.1f} / {made['hbm_limit_bytes'] / 1e9:.0f} GB"
    fits = ("メモリ Does it fit?", "はい yes" if made["fits"] else "いいえ no", memory)
    if made["step_time_s"] is None:
        return html.tiles([fits])
    largest = made["bottleneck"]
    japanese, _, english = wording.CLASS_NAMES[largest["class"]].partition(" ")
    cost = wording.jpy(made["cost_jpy"]) if made["cost_jpy"] is not None else "不明 unknown"
    steps = f"{made['steps']:,} × {made['step_time_s'] * 1e3:.0f} ms"
    return html.tiles(
        [
            ("時間 How long?", wording.hours(made["hours"]), steps),
            ("費用 How much?", cost, wording.usd(made["cost_usd"])),
            fits,
            ("律速 Bottleneck", japanese, f"{english}, {largest['share']:.0%}"),
        ]
    )


def _description(made: dict[str, Any]) -> html.Markup:
    rows = [
        ["構成 topology", f"{made['topology']}, {made['chips']:,} chips, {wording.mesh(made)}"],
        ["モデル model", f"{made['name']}, {made['parameters']:,} parameters"],
        ["語彙 vocabulary", f"{made['tokenizer']}, {made['vocab_size']:,} ids"],
        ["バッチ batch", f"{made['batch']['sequences']:,} × {made['model']['context']:,} tokens"],
        ["判定 memory", made["verdict"]],
    ]
    if made["step_time_s"] is not None:
        text = f", {wording.short(made['bytes'])}B" if made["bytes"] else ""
        rows += [
            ["予算 budget", f"{wording.short(made['tokens'])} tokens{text}"],
            ["1ステップ step", wording.span(made)],
            ["速度 rate", f"{made['tokens_per_s_per_chip']:,.0f} tokens/s a chip"],
            [
                "MFU",
                f"{made['mfu']:.1%} (causal attention, as in metrics.jsonl), "
                f"{made['mfu_full_attention']:.1%} (attention in full)",
            ],
        ]
    return html.table(
        ["項目 item", "値 value"], rows, caption="計画した学習 The run that is planned"
    )


def _classes(made: dict[str, Any]) -> html.Markup:
    """Bars of the classes, the longest first."""
    step = made["step_time_s"]
    return html.bar_chart(
        html.Bar(wording.CLASS_NAMES[name], f"{seconds * 1e3:.1f} ms, {seconds / step:.0%}",
                 [(0, seconds / step)])
        for name, seconds in sorted(made["classes_s"].items(), key=lambda item: -item[1])
        if seconds / step >= _LEAST
    )  # fmt: skip


def _memory(made: dict[str, Any]) -> html.Markup:
    limit = made["hbm_limit_bytes"]
    parts = {**made["hbm_parts"], "code": made["hbm_code_bytes"]}
    return html.bar_chart(
        html.Bar(wording.PART_NAMES[name], f"{num_bytes / 1e9:.2f} GB, {num_bytes / limit:.0%}",
                 [(1, min(1.0, num_bytes / limit))])
        for name, num_bytes in parts.items()
        if num_bytes / limit >= _LEAST
    )  # fmt: skip


def _search(made: dict[str, Any]) -> list[html.Markup]:
    if "search" not in made:
        return []
    found = made["search"]
    columns = ["試した設定 tried", "行/デバイス rows", "GB", "ms", "収まる fits"]
    rows = [
        [row["flags"], f"{row['rows_per_device']:,}", f"{row['hbm_bytes'] / 1e9:.1f}",
         "–" if row["step_time_s"] is None else f"{row['step_time_s'] * 1e3:.0f}",
         "yes" if row["fits"] else "no"]
        for row in found["tried"]
    ]  # fmt: skip
    advice = [html.listing([found["recommended"]])] if found["recommended"] else []
    tried = html.table(columns, rows, caption="速い順 The fastest first", numeric=columns[1:4])
    return [html.section("推奨 Recommended", *advice, found["reason"], tried)]


def _purse(made: dict[str, Any]) -> list[html.Markup]:
    bought = made.get("purse")
    if not bought:
        return []
    tiles = html.tiles(
        [
            ("資金 Purse", wording.jpy(bought["budget_jpy"]), wording.usd(bought["budget_usd"])),
            ("トークン Tokens", wording.short(bought["tokens"]),
             f"{wording.short(bought['bytes'])}B, {wording.hours(bought['hours'])}"),
            ("最大モデル Largest model", bought["largest_model"] or "–", "20 tokens a parameter"),
            ("最大語彙 Largest vocabulary", bought["largest_vocabulary"] or "–",
             "for this budget's text"),
        ]
    )  # fmt: skip
    columns = ["候補 candidate", "資金の倍率 purse ÷ cost"]
    rows = [
        [row["name"], wording.short(row["share"])]
        for row in [*bought["models"], *bought["vocabularies"]]
    ]
    scaled = html.table(columns, rows, caption=bought["rule"], numeric=columns[1:])
    return [html.section("この資金で買えるもの What the purse buys", tiles, scaled)]


def _details(made: dict[str, Any]) -> list[html.Markup]:
    collectives = html.table(
        ["通信 communication", "回数 count", "MB", "ms", "待ち waited ms"],
        [
            [row["kind"], f"{row['count']:,}", f"{row['num_bytes'] / 1e6:,.1f}",
             f"{row['wire_s'] * 1e3:.2f}", f"{row['waited_s'] * 1e3:.2f}"]
            for row in made["collectives"]
        ],
        caption="1デバイス・1ステップあたり Of one device and one step",
        numeric=["回数 count", "MB", "ms", "待ち waited ms"],
    )  # fmt: skip
    kernels = html.table(
        ["カーネル kernel", "回数 calls", "ms", "根拠 priced by"],
        [
            [row["name"], f"{row['calls']:,}", f"{row['seconds'] * 1e3:.2f}", row["basis"]]
            for row in made["kernels"]
        ],
        caption="Pallas",
        numeric=["回数 calls", "ms"],
    )
    costliest = html.table(
        ["演算 operation", "種類 class", "ms"],
        [[row["what"], row["class"], f"{row['seconds'] * 1e3:.2f}"] for row in made["costliest"]],
        caption="時間のかかる順 The longest first",
        numeric=["ms"],
    )
    return [collectives, kernels, costliest]


def _caveats(made: dict[str, Any]) -> list[html.Markup]:
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return [
        html.element("p", _CAVEAT_JA),
        html.english(_CAVEAT_EN),
        html.english(f"{made['convention']}. {versions}."),
    ]


_CAVEAT_JA = (
    "実際の学習ステップを実際の構成向けにコンパイルし、コンパイラ自身が見積もったサイクル数に、ループの"
    "回数と通信のモデルを合わせた値です。何も実行していません。誤差は絶対値で±25%、同じプログラムの"
    "変種どうしの比較で±10%です。データの待ち、評価、保存、再起動の時間は含みません。"
)
_CAVEAT_EN = (
    "The real train step, compiled for the real topology; its time is the compiler's own cycles "
    "with loops multiplied out and communication priced by a model of the links. Nothing was run. "
    "The error is ±25% absolute and ±10% between variants of one program. Waiting for data, "
    "evaluation, checkpoints and restarts are not in it."
)
