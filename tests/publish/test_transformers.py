"""Exported folders in transformers, which runs in an environment of its own with torch."""

import dataclasses
import importlib.util
import json
import subprocess

import jax
import numpy as np
import pytest

from jgpt2 import runs
from jgpt2.model import gpt2
from jgpt2.publish import hf
from tests.conftest import ROOT, run_command

STRESS = [
    *("", " ", "  \n\n\n ", "行一\r\n行二\r", "\t\t字下げ", "　　全角　空白"),
    *("\u2581", "前\u2581後 \u2581"),
    *("半角ｶﾅ ﾊﾟﾋﾟ", "①㍿㌔", "が", "か\u3099", "é", "e\u0301", "👨\u200d👩\u200d👧 🇯🇵 ❤️"),
    *("𠮷野家 𩸽", "1234567890 １２３４５", "<|endoftext|>", "前<|endoftext|>後", "<unk>"),
    *("<0x0A>", "<<0xE3>x", "< 0x0A>", "<s></s><pad>", "\x00\x01", "\ufeff印", "\u200b\u200d"),
    *("葛\U000e0100城", "\u0085\u2028\u2029", "ゟヿ〱", "￥＼～", "http://example.jp/?a=1&b=2"),
]  # fmt: skip
KINDS = {
    "byte": ["--kind", "byte"],
    "unigram": ["--vocab-size", "1500"],
    "bpe": ["--kind", "bpe", "--vocab-size", "1500"],
}
SHAPES = {"1x32": (1, 32), "2x48": (2, 48)}


@pytest.fixture(scope="module")
def python():
    path = ROOT / "tests" / "reference" / "run.py"
    spec = importlib.util.spec_from_file_location("reference_run", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.environment()


@pytest.fixture(scope="module")
def vocabularies(walk, tmp_path_factory):
    root = tmp_path_factory.mktemp("語彙")
    for kind, flags in KINDS.items():
        given = [*flags, "--out", root / kind]
        if kind != "byte":
            given += ["--dataset", walk.root / "data" / "ja"]
        outcome = run_command("tokenizer", "train", *given)
        assert outcome.exit_code == 0, outcome.err
    return root


def trained(walk, vocabularies, kind, shape, folder):
    layers, width = SHAPES[shape]
    outcome = run_command(
        *walk.training(kind, folder),
        *("--tokenizers", vocabularies, "--model.layers", layers, "--model.embed-dim", width),
    )
    assert outcome.exit_code == 0, outcome.err
    return runs.open_model(folder)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_computes_and_reads_the_same(
    walk, vocabularies, python, tmp_path, kind, shape
):
    model = trained(walk, vocabularies, kind, shape, tmp_path / "走 行")
    out = tmp_path / "公開 一"
    hf.export(model, tmp_path / "走 行", out)
    vocab_size, context = model.tokenizer.vocab_size, model.shape.context
    rows = np.random.default_rng(0).integers(vocab_size, size=(4, context), dtype=np.int32)
    prompts = np.random.default_rng(1).integers(vocab_size, size=(50, 8))
    asked = {
        "rows": rows.tolist(),
        "texts": STRESS,
        "prompts": prompts.tolist(),
        "new_tokens": 8,
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked), "utf-8")
    script = ROOT / "tests" / "reference" / "loads.py"
    command = [python, script, out, tmp_path / "asked.json", tmp_path / "answer.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "answer.npz") as answer:
        logits, told = answer["logits"], json.loads(str(answer["told"]))
    assert told["class"] == "GPT2LMHeadModel"
    assert (told["eot"], told["vocab_size"]) == (model.tokenizer.eot, vocab_size)

    plain = dataclasses.replace(model.shape, compute_dtype="float32")
    graphdef, _ = gpt2.abstract(plain, vocab_size)
    forward = jax.jit(lambda ids: gpt2.forward(graphdef, model.params, ids)[..., :vocab_size])
    assert np.abs(forward(rows) - logits).max() <= 1e-4
    ours = prompts
    for _ in range(asked["new_tokens"]):
        scores = np.array(forward(ours.astype(np.int32))[:, -1])
        scores[:, model.tokenizer.eot] = -np.inf  # min_new_tokens forbids it there
        ours = np.concatenate([ours, scores.argmax(axis=-1)[:, None]], axis=1)
    np.testing.assert_array_equal(told["written"], ours)
    wanted = [ids.tolist() for ids in model.tokenizer.encode_batch(STRESS)]
    assert told["ids"] == wanted
    assert told["decoded"] == STRESS
