"""A small dataset, the byte vocabulary, and their token store in several shards a split."""

import json
from pathlib import Path

import pytest

from jgpt2.corpus import build
from jgpt2.data import mixture, shards, tokens
from jgpt2.tokenizer import load, train

TEXTS = [f"第{i}話。" + "山路を登りながら、こう考えた。\n" * (i % 5) + "𠮷" for i in range(120)]


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("デー タ")
    path = root / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), "utf-8")
    recipe = build.Recipe(near_duplicates=None, validation_share=0.1, test_share=0.1)
    build.build([path], root / "dataset", name="話", recipe=recipe)
    return root / "dataset"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("語 彙") / "byte"
    train.train([], folder, name="byte", kind="byte")
    return folder


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TEXT_BYTES", 2000)


@pytest.fixture(scope="session")
def store_folder(
    dataset_folder: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("店 舗") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "TEXT_BYTES", 2000)
        tokens.build(dataset_folder, tokenizer_folder, folder)
    return folder


@pytest.fixture(scope="session")
def stream(store_folder: Path, tokenizer_folder: Path) -> tokens.Tokens:
    fingerprint = load.load(tokenizer_folder).fingerprint
    return tokens.open_store(store_folder, tokenizer_fingerprint=fingerprint).split("train")


@pytest.fixture(scope="session")
def text(stream: tokens.Tokens) -> mixture.Mixture:
    """That stream as all that a run is trained on."""
    return mixture.alone(stream)
