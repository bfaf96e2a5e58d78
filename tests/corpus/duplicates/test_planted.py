"""Copies planted in text: light edits are found, heavy ones are not claimed."""

import gzip
import hashlib
import json
import random
from pathlib import Path

import pytest

from jgpt2.corpus.duplicates import minhash, search


def digest(text: str) -> bytes:
    return hashlib.sha256("".join(text.split()).encode()).digest()


def sentence(draw: random.Random) -> str:
    kana = "".join(draw.choices("あいうえおかきくけこさしすせそたちつてとなにぬねの", k=14))
    kanji = "".join(chr(0x4E00 + draw.randrange(1500)) for _ in range(14))
    return "".join(a + b for a, b in zip(kanji, kana, strict=True)) + "。"


def written(num: int) -> list[str]:
    texts = []
    for seed in range(num):
        draw = random.Random(seed)
        paragraphs = ["".join(sentence(draw) for _ in range(6)) for _ in range(draw.randint(4, 12))]
        texts.append("\n".join(paragraphs))
    return texts


def changed(text: str, draw: random.Random, share: float) -> str:
    characters = list(text)
    for at in draw.sample(range(len(text)), round(len(text) * share)):
        characters[at] = chr(0x4E00 + draw.randrange(1500))
    return "".join(characters)


def appended(text: str, draw: random.Random) -> str:
    more = ""
    while len(more) < len(text) * 0.05:
        more += sentence(draw)
    return f"{text}\n{more[: round(len(text) * 0.05)]}"


def framed(text: str, draw: random.Random) -> str:
    return f"ホーム ＞ 記事{draw.randrange(10**6)}\n{text}\nこの記事を共有する"


def respaced(text: str, draw: random.Random) -> str:
    return "\u3000" + text.replace("。", "。\n").replace("、", "、 ") + str(draw.randrange(10))


def shortened(text: str, draw: random.Random) -> str:
    """The text less a sentence, if one is less than a twentieth of it."""
    sentences = text.split("。")
    short = [at for at, each in enumerate(sentences) if 0 < len(each) < len(text) / 20]
    if short:
        del sentences[draw.choice(short)]
    else:
        return text[: round(len(text) * 0.97)]
    return "。".join(sentences)


def one_percent(text: str, draw: random.Random) -> str:
    return changed(text, draw, 0.01)


LIGHT = [one_percent, appended, framed, respaced, shortened]


@pytest.fixture(scope="module")
def generated() -> list[str]:
    return written(200)


@pytest.fixture(scope="module")
def real(real_data: Path) -> list[str]:
    """Texts of 600 to 20,000 characters that are not copies of each other already."""
    texts = []
    for name in ("docs-001", "literature-000", "web-000", "web-sa-000"):
        with gzip.open(real_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            near = [json.loads(line)["text"] for line in lines]
            texts += [text for text in near if 600 <= len(text) <= 20_000][:100]
    rows = minhash.signatures(texts)
    return [
        text for i, text in enumerate(texts) if (minhash.jaccard(rows[:i], rows[i]) < 0.4).all()
    ]


def find(folder: Path, texts: list[str]) -> list[int]:
    with search.Finder(folder, budget=1 << 17) as finder:
        finder.add([digest(text) for text in texts], minhash.signatures(texts))
        return finder.clusters().tolist()


def check_planted(folder: Path, texts: list[str]) -> None:
    assert len(texts) > 150
    draw = random.Random(5)
    for edit in LIGHT:
        copies = [edit(text, draw) for text in texts]
        assert all(digest(a) != digest(b) for a, b in zip(texts, copies, strict=True))
        labels = find(folder, [*texts, *copies])
        found = [labels[i] == labels[i + len(texts)] for i in range(len(texts))]
        assert sum(found) >= 0.995 * len(texts), edit.__name__
        assert len(set(labels)) >= len(texts), edit.__name__  # and no others together
    heavy = [changed(text, draw, 0.08) for text in texts]
    assert find(folder, [*texts, *heavy]) == list(range(2 * len(texts)))


def test_light_edits_are_found_and_heavy_ones_not(tmp_path: Path, generated: list[str]) -> None:
    check_planted(tmp_path, generated)


def test_in_real_text_light_edits_are_found_and_heavy_ones_not(
    tmp_path: Path, real: list[str]
) -> None:
    check_planted(tmp_path, real)


def test_sixteen_salted_copies_are_one_cluster(tmp_path: Path, generated: list[str]) -> None:
    texts = [f"{text}\n第{number}版" for number in range(16) for text in generated[:60]]
    labels = find(tmp_path, texts)
    assert len(set(labels)) == 60
    assert all(labels[at] == labels[at % 60] for at in range(len(texts)))
