"""Real Japanese text and crawl files for tests, where they are at hand."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL_DATA = Path(os.environ.get("JGPT2_REAL_DATA", ROOT.parent / "shared" / "data"))
"""A folder of real text (`*.jsonl.gz`) and raw crawl files (`raw/`); not part of the project."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not (REAL_DATA / "raw" / "manifest.jsonl").is_file():
        pytest.skip(f"needs real text and crawl files in {REAL_DATA} (or $JGPT2_REAL_DATA)")
    return REAL_DATA


@pytest.fixture(scope="session")
def raw_data(real_data: Path) -> Path:
    return real_data / "raw"


NOUNS = [
    "朝",
    "港",
    "船",
    "山",
    "道",
    "本",
    "駅",
    "空",
    "雨",
    "風",
    "猫",
    "犬",
    "祖母",
    "先生",
    "手紙",
    "時計",
    "台所",
    "海岸",
    "図書館",
    "自転車",
]
VERBS = [
    "歩く",
    "眺める",
    "書く",
    "思い出す",
    "待つ",
    "走る",
    "集める",
    "話す",
    "眠る",
    "数える",
    "運ぶ",
    "直す",
]
ADVERBS = [
    "静かに",
    "ゆっくり",
    "何度も",
    "急に",
    "ときどき",
    "黙って",
    "一人で",
    "毎晩",
    "もう一度",
]


@pytest.fixture(scope="session")
def tell() -> Callable[..., str]:
    """tell(7): a short story of its own for every number; near no other one."""

    def story(number: int, sentences: int = 12) -> str:
        draw = random.Random(number)
        lines = [
            f"{draw.choice(NOUNS)}の{draw.choice(NOUNS)}を{draw.choice(ADVERBS)}"
            f"{draw.choice(VERBS)}{draw.choice(NOUNS)}が、{draw.choice(NOUNS)}で"
            f"{draw.choice(ADVERBS)}{draw.choice(VERBS)}。"
            for _ in range(sentences)
        ]
        return f"第{number}話。\n" + "\n".join(lines)

    return story
