import hashlib
import shutil

import pytest

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import load, train


def test_load_gives_what_the_manifest_says(folders, tokenizers):
    for kind, folder in folders.items():
        described = manifest.read(folder, kind="tokenizer")
        tokenizer = tokenizers[kind]
        assert (tokenizer.name, tokenizer.kind) == (kind, kind)
        assert tokenizer.fingerprint == described.fingerprint
        assert tokenizer.eot == described.identity["eot"]
        assert tokenizer.token_bytes.shape == (tokenizer.vocab_size,)


def test_an_altered_model_is_refused_with_both_hashes(folders, tmp_path):
    shutil.copytree(folders["bpe"], tmp_path / "bpe")
    model = tmp_path / "bpe" / train.MODEL_FILE
    expected = hashlib.sha256(model.read_bytes()).hexdigest()
    model.write_bytes(model.read_bytes() + b"\0")
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    with pytest.raises(DamageError) as refusal:
        load.load(tmp_path / "bpe")
    for part in (str(model), expected, found, "restore the file"):
        assert part in str(refusal.value)


def test_a_missing_model_is_refused(folders, tmp_path):
    shutil.copytree(folders["bpe"], tmp_path / "bpe")
    (tmp_path / "bpe" / train.MODEL_FILE).unlink()
    with pytest.raises(DamageError, match=r"tokenizer.model is missing, though its manifest"):
        load.load(tmp_path / "bpe")


def test_a_folder_of_another_kind_is_refused(tmp_path):
    manifest.write(tmp_path, kind="dataset", name="x", identity={}, parents={})
    with pytest.raises(InputError, match="holds a dataset, not a tokenizer"):
        load.load(tmp_path)


def test_find_lists_the_choices(folders, tmp_path):
    root = folders["bpe"].parent
    assert load.find(root, "bpe") == folders["bpe"]
    with pytest.raises(
        InputError, match=r"no tokenizer 'sp-9k' in .*; choose one of bpe, byte, un"
    ):
        load.find(root, "sp-9k")
    with pytest.raises(InputError, match=r"which holds none; make one with `jgpt2 tokenizer train"):
        load.find(tmp_path, "sp-9k")
