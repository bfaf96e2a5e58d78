"""Exported GGUF files in llama.cpp, where the reference environment has llama-cpp-python.

It is not among the requirements there, for it is compiled for minutes:
`uv pip install --python .reference/bin/python llama-cpp-python==0.3.36`.
"""

import dataclasses
import gzip
import itertools
import json
import os
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import runs
from jgpt2.errors import DamageError
from jgpt2.model import gpt2
from jgpt2.publish.formats import gguf_file, hf, llama, stress
from jgpt2.tokenizer import byte
from tests.conftest import ROOT
from tests.publish import test_transformers as reference

vocabularies = reference.vocabularies
REAL_DATA = Path(os.environ.get("JGPT2_REAL_DATA", ROOT.parent / "shared" / "data"))
SPACE_PIECE = "\u2581"


@pytest.fixture(scope="module")
def ask(reference_python, tmp_path_factory):
    """Gives llama.cpp's answer about a file: its logits, and what else it tells."""
    found = subprocess.run(
        [reference_python, "-c", "import llama_cpp"], capture_output=True, check=False
    )
    if found.returncode != 0:
        pytest.skip("needs llama-cpp-python in the reference environment (.reference)")
    folder = tmp_path_factory.mktemp("llama")

    def answer(file, **asked):
        (folder / "asked.json").write_text(json.dumps(asked), "utf-8")
        script = ROOT / "tests" / "reference" / "llama.py"
        command = [reference_python, script, file, folder / "asked.json", folder / "answer.npz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(folder / "answer.npz") as arrays:
            return arrays["logits"], json.loads(str(arrays["told"]))

    return answer


gelu = jax.nn.gelu


def gelu_by_table(x, approximate):
    """As llama.cpp computes it on a CPU: looked up by x in half precision (GGML_GELU_FP16)."""
    looked_up = gelu(x.astype(np.float16).astype(np.float32), approximate=approximate)
    return looked_up.astype(np.float16).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", reference.SHAPES)
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_llama_cpp_computes_and_reads_the_same(
    walk, vocabularies, ask, tmp_path, monkeypatch, kind, shape
):
    reference.trained(walk, vocabularies, kind, shape, tmp_path / "走 行")
    model = runs.open_model(tmp_path / "走 行")
    gguf_file.export(model, tmp_path / "走 行", tmp_path / "公開 一")
    vocab_size, context = model.tokenizer.vocab_size, model.shape.context
    rows = np.random.default_rng(0).integers(vocab_size, size=(4, context), dtype=np.int32)
    prompts = np.random.default_rng(1).integers(vocab_size, size=(50, 8))
    logits, told = ask(
        tmp_path / "公開 一" / gguf_file.FILE,
        rows=rows.tolist(),
        prompts=prompts.tolist(),
        new_tokens=8,
        eot=model.tokenizer.eot,
        texts=stress.TEXTS,
    )
    plain = dataclasses.replace(model.shape, compute_dtype="float32")
    graphdef, _ = gpt2.abstract(plain, vocab_size)
    forward = jax.jit(lambda ids: gpt2.forward(graphdef, model.params, ids)[..., :vocab_size])
    exact = np.abs(forward(rows) - logits).max()
    assert exact <= llama.TOLERANCE["float32"]
    with monkeypatch.context() as patch:
        patch.setattr(jax.nn, "gelu", gelu_by_table)
        assert np.abs(forward.__wrapped__(jnp.asarray(rows)) - logits).max() <= 1e-4
    ours = prompts
    for _ in range(8):
        scores = np.array(forward(ours.astype(np.int32))[:, -1])
        scores[:, model.tokenizer.eot] = -np.inf
        ours = np.concatenate([ours, scores.argmax(axis=-1)[:, None]], axis=1)
    np.testing.assert_array_equal(told["written"], ours)

    texts = list(stress.TEXTS)
    if kind == "bpe":  # a U+2581 of the text is a space to llama.cpp
        assert any(SPACE_PIECE in text for text in texts)
        texts = [text.replace(SPACE_PIECE, " ") for text in texts]
    assert told["ids"] == [ids.tolist() for ids in model.tokenizer.encode_batch(texts)]
    assert told["decoded"] == texts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_llama_cpp_reads_real_documents_alike(walk, vocabularies, ask, tmp_path, kind):
    if not REAL_DATA.is_dir():
        pytest.skip(f"needs real text in {REAL_DATA} (or $JGPT2_REAL_DATA)")
    texts = []
    for name in ("web-000", "docs-000", "literature-000"):
        with gzip.open(REAL_DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in itertools.islice(lines, 500)]
    texts = [text for text in texts if SPACE_PIECE not in text]
    assert len(texts) >= 1000
    reference.trained(walk, vocabularies, kind, "1x32", tmp_path / "run")
    model = runs.open_model(tmp_path / "run")
    gguf_file.export(model, tmp_path / "run", tmp_path / "out")
    file = tmp_path / "out" / gguf_file.FILE
    _, told = ask(file, rows=[[0]], prompts=[], new_tokens=0, eot=0, texts=texts)
    differing = [
        number
        for number, ids in enumerate(model.tokenizer.encode_batch(texts))
        if told["ids"][number] != ids.tolist() or told["decoded"][number] != texts[number]
    ]
    assert differing == []


@pytest.mark.slow
def test_the_command_asks_llama_cpp_where_it_is_installed(walk, tmp_path, monkeypatch):
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python beside the project")
    run, out = walk.root / "runs" / "byte", tmp_path / "out"
    model = runs.open_model(run)
    gguf_file.export(model, run, out)
    proof = json.loads((out / hf.PROOF).read_text("utf-8"))["llama.cpp"]
    assert 0 < proof["max_logit_difference"] <= proof["tolerance"]
    assert proof["texts"] == len(llama.TEXTS)

    monkeypatch.setitem(llama.TOLERANCE, "float32", 0)
    with pytest.raises(DamageError, match="above 0 for float32"):
        llama.compare(out / gguf_file.FILE, model, "float32")
    monkeypatch.setattr(byte.Byte, "encode", lambda self, text: np.zeros(len(text), np.uint16))
    with pytest.raises(DamageError, match="the run as"):
        llama.compare(out / gguf_file.FILE, model, "float32")
    whole = (out / gguf_file.FILE).read_bytes()
    (out / gguf_file.FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamageError, match="does not load"):
        llama.compare(out / gguf_file.FILE, model, "float32")
