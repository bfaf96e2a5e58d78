"""GPT-2s written by transformers: imported, they cost as many bits as torch says."""

import json
import subprocess

import numpy as np
import pytest

from tests.conftest import ROOT

CONFIG = {"n_positions": 64, "initializer_range": 0.15, "eos_token_id": 256, "bos_token_id": 256}
MODELS = {
    "頭 付き": {
        "config": {**CONFIG, "n_layer": 2, "n_embd": 48, "n_head": 4, "vocab_size": 257},
        "is_bare": False,
        "dtype": "float32",
        "shard_size": "5GB",
        "stride": 32,
    },
    "bare": {
        "config": {
            **(CONFIG | {"n_positions": 50}),
            "n_layer": 3,
            "n_embd": 64,
            "n_head": 2,
            "vocab_size": 300,
        },
        "is_bare": True,
        "dtype": "bfloat16",
        "shard_size": "100KB",
        "stride": 13,
    },
}
"""Two shapes: float32 in one file; bfloat16 in several, without head, its table padded."""


@pytest.fixture(scope="module")
def texts():
    """Twenty Japanese texts, from one character to several contexts of bytes."""
    lines = (ROOT / "jgpt2" / "sample" / "letter.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line)["text"] for line in lines]
    lengths = [1, 2, 7, 20, 21, 22, 60, 130, 200, 300]
    return [text[:length] for text, length in zip(written, lengths * 2, strict=False)]


@pytest.fixture(scope="module")
def reference(texts, reference_python, tmp_path_factory):
    """The folder of the models, and the bits of each text under each, by torch."""
    folder = tmp_path_factory.mktemp("外 来")
    asked, answer = folder / "asked.json", folder / "answer.json"
    asked.write_text(json.dumps({"texts": texts, "models": MODELS}), "utf-8")
    script = ROOT / "tests" / "reference" / "foreign.py"
    command = [reference_python, script, asked, folder, answer]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(answer.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_imported_models_score_as_torch_does(command, texts, reference, tmp_path, name):
    folder, bits = reference
    assert len(texts) == 20 and len(set(texts)) == 20
    imported, written = tmp_path / "取り込み 一", tmp_path / "texts.jsonl"
    vocabulary = ["--tokenizer", ROOT / "tokenizers" / "byte"]
    answer = command("import", folder / name, imported, *vocabulary, "--json").json()
    settings = MODELS[name]
    assert answer["notes"]["stored_as"] == [settings["dtype"]]
    assert answer["notes"]["padding_rows_left_out"] == settings["config"]["vocab_size"] - 257
    files = [file for file in answer["notes"]["source_files"] if file.endswith(".safetensors")]
    assert (len(files) > 1) == settings["is_bare"]
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    written.write_text("\n".join(lines), "utf-8")
    asked = ["--text", written, "--stride", settings["stride"], "--documents", "--json"]
    scored = command("evaluate", imported, *asked).json()
    num_bytes = np.asarray([len(text.encode()) for text in texts])
    assert [row["num_bytes"] for row in scored["documents"]] == num_bytes.tolist()
    ours = np.asarray([row["bits"] for row in scored["documents"]])
    np.testing.assert_allclose(ours / num_bytes, np.asarray(bits[name]) / num_bytes, atol=1e-5)
    assert abs(scored["bits_per_byte"] - sum(bits[name]) / num_bytes.sum()) <= 1e-5
    # The measure tells models apart, and strides: neither agrees by chance.
    (other,) = set(bits) - {name}
    assert abs(sum(bits[name]) - sum(bits[other])) / num_bytes.sum() > 0.01
    asked[asked.index("--stride") + 1] = settings["config"]["n_positions"]
    apart = command("evaluate", imported, *asked).json()
    assert abs(apart["bits_per_byte"] - scored["bits_per_byte"]) > 1e-3
