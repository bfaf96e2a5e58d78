"""Exported folders: what is in them, what is refused, and that no flaw passes unseen."""

import json
import sys

import numpy as np
import pytest

from jgpt2 import manifest, runs
from jgpt2.errors import DamageError, InputError
from jgpt2.model import layout
from jgpt2.publish.formats import hf
from jgpt2.tokenizer import load as tokenizer_load


@pytest.fixture(scope="module")
def models(walk):
    return {name: runs.open_model(walk.root / "runs" / name) for name in ("byte", "sp")}


@pytest.fixture
def export(walk, models):
    return lambda name, out, **more: hf.export(models[name], walk.root / "runs" / name, out, **more)


@pytest.mark.parametrize("name", ["byte", "sp"])
def test_an_exported_folder_holds_the_same_weights(walk, models, command, tmp_path, name):
    out = tmp_path / "公開 一"
    answer = command("export", walk.root / "runs" / name, out, "--json").json()
    assert manifest.verify(out, kind="export").fingerprint == answer["fingerprint"]
    model = models[name]
    assert answer["parents"] == {
        "run": model.fingerprint,
        "tokenizer": model.tokenizer.fingerprint,
    }
    loaded, vocab_size = layout.from_gpt2_names(hf.read_tensors(out))
    assert vocab_size == model.tokenizer.vocab_size  # no padding of the table
    for path, wanted in layout.to_gpt2_names(model.params, vocab_size).items():
        np.testing.assert_array_equal(layout.to_gpt2_names(loaded, vocab_size)[path], wanted)
    proof = json.loads((out / hf.PROOF).read_text("utf-8"))
    assert proof["read_back"]["max_logit_difference"] == 0
    assert proof["transformers"] is None
    assert tokenizer_load.load(out / "tokenizer").fingerprint == model.tokenizer.fingerprint
    run = manifest.read(out / hf.RUN, kind="run")
    assert run.fingerprint == model.fingerprint
    manifest.check_files(out / hf.RUN, run, run.files)
    written = json.loads((out / "config.json").read_text("utf-8"))
    assert written["vocab_size"] == vocab_size
    assert written["eos_token_id"] == model.tokenizer.eot


def test_large_weights_are_cut_into_files_that_name_each_other(models, export, tmp_path):
    out = tmp_path / "out"
    export("sp", out, max_shard_bytes=20_000)
    index = json.loads((out / hf.INDEX).read_text("utf-8"))
    files = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(files) > 2
    assert sorted(set(index["weight_map"].values())) == files
    tensors = hf.read_tensors(out)
    assert set(tensors) == set(index["weight_map"])
    assert index["metadata"]["total_size"] == sum(one.nbytes for one in tensors.values())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_are_the_rounded_ones(models, export, tmp_path, dtype):
    out = tmp_path / dtype
    export("byte", out, dtype=dtype)
    wanted = layout.to_gpt2_names(models["byte"].params, 257)
    for name, tensor in hf.read_tensors(out).items():
        assert tensor.dtype.name == dtype
        np.testing.assert_array_equal(tensor, wanted[name].astype(tensor.dtype))
    assert json.loads((out / hf.PROOF).read_text("utf-8"))["read_back"]["max_logit_difference"] > 0


def test_nothing_is_overwritten(models, export, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="nothing is overwritten"):
        export("byte", tmp_path / "out")
    with pytest.raises(InputError, match="holds no tensor"):
        export("byte", tmp_path / "other", max_shard_bytes=0)


def test_weights_that_were_written_wrongly_are_not_published(models, export, tmp_path, monkeypatch):
    save = hf.save_file

    def flipped(tensors, path, **more):
        name = next(iter(tensors))
        save({**tensors, name: tensors[name] + 1e-3}, path, **more)

    monkeypatch.setattr(hf, "save_file", flipped)
    with pytest.raises(DamageError, match="does not hold the weights"):
        export("byte", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_cut_file_is_damage(models, export, tmp_path, length):
    out = tmp_path / "out"
    export("byte", out)
    whole = (out / hf.WEIGHTS).read_bytes()
    (out / hf.WEIGHTS).write_bytes(whole[:length])
    with pytest.raises(DamageError, match="no whole safetensors file"):
        hf.read_tensors(out)


def test_pieces_hold_spaces_and_keep_their_ids(models, export, tmp_path):
    out = tmp_path / "out"
    export("sp", out)
    written = json.loads((out / "tokenizer.json").read_text("utf-8"))
    tokenizer = models["sp"].tokenizer
    pieces = [piece for piece, _ in written["model"]["vocab"]]
    assert len(pieces) == tokenizer.vocab_size
    assert not any("\u2581" in piece for piece in pieces)
    of_text = [number for number in range(len(pieces)) if not tokenizer.is_byte[number]]
    assert all(
        pieces[number].encode() == tokenizer.pieces[number]
        for number in of_text
        if tokenizer.pieces[number]
    )
    added = {token["content"]: token["id"] for token in written["added_tokens"]}
    assert added["<|endoftext|>"] == tokenizer.eot
    assert set(added) == {"<|endoftext|>", "\n", "\t"}


def test_a_python_that_is_none_or_lacks_torch_is_refused(walk, command, tmp_path):
    run = walk.root / "runs" / "byte"
    outcome = command("export", run, tmp_path / "out", "--python", tmp_path / "python")
    assert (outcome.exit_code, "is no program" in outcome.err) == (2, True)
    outcome = command("export", run, tmp_path / "out", "--python", sys.executable)
    assert (outcome.exit_code, "could not load the exported folder" in outcome.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
