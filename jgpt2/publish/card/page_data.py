"""The data section of a card's README: the author's statement, and a table for each fact."""

from collections.abc import Mapping, Sequence
from typing import Any

from jgpt2 import table
from jgpt2.corpus.accounting import terms
from jgpt2.publish.card.language import Language
from jgpt2.publish.card.markdown import Code, points, table_of, text

_MAX_ROWS = 20
_SIZES = (("文書", "documents"), ("文字", "characters"), ("バイト", "bytes"))
_COUNTED = ("num_documents", "num_chars", "num_bytes")


def blocks(data: Mapping[str, Any], say: Language) -> list[str]:
    """The section in one language."""
    named = (
        ("statement", ("由来と根拠", "Where it is from")),
        ("personal_information", ("個人情報の扱い", "Personal information")),
        ("gaps", ("足りないもの", "Known gaps")),
    )
    made: list[str] = []
    for key, heading in named:
        made += [f"#### {say(*heading)}", points(say.of(data[key])) or say.unknown]
    dates = [
        (say("収集した期間", "collected"), data["collected"] or say.unknown),
        (say("最後の削除対応", "last removal"), data["last_removal"] or say.unknown),
    ]
    made.append(table_of(("", ""), dates))
    for dataset in data["datasets"]:
        made += _dataset(dataset, say)
    return (
        made if data["datasets"] else [*made, f"{say('データセット', 'Datasets')}: {say.unknown}"]
    )


def _dataset(told: Mapping[str, Any], say: Language) -> list[str]:
    title = f"#### {say('データセット', 'Dataset')} {text(told['name'])}"
    made = [title, table_of(("", ""), _summary(told, say))]
    for key, name in (("splits", ("分割", "split")), ("sources", ("出典・分野", "source, genre"))):
        made.append(_shares(say(*name), told[key], say))
    made.append(_shares(say("ライセンス", "licence"), told["licenses"], say))
    made.append(_left_out(told["stages"], say))
    masks = {
        terms.MASKS.get(key, key) if say is Language.JA else key: count
        for key, count in (told["masks"] or {}).items()
    }
    rows = list(masks.items())
    heading = say("個人情報の伏せ字", "personal information masked")
    if told["masks"] is None:
        made.append(f"{heading}: {say.unknown}")
    else:
        made.append(_counts((heading, say("箇所", "places")), rows, say))
    return made


def _summary(told: Mapping[str, Any], say: Language) -> list[tuple[table.Value, ...]]:
    def known(value: Any, form: str = "{}") -> str:
        return say.unknown if value is None else form.format(value)

    threshold, removals = told["near_duplicates"], told["removals"]
    rows: list[tuple[table.Value, ...]] = [
        (say("指紋", "fingerprint"), Code(told["fingerprint"])),
        (say("作成日時", "built"), known(told["created"])),
        (
            say("学習バイトに占める割合", "share of the bytes trained on"),
            known(told["byte_share"], "{:.1%}"),
        ),
        (say("エポック(バイトで数えて)", "epochs (by bytes)"), known(told.get("epochs"), "{:.4g}")),
    ]
    is_told = told["created"] is not None
    rows.append(
        (
            say("近似重複とする類似度", "near-duplicates: Jaccard similarity"),
            f"{threshold:g}" if threshold is not None else say.none if is_told else say.unknown,
        )
    )
    rows.append(
        (
            say("反映した削除依頼の一覧", "list of removals applied"),
            Code(removals) if removals else say.none if is_told else say.unknown,
        )
    )
    for name in ("japanese_share", "hiragana_share", "katakana_share"):
        label = say(terms.score(name), name.replace("_", " "))
        middle = (told["scripts"] or {}).get(name)
        shown = f"{middle[0]:.0%}–{middle[1]:.0%}" if middle else say.unknown
        rows.append((f"{label}{say('(中央の文書)', ' (median document)')}", shown))
    return rows


def _shares(heading: str, counted: Mapping[str, Any] | None, say: Language) -> str:
    """A table of documents, characters, bytes and the share of the bytes, the largest first."""
    if counted is None:
        return f"{heading}: {say.unknown}"
    total = sum(one["num_bytes"] for one in counted.values())
    ordered = sorted(counted.items(), key=lambda item: (-item[1]["num_bytes"], item[0]))
    rows = [
        (
            say.unknown if name == "unknown" else name,
            *(one[key] for key in _COUNTED),
            f"{one['num_bytes'] / max(total, 1):.1%}",
        )
        for name, one in ordered
    ]
    columns = (heading, *(say(*size) for size in _SIZES), say("割合", "share"))
    return _counts(columns, rows, say)


def _left_out(stages: Mapping[str, Any] | None, say: Language) -> str:
    heading = say("処理の段階", "stage")
    if stages is None:
        return f"{heading}: {say.unknown}"
    rows = []
    for name, stage in stages.items():
        why = ", ".join(
            f"{say(terms.reason(reason) or reason, reason)} {count:,}"
            for reason, count in stage["left_out"].items()
        )
        rows.append(
            (
                say(terms.STAGES[name][0], name),
                stage["passed"],
                sum(stage["left_out"].values()),
                why or say.none,
            )
        )
    columns = (heading, say("通過", "passed"), say("除外", "left out"), say("理由", "why"))
    return table_of(columns, rows)


def _counts(columns: Sequence[str], rows: Sequence[Sequence[table.Value]], say: Language) -> str:
    """A table of the first rows; how many more there are stands below it."""
    if not rows:
        return f"{columns[0]}: {say.none}"
    shown = table_of(columns, rows[:_MAX_ROWS])
    more = len(rows) - _MAX_ROWS
    if more <= 0:
        return shown
    rest = say(f"ほか {more:,} 種類は `card.json`", f"{more:,} more in `card.json`")
    return f"{shown}\n\n{rest}"
