"""GGUF files: what is in them, what is refused, and that no flaw passes unseen."""

import json
import sys

import gguf
import numpy as np
import pytest

from jgpt2 import manifest, runs
from jgpt2.errors import DamageError, InputError
from jgpt2.model import layer_norm, layout
from jgpt2.publish.formats import gguf_file, gguf_vocabulary, hf
from jgpt2.tokenizer import load as tokenizer_load
from tests.conftest import run_command

KERNELS = {
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
BLOCK = {"attn_norm": "ln_1", "ffn_norm": "ln_2", **KERNELS}


@pytest.fixture(scope="module")
def model(walk):
    return runs.open_model(walk.root / "runs" / "byte")


@pytest.fixture
def export(walk, model):
    return lambda out, **more: gguf_file.export(model, walk.root / "runs" / "byte", out, **more)


@pytest.fixture(scope="module")
def bpe(walk, tmp_path_factory):
    out = tmp_path_factory.mktemp("語彙") / "bpe"
    flags = ["--kind", "bpe", "--vocab-size", 1500, "--dataset", walk.root / "data" / "ja"]
    outcome = run_command("tokenizer", "train", *flags, "--out", out)
    assert outcome.exit_code == 0, outcome.err
    return tokenizer_load.load(out)


def test_a_file_holds_the_weights_under_the_names_of_llama_cpp(walk, model, command, tmp_path):
    out = tmp_path / "公開 一"
    run = walk.root / "runs" / "byte"
    answer = command("export", run, out, "--format", "gguf", "--json").json()
    assert manifest.verify(out, kind="export").fingerprint == answer["fingerprint"]
    assert answer["identity"] == {"format": "GGUF", "dtype": "float32", "step": model.step}
    assert answer["parents"] == {"run": model.fingerprint, "tokenizer": model.tokenizer.fingerprint}
    assert tokenizer_load.load(out / "tokenizer").fingerprint == model.tokenizer.fingerprint
    assert manifest.read(out / hf.RUN, kind="run").fingerprint == model.fingerprint

    ours = layout.to_gpt2_names(model.params, 257)
    wanted = {
        "token_embd.weight": ours["transformer.wte.weight"],  # of 257 rows: no padding
        "position_embd.weight": ours["transformer.wpe.weight"],
        "output_norm.weight": ours["transformer.ln_f.weight"],
        "output_norm.bias": ours["transformer.ln_f.bias"],
    }
    for new, old in BLOCK.items():
        for part in ("weight", "bias"):
            tensor = ours[f"transformer.h.0.{old}.{part}"]
            is_kernel = new in KERNELS and part == "weight"
            wanted[f"blk.0.{new}.{part}"] = tensor.T if is_kernel else tensor
    reader = gguf.GGUFReader(out / gguf_file.FILE)
    assert {tensor.name for tensor in reader.tensors} == set(wanted)
    for tensor in reader.tensors:
        assert tensor.data.dtype == np.float32
        np.testing.assert_array_equal(tensor.data, wanted[tensor.name])
    qkv = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.attn_qkv.weight")
    assert qkv.data.shape == (3 * model.shape.embed_dim, model.shape.embed_dim)


def test_a_file_says_what_llama_cpp_must_know(model, export, tmp_path):
    export(tmp_path / "out")
    found, _ = gguf_file.read(tmp_path / "out" / gguf_file.FILE)
    shape = model.shape
    epsilon = found.pop("gpt2.attention.layer_norm_epsilon")
    assert np.float32(epsilon) == np.float32(layer_norm.EPSILON)
    ends = {"bos_token_id", "eos_token_id", "padding_token_id"}
    assert {name: found[f"tokenizer.ggml.{name}"] for name in ends} == dict.fromkeys(ends, 256)
    plain = {name: value for name, value in found.items() if "tokenizer" not in name}
    assert plain == {
        "general.architecture": "gpt2",
        "general.type": "model",
        "general.name": "out",
        "general.file_type": 0,
        "gpt2.context_length": shape.context,
        "gpt2.embedding_length": shape.embed_dim,
        "gpt2.feed_forward_length": 4 * shape.embed_dim,
        "gpt2.block_count": shape.layers,
        "gpt2.attention.head_count": shape.heads,
    }
    proof = json.loads((tmp_path / "out" / hf.PROOF).read_text("utf-8"))
    told = proof["read_back"]
    assert (told["max_logit_difference"], told["tensors"]) == (0, 16)
    assert proof["entries"] == len(found) + 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_kernels_are_the_rounded_ones(model, export, tmp_path, dtype):
    export(tmp_path / "out", dtype=dtype)
    export(tmp_path / "whole")
    found, narrow = gguf_file.read(tmp_path / "out" / gguf_file.FILE)
    _, whole = gguf_file.read(tmp_path / "whole" / gguf_file.FILE)
    assert found["general.file_type"] == {"float16": 1, "bfloat16": 32}[dtype]
    for name, tensor in narrow.items():
        is_plain = tensor.ndim == 1 or name == "position_embd.weight"
        assert tensor.dtype.name == ("float32" if is_plain else dtype)
        np.testing.assert_array_equal(tensor, whole[name].astype(tensor.dtype))
    told = json.loads((tmp_path / "out" / hf.PROOF).read_text("utf-8"))["read_back"]
    assert 0 < told["max_logit_difference"] <= told["tolerance"]


def test_bytes_are_entries_of_one_sign_each(model):
    made = gguf_vocabulary.metadata(model.tokenizer)
    tokens = made["tokenizer.ggml.tokens"]
    assert len(set(tokens)) == 257
    assert (tokens[ord("A")], tokens[ord(" ")], tokens[ord("\n")]) == ("A", "Ġ", "Ċ")
    assert tokens[256] == "<|endoftext|>"
    assert made["tokenizer.ggml.token_type"] == [gguf.TokenType.NORMAL] * 256 + [
        gguf.TokenType.CONTROL
    ]
    assert made["tokenizer.ggml.model"] == "gpt2"
    assert not made["tokenizer.ggml.add_bos_token"]


def test_pieces_keep_their_ids_scores_and_types(bpe):
    made = gguf_vocabulary.metadata(bpe)
    tokens, types = made["tokenizer.ggml.tokens"], made["tokenizer.ggml.token_type"]
    assert (made["tokenizer.ggml.model"], len(tokens)) == ("llama", 1500)
    meaning = {
        gguf.TokenType.NORMAL: lambda token: token.replace("\u2581", " ").encode(),
        gguf.TokenType.USER_DEFINED: str.encode,
        gguf.TokenType.BYTE: lambda token: bytes([int(token[3:5], 16)]),
        gguf.TokenType.CONTROL: lambda token: b"",
        gguf.TokenType.UNKNOWN: lambda token: b"",
    }
    found = [meaning[kind](token) for token, kind in zip(tokens, types, strict=True)]
    assert found == list(bpe.pieces)
    own = {token for token, kind in zip(tokens, types, strict=True) if kind == 4}
    assert own == {"\n", "\t"}
    assert (types.count(gguf.TokenType.BYTE), types.count(gguf.TokenType.CONTROL)) == (256, 1)
    assert types[made["tokenizer.ggml.unknown_token_id"]] == gguf.TokenType.UNKNOWN
    longer = [
        number for number, piece in enumerate(tokens) if len(piece) > 1 and types[number] == 1
    ]
    scores = [made["tokenizer.ggml.scores"][number] for number in longer]
    assert scores == sorted(scores, reverse=True)  # those merged first in training come first
    assert scores[0] > scores[-1]


def test_a_unigram_vocabulary_is_refused_with_the_reason(walk, command, tmp_path):
    run = walk.root / "runs" / "sp"
    outcome = command("export", run, tmp_path / "out", "--format", "gguf")
    assert outcome.exit_code == 2
    assert "no byte fallback" in outcome.err
    assert "byte or bpe" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_join_to_a_control_piece_are_refused(bpe):
    made = gguf_vocabulary.metadata(bpe)
    pieces, types = list(made["tokenizer.ggml.tokens"]), made["tokenizer.ggml.token_type"]
    check = gguf_vocabulary._require_unspellable
    given = [number for number, kind in enumerate(types) if kind == gguf.TokenType.NORMAL][:2]
    pieces[given[0]] = "<|endof"
    check("bpe", pieces, types)
    pieces[given[1]] = "text|>"
    with pytest.raises(InputError, match=r"'<\|endof' and 'text\|>': llama.cpp would read"):
        check("bpe", pieces, types)


def test_nothing_is_overwritten(export, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="nothing is overwritten"):
        export(tmp_path / "out")


def test_without_its_package_the_extra_is_named(export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"gguf, which is not installed; install jgpt2\[gguf\]"):
        export(tmp_path / "out")


def changed_tensor(metadata, tensors):
    name = "blk.0.attn_output.weight"
    return metadata, tensors | {name: np.ascontiguousarray(tensors[name].T)}


def lost_tensor(metadata, tensors):
    return metadata, {name: tensor for name, tensor in tensors.items() if "output_norm" not in name}


def changed_entry(metadata, tensors):
    tokens = list(metadata["tokenizer.ggml.tokens"])
    tokens[65], tokens[66] = tokens[66], tokens[65]
    return metadata | {"tokenizer.ggml.tokens": tokens}, tensors


def added_entry(metadata, tensors):
    return metadata | {"gpt2.rope.dimension_count": 4}, tensors


@pytest.mark.parametrize("flaw", [changed_tensor, lost_tensor, changed_entry, added_entry])
def test_what_was_written_wrongly_is_not_published(export, tmp_path, monkeypatch, flaw):
    write = gguf_file._write
    monkeypatch.setattr(gguf_file, "_write", lambda file, *given: write(file, *flaw(*given)))
    with pytest.raises(DamageError, match=r"does not hold (what|the weights) it was given"):
        export(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 7, 100, 2000, -1])
def test_a_cut_file_is_damage(export, tmp_path, length):
    export(tmp_path / "out")
    file = tmp_path / "out" / gguf_file.FILE
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DamageError, match="no whole GGUF file"):
        gguf_file.read(file)
