"""What the quickstart found, as text for the terminal and as one self-contained page.

Both say first which vocabulary did better. The page is Japanese first, with English beside it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import html, manifest, table
from jgpt2.generate import stream


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the models compared, trained and evaluated."""

    name: str
    vocab_size: int
    num_parameters: int
    metrics: list[dict[str, Any]]
    """Rows of metrics.jsonl."""
    evaluation: dict[str, Any]
    """Content of evaluation.json, on the test split."""
    samples: list[dict[str, Any]]
    """Labelled records of generated text, one for each prompt."""

    @property
    def bits_per_byte(self) -> float:
        """On the test split."""
        return self.evaluation["bits_per_byte"]

    def curve(self) -> tuple[list[float], list[float]]:
        """Bytes of text seen, and validation bits per byte there."""
        seen = {row["step"]: row["bytes"] for row in self.metrics if row["kind"] == "train"}
        evaluated = [row for row in self.metrics if row["kind"] == "evaluation"]
        return (
            [seen[row["step"]] for row in evaluated],
            [row["bits_per_byte"] for row in evaluated],
        )

    def figures(self) -> list[table.Value]:
        """The column of the comparison, in the order of FIGURES."""
        trained = [row for row in self.metrics if row["kind"] == "train"]
        return [
            self.bits_per_byte,
            self.evaluation["bits_per_char"],
            self.evaluation["bytes_per_token"],
            self.vocab_size,
            self.num_parameters,
            trained[-1]["bytes"],
            trained[-1]["tokens"],
            round(sum(row["step_time_s"] for row in trained)),
        ]


XZ = "xz -9e"
FIGURES = (
    "ビット/バイト bits per byte",
    "ビット/文字 bits per character",
    "バイト/トークン bytes per token",
    "語彙数 ids",
    "パラメータ数 parameters",
    "学習バイト数 bytes seen",
    "学習トークン数 tokens seen",
    "学習秒数 seconds of training",
)
"""Rows of the comparison; the first three are of the test split."""


def summary(arms: Sequence[Arm]) -> str:
    """Verdict, table and the samples, labelled and in one line each, as plain text."""
    width = max(len(arm.name) for arm in arms)
    samples = [
        f"[synthetic] {arm.name:<{width}}  {_one_line(sample['prompt'] + sample['text'])}"
        for of_prompt in zip(*(arm.samples for arm in arms), strict=True)
        for arm, sample in zip(arms, of_prompt, strict=True)
    ]
    compared = table.text(["", *_columns(arms)], _comparison(arms))
    return "\n".join([*_verdict(arms), "", compared, "", *samples])


def write(path: Path, arms: Sequence[Arm], *, commands: Sequence[str]) -> None:
    """Writes the page; `commands` made what it reports."""
    japanese, english = _verdict(arms)
    evaluation = arms[0].evaluation
    by_source = _html_table(
        [f"文書の種類 source · {FIGURES[0]}", *_columns(arms)],
        _sources(arms),
        caption="テスト用テキストの種類別 The test split by source (xz compresses each alone)",
    )
    curves = html.line_chart(
        {arm.name: arm.curve() for arm in arms},
        title="検証用テキストでのビット/バイト Validation bits per byte",
        x_label="学習したテキストのバイト数 bytes of text seen",
        y_label=FIGURES[0],
    )
    page = html.page(
        "語彙の比較 jgpt2 quickstart",
        lang="ja",
        sections=[
            html.element("p", html.element("strong", japanese)),
            html.english(english),
            html.section(
                "比較 Comparison",
                _html_table(
                    ["", *_columns(arms)],
                    _comparison(arms),
                    caption=f"テスト用テキスト(文書 {evaluation['num_documents']:,} 件、"
                    f"{evaluation['num_bytes']:,} バイト)での比較 Comparison on the test split",
                ),
                by_source,
            ),
            html.section("学習曲線 Curves", curves),
            html.section("生成例 Samples", *_samples(arms)),
            html.section("コマンド Commands", _COMMANDS_JA, html.listing(commands)),
            html.section("注意 Caveats", _CAVEAT_JA, html.english(_CAVEAT_EN)),
        ],
    )
    manifest.write_text(path, page)


def _verdict(arms: Sequence[Arm]) -> tuple[str, str]:
    """One sentence in Japanese, one in English."""
    best, second = sorted(arms, key=lambda arm: arm.bits_per_byte)[:2]
    xz = best.evaluation["xz"]["bits_per_byte"]
    share = 1 - best.bits_per_byte / second.bits_per_byte
    return (
        f"{best.name} の方がよく予測します: テスト用テキスト1バイトあたり {best.bits_per_byte:.4f} "
        f"ビット({second.name} は {second.bits_per_byte:.4f}、差 {share:.1%}。{XZ} は {xz:.4f}。"
        "小さいほどよい)。",
        f"{best.name} predicts better: {best.bits_per_byte:.4f} bits per byte of the test split "
        f"({second.name} {second.bits_per_byte:.4f}, {share:.1%} less; {XZ} {xz:.4f}; lower is "
        "better).",
    )


def _columns(arms: Sequence[Arm]) -> list[str]:
    return [*(arm.name for arm in arms), XZ]


def _comparison(arms: Sequence[Arm]) -> list[list[table.Value]]:
    xz = [arms[0].evaluation["xz"]["bits_per_byte"], *[None] * (len(FIGURES) - 1)]
    return [list(row) for row in zip(FIGURES, *(arm.figures() for arm in arms), xz, strict=True)]


def _sources(arms: Sequence[Arm]) -> list[list[table.Value]]:
    parts = [arm.evaluation["by_source"] for arm in arms] + [arms[0].evaluation["xz"]["by_source"]]
    return [[source, *(part[source]["bits_per_byte"] for part in parts)] for source in parts[0]]


def _html_table(
    columns: Sequence[str], rows: Sequence[Sequence[table.Value]], *, caption: str
) -> html.Markup:
    shown = [[table.cell(value) for value in row] for row in rows]
    return html.table(columns, shown, caption=caption, numeric=columns[1:])


def _samples(arms: Sequence[Arm]) -> list[html.Markup]:
    """What each prompt became, side by side."""
    notes = [html.element("p", _SAMPLES_JA), html.english(f"{_SAMPLES_EN} {_settings(arms)}")]
    rows = [
        html.beside(
            *(
                html.excerpt(
                    sample["prompt"] + sample["text"],
                    f"合成テキスト synthetic · {arm.name} · step {sample['step']}",
                )
                for arm, sample in zip(arms, of_prompt, strict=True)
            )
        )
        for of_prompt in zip(*(arm.samples for arm in arms), strict=True)
    ]
    return notes + rows


def _settings(arms: Sequence[Arm]) -> str:
    sample = arms[0].samples[0]
    named = {**sample["sampler"], "seed": sample["seed"]}
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in named.items()) + "."


def _one_line(text: str) -> str:
    text = stream.neutralise(text.replace("\n", " "))
    return text if len(text) <= 60 else text[:60] + "…"


_SAMPLES_JA = (
    "以下はすべて機械が書いた合成テキストです。「�」は、文字として完成しなかったバイトです。"
)
_SAMPLES_EN = (
    "All text below is synthetic: a machine wrote it. A � stands for bytes that make no character."
)
_COMMANDS_JA = (
    "一行目がこのページを作ったコマンドです。二行目からは、同じものを一つずつ作るコマンドです。 "
    "The first line made this page; the others make the same part by part."
)
_CAVEAT_JA = (
    "どちらのモデルも同じ文書を同じバイト数だけ(一ステップ分の差まで)学習しています。トークンあたりの損失は語彙が違うと"
    "比べられないため、テキストのUTF-8バイト数で割った値を比べます。ごく小さな学習一回の結果であり、"
    "大きなモデルにどの語彙がよいかは示しません。"
)
_CAVEAT_EN = (
    "Both models saw the same number of bytes of the same documents, to within a step. Loss per "
    "token cannot be compared across vocabularies, so bits are divided by the UTF-8 bytes of the "
    "text. This is one very small run: it does not say which vocabulary a larger model should have."
)
