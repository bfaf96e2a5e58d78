"""The measured sections of a card's README: training, evaluation, safety, energy."""

from collections.abc import Mapping, Sequence
from typing import Any

from jgpt2 import table
from jgpt2.publish.card.language import Language
from jgpt2.publish.card.markdown import Code, listing, table_of

_SAFETY = (
    ("detector", ("検出器", "Detector")),
    ("bias", ("偏り", "Bias")),
    ("memorisation", ("丸暗記", "Memorisation")),
    ("watermark", ("電子透かし", "Watermark")),
)


def training(record: Mapping[str, Any], say: Language) -> list[str]:
    """Amounts, settings and the loss curve."""
    told = record["training"]
    made: list[str] = []
    if record["provenance"]["origin"] == "import":
        source = say(
            "このプロジェクトでは学習していません。元のモデルを参照してください。",
            "Not trained by this project: see the base model.",
        )
        made.append(source)
    rows = [
        (say("ステップ", "steps"), _shown(told["steps"], say)),
        (say("トークン", "tokens"), _shown(told["tokens"], say)),
        (say("テキストのバイト", "bytes of text"), _shown(told["bytes"], say)),
        (say("FLOP(式による)", "FLOPs (by formula)"), _shown(told["flops"], say)),
        (say("1トークンあたりのFLOP", "FLOPs per token"), _shown(told["flops_per_token"], say)),
        (say("最後の損失(nat/トークン)", "final loss (nats per token)"), _shown(told["loss"], say)),
        (
            say("追加学習の方法", "fine-tuning"),
            _settings(told["tuning"], say) if told["tuning"] else say.none,
        ),
        (say("最適化(AdamW)", "optimiser (AdamW)"), _settings(told["optimizer"], say)),
        (say("学習率の変化", "schedule"), _settings(told["schedule"], say)),
        (say("バッチ", "batch"), _settings(told["batch"], say)),
        (say("メッシュ", "mesh"), _settings(told["mesh"], say)),
        (say("ドロップアウト", "dropout"), _shown(told["dropout"], say)),
        (say("数値の型", "precision"), _settings(told["precision"], say)),
        (say("機械", "hardware"), told["hardware"] or say.unknown),
        (say("プロセス", "processes"), _shown(told["processes"], say)),
        (say("開始回数", "starts"), _shown(told["starts"], say)),
        (say("時間(停止中を除く)", "hours (without downtime)"), _shown(told["hours"], say)),
        (say("有効なステップの時間の割合", "goodput"), _shown(told["goodput"], say)),
        (say("開始", "first event"), told["first"] or say.unknown),
        (say("終了", "last event"), told["last"] or say.unknown),
    ]
    made.append(table_of(("", ""), rows))
    if told["figure"]:
        words = say("学習曲線: 1バイトあたりのビット数", "Curve of the loss, in bits per byte")
        made.append(f"![{words}]({told['figure']})")
    return made


def evaluation(told: Mapping[str, Any], say: Language) -> list[str]:
    """Every figure with its dataset, split, n and command."""
    results = told["results"]
    if not results:
        return [say("未評価。", "Not evaluated."), *_forgotten(told["forgetting"], say)]
    made_by = list(dict.fromkeys(row["command"] for row in results if row["command"]))
    columns = (
        *(say("指標", "metric"), say("値", "value"), say("対象", "of")),
        *(say("データ", "dataset"), say("分割", "split"), say("部分", "part"), "n"),
        *(say("版", "revision"), say("コマンド", "command")),
    )
    rows = [
        (
            Code(row["metric"]) if row["metric"] else say.unknown,
            _value(row),
            say("このモデル", "this model") if row["by"] == "model" else row["by"],
            row["dataset"] or say.unknown,
            row["split"] or say.unknown,
            row["part"] or say("全体", "all"),
            say.unknown if row["n"] is None else row["n"],
            Code(row["revision"][:12]) if row["revision"] else say.unknown,
            f"({made_by.index(row['command']) + 1})" if row["command"] else say.unknown,
        )
        for row in results
    ]
    numbered = [
        line for at, command in enumerate(made_by, start=1) for line in (f"# ({at})", command)
    ]
    note = say(
        "bits_per_byte は、文書(終端を含む)を予測するのに要するビット数を、本文のUTF-8のバイト数で"
        "割った値です。小さいほどよく、語彙が違っても比べられます。n は文書または設問の数です。",
        "bits_per_byte: the bits needed to predict a document and its end, over the UTF-8 bytes of "
        "its text; lower is better, and vocabularies compare. n counts documents or questions.",
    )
    made = [note, table_of(columns, rows), *([listing(numbered)] if numbered else [])]
    return made + _forgotten(told["forgetting"], say)


def safety(told: Mapping[str, Any], say: Language) -> list[str]:
    """What was measured of each kind, with its source."""
    made: list[str] = []
    for key, heading in _SAFETY:
        made.append(f"#### {say(*heading)}")
        measured = told[key]
        if measured is None:
            made.append(say("未測定。", "Not measured."))
            continue
        rows = [(name, _shown(value, say)) for name, value in measured["figures"].items()]
        rows.append((say("出所", "source"), measured["source"] or say.unknown))
        made.append(table_of((say("項目", "figure"), say("値", "value")), rows))
        if measured["command"]:
            made.append(listing([measured["command"]]))
    return made


def energy(told: Mapping[str, Any], say: Language) -> list[str]:
    """Energy and emissions, and how they are known."""
    how = {
        "measured": say("測定値", "measured"),
        "estimated": say("見積もり: 時間 × 電力 × PUE", "estimated: hours × power × PUE"),
        "unknown": say.unknown,
    }
    rows = [
        (say("求め方", "how known"), how[told["how"]]),
        (say("電力量(kWh)", "energy (kWh)"), _shown(told["kwh"], say)),
        (say("CO₂排出量(g)", "CO₂ emitted (g)"), _shown(told["grams"], say)),
        (say("時間", "hours"), _shown(told["hours"], say)),
        (say("電力(W)", "power (W)"), _shown(told["watts"], say)),
        ("PUE", _shown(told["pue"], say)),
        (
            say("電源の排出係数(g/kWh)", "carbon intensity (g/kWh)"),
            _shown(told["grams_per_kwh"], say),
        ),
        (say("場所", "location"), told["location"] or say.unknown),
        (say("出所", "source"), told["source"] or say.unknown),
    ]
    return [table_of(("", ""), rows)]


def _forgotten(figures: Sequence[Mapping[str, Any]], say: Language) -> list[str]:
    """What a fine-tuning changed; nothing for other models."""
    if not figures:
        return []
    sets = {
        "old": say("元の学習データ", "data of the base model"),
        "new": say("追加学習のデータ", "data of the fine-tuning"),
    }
    rows = [
        (sets[row["set"]], row["dataset"], row["split"], row["n"], row["before"], row["after"])
        for row in figures
    ]
    columns = (
        *("", say("データ", "dataset"), say("分割", "split"), "n"),
        *(say("追加学習の前", "before"), say("後", "after")),
    )
    note = say(
        "追加学習の前と後の bits_per_byte:", "bits_per_byte before and after the fine-tuning:"
    )
    return [note, table_of(columns, rows), listing([figures[0]["command"]])]


def _value(row: Mapping[str, Any]) -> table.Value:
    if row["value"] is None or row["low"] is None or row["high"] is None:
        return row["value"]
    return f"{row['value']:.4f} ({row['low']:.4f}–{row['high']:.4f})"


def _shown(value: Any, say: Language) -> str:
    """A number of any size to six digits, whole ones in groups of three."""
    if value is None:
        return say.unknown
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _settings(named: Mapping[str, Any] | None, say: Language) -> str:
    if named is None:
        return say.unknown
    words = ("–" if value is None else _shown(value, say) for value in named.values())
    return ", ".join(f"{name} {word}" for name, word in zip(named, words, strict=True))
