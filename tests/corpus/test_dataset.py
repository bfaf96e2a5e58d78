import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from jgpt2.corpus import build, dataset, read, records
from jgpt2.errors import DamageError, InputError

TEXTS = [
    "山路を登りながら、\nこう考えた。",
    "ｶﾅと𠮷と👨‍👩‍👧",
    "\ttab\r\n　全角",
    "<|endoftext|>",
    "末",
] * 40
ODD = [f"{text}{i}" for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("デー タ")
    lines = [json.dumps({"text": text, "title": f"題{i}"}) for i, text in enumerate(ODD)]
    (root / "a.jsonl").write_text("\n".join(lines), "utf-8")
    build.build([root / "a.jsonl"], root / "out", name="a")
    return root / "out"


def test_documents_come_back_as_they_were(folder: Path):
    found = [d for split in dataset.SPLITS for d in dataset.open_split(folder, split)]
    given = list(read.documents([folder.parent / "a.jsonl"]))
    assert sorted(found, key=lambda d: d.id) == sorted(given, key=lambda d: d.id)


def test_it_is_a_sequence(folder: Path):
    train = dataset.open_split(folder, "train")
    documents = list(train)
    assert len(train) == len(documents)
    assert train[-1] == documents[-1]
    assert train[1:3] == documents[1:3]
    with pytest.raises(IndexError):
        train[len(train)]
    again = pickle.loads(pickle.dumps(train))
    assert again[5] == documents[5]


def test_tfds_reads_the_folder_itself(folder: Path):
    builder = tfds.builder_from_directory(folder)
    source = builder.as_data_source("test")
    assert source[0]["text"].decode() == dataset.open_split(folder, "test")[0].text
    assert builder.info.file_format.value == "array_record"


def test_tensorflow_and_jax_are_not_loaded():
    script = "import sys, jgpt2.corpus.build; assert not {'tensorflow', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_unknown_split_lists_the_choices(folder: Path):
    with pytest.raises(InputError, match=r"'dev'.*train, validation, test"):
        dataset.open_split(folder, "dev")


def test_missing_dataset_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no finished dataset"):
        dataset.open_split(tmp_path, "train")


def test_a_cut_file_is_damage(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = "documents-test.array_record-00000"
    (tmp_path / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(DamageError, match=name):
        dataset.open_split(tmp_path, "train")
    (tmp_path / name).unlink()
    with pytest.raises(DamageError, match=name):
        dataset.open_split(tmp_path, "train")


def test_splits_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "SHARD_BYTES", 1000)
    documents = [records.document(f"第{i}話" * i, source="s", title=str(i)) for i in range(40)]
    names = dataset.write(tmp_path, {"train": documents, "test": documents[:1]})
    assert len([name for name in names if "-train." in name]) > 3
    assert list(dataset.Split(tmp_path, "train")) == documents
    assert list(dataset.Split(tmp_path, "test")) == documents[:1]
