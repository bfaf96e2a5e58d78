import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jgpt2 import manifest
from jgpt2.corpus import dataset, records
from jgpt2.corpus.quality import scores
from jgpt2.errors import DamageError, InputError

TEXTS = [
    "山路を登りながら、\nこう考えた。",
    "ｶﾅと𠮷と👨‍👩‍👧",
    "\ttab\r\n　全角",
    "<|endoftext|>",
    "末",
] * 40
ODD = [f"{text}{i}" for i, text in enumerate(TEXTS)]


def scored(text: str, **fields: str) -> records.Document:
    """A document with scores as exact as the dataset keeps them."""
    measured = {name: float(np.float32(value)) for name, value in scores.score(text).items()}
    return records.document(text, source="s", scores=measured, **fields)


DOCUMENTS = [scored(text, title=f"題{i}", url=f"https://例.jp/{i}") for i, text in enumerate(ODD)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("デー タ")
    splits = {"train": DOCUMENTS[20:], "validation": DOCUMENTS[10:20], "test": DOCUMENTS[:10]}
    files = dataset.write(root, splits)
    notes = {"splits": {name: {"num_documents": len(part)} for name, part in splits.items()}}
    manifest.write(
        root, kind="dataset", name="a", identity={}, parents={}, files=files, notes=notes
    )
    return root


def test_documents_come_back_as_they_were(folder: Path):
    assert list(dataset.open_split(folder, "train")) == DOCUMENTS[20:]
    assert list(dataset.open_split(folder, "validation")) == DOCUMENTS[10:20]
    assert list(dataset.open_split(folder, "test")) == DOCUMENTS[:10]
    assert list(DOCUMENTS[0].scores) == list(scores.NAMES)


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
    assert source[0]["text"].decode() == DOCUMENTS[0].text
    assert source[0]["scores"].tolist() == list(DOCUMENTS[0].scores.values())
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


def damaged(folder: Path, made: Path, name: str, position: int) -> Path:
    """A copy of a dataset in which one byte of a file is another."""
    shutil.copytree(folder, made)
    content = bytearray((made / name).read_bytes())
    content[position] ^= 4
    (made / name).write_bytes(content)
    return made


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_flipped_bit_in_what_describes_the_splits_is_damage(folder: Path, tmp_path, name: str):
    for position in range(0, (folder / name).stat().st_size, 97):
        made = damaged(folder, tmp_path / str(position), name, position)
        with pytest.raises(DamageError, match=rf"{name} does not match its SHA-256"):
            dataset.open_split(made, "validation")


@pytest.mark.parametrize("name", ["splits", "identity"])
def test_a_flipped_bit_in_the_manifest_is_damage(folder: Path, tmp_path: Path, name: str):
    at = (folder / manifest.FILE_NAME).read_bytes().index(f'"{name}"'.encode())
    made = damaged(folder, tmp_path / "made", manifest.FILE_NAME, at + 2)
    with pytest.raises(DamageError, match=r"manifest\.json (was changed after|cannot be read)"):
        dataset.open_split(made, "train")


def test_a_flipped_bit_in_a_document_is_damage(folder: Path, tmp_path: Path):
    name = "documents-train.array_record-00000"
    made = damaged(folder, tmp_path / "made", name, 200)
    assert len(list(dataset.open_split(made, "test"))) == len(dataset.open_split(folder, "test"))
    with pytest.raises(DamageError, match=rf"{name} does not match its SHA-256"):
        list(dataset.open_split(made, "train"))


def test_splits_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "SHARD_BYTES", 1000)
    documents = [scored(f"第{i}話" * i, title=str(i)) for i in range(40)]
    names = dataset.write(tmp_path, {"train": documents, "test": documents[:1]})
    assert len([name for name in names if "-train." in name]) > 3
    assert list(dataset.Split(tmp_path, "train")) == documents
    assert list(dataset.Split(tmp_path, "test")) == documents[:1]
