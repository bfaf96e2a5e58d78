"""What the quickstart found, as a table for the terminal and as one self-contained page.

The page is Japanese first, with English beside it; it answers which vocabulary did better before
it shows curves and samples.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import html, manifest


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
    """Labelled records of generated text."""

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

    def cells(self) -> list[str]:
        """The row of the comparison table, in the order of COLUMNS."""
        trained = [row for row in self.metrics if row["kind"] == "train"]
        return [
            self.name,
            f"{self.vocab_size:,}",
            f"{self.num_parameters:,}",
            f"{trained[-1]['bytes']:,}",
            f"{trained[-1]['tokens']:,}",
            f"{sum(row['step_time_s'] for row in trained):.0f}",
            f"{self.evaluation['bytes_per_token']:.2f}",
            f"{self.evaluation['bits_per_char']:.3f}",
            f"{self.bits_per_byte:.4f}",
        ]


COLUMNS = {
    "vocabulary": "語彙",
    "ids": "語彙数",
    "parameters": "パラメータ数",
    "bytes seen": "学習バイト数",
    "tokens seen": "学習トークン数",
    "seconds": "学習秒数",
    "bytes/token": "バイト/トークン",
    "bits/char": "ビット/文字",
    "bits/byte": "ビット/バイト",
}


def summary(arms: Sequence[Arm]) -> str:
    """Verdict, table and a few labelled samples, as plain text."""
    rows = [list(COLUMNS), *(arm.cells() for arm in arms)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    samples = [
        f"[synthetic, {arm.name}] {sample['prompt']}{sample['text'][:60]}".replace("\n", " ")
        for arm in arms
        for sample in arm.samples
    ]
    return "\n".join([_verdict(arms), "", *table, "", *samples])


def write(path: Path, arms: Sequence[Arm]) -> None:
    """Writes the page."""
    curves = html.line_chart(
        {arm.name: arm.curve() for arm in arms},
        title="検証用テキストでのビット/バイト Validation bits per byte",
        x_label="学習したテキストのバイト数 bytes of text seen",
        y_label="ビット/バイト bits per byte",
    )
    table = html.table(
        [f"{japanese} {english}" for english, japanese in COLUMNS.items()],
        [arm.cells() for arm in arms],
        caption="テスト用テキストでの比較 Comparison on the test split",
        numeric=[f"{japanese} {english}" for english, japanese in list(COLUMNS.items())[1:]],
    )
    samples = [
        html.excerpt(
            sample["prompt"] + sample["text"],
            f"合成テキスト synthetic · {arm.name} · seed {sample['seed']} · {sample['sampler']}",
        )
        for arm in arms
        for sample in arm.samples
    ]
    page = html.page(
        "jgpt2 quickstart",
        lang="ja",
        sections=[
            _verdict(arms),
            html.section("比較 Comparison", table, _CAVEAT_JA, _CAVEAT_EN),
            html.section("学習曲線 Curves", curves),
            html.section("生成例 Samples", *samples),
        ],
    )
    manifest.write_text(path, page)


def _verdict(arms: Sequence[Arm]) -> str:
    best, second = sorted(arms, key=lambda arm: arm.bits_per_byte)[:2]
    xz = best.evaluation["xz"]["bits_per_byte"]
    return (
        f"{best.name}: {best.bits_per_byte:.4f} bits per byte on the test split, "
        f"{second.name}: {second.bits_per_byte:.4f} "
        f"({second.bits_per_byte - best.bits_per_byte:.4f} more), xz -9e: {xz:.4f}. "
        "Lower is better."
    )


_CAVEAT_JA = (
    "どちらのモデルも同じ文書を同じバイト数だけ学習しています。トークンあたりの損失は語彙が違うと"
    "比べられないため、テキストのUTF-8バイト数で割った値を比べます。ごく小さな学習一回の結果であり、"
    "大きなモデルにどの語彙がよいかは示しません。"
)
_CAVEAT_EN = (
    "Both models saw the same number of bytes of the same documents. Loss per token cannot be "
    "compared across vocabularies, so bits are divided by the UTF-8 bytes of the text. This is one "
    "very small run: it does not say which vocabulary a larger model should have."
)
