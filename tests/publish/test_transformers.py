"""Exported folders in transformers, which runs in an environment of its own with torch."""

import gzip
import json

import numpy as np
import pytest

from jgpt2 import manifest
from jgpt2.errors import DamageError
from jgpt2.publish.formats import hf, hf_tokenizer, verify
from jgpt2.tokenizer import load, train
from tests.conftest import ROOT, run_command

KINDS = {
    "byte": ["--kind", "byte"],
    "unigram": ["--vocab-size", "1500"],
    "bpe": ["--kind", "bpe", "--vocab-size", "1500"],
}
SHAPES = {"1x32": (1, 32, []), "2x48": (2, 48, ["--model.scan-layers"])}
DOCUMENTS = ROOT.parent / "shared" / "data"


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
    layers, width, flags = SHAPES[shape]
    outcome = run_command(
        *walk.training(kind, folder),
        *("--tokenizers", vocabularies, "--model.layers", layers, "--model.embed-dim", width),
        *flags,
    )
    assert outcome.exit_code == 0, outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_computes_and_reads_the_same(
    walk, vocabularies, reference_python, tmp_path, kind, shape
):
    run, out = tmp_path / "走 行", tmp_path / "公開 一"
    trained(walk, vocabularies, kind, shape, run)
    outcome = run_command("export", run, out, "--python", reference_python, "--dtype", "float32")
    assert outcome.exit_code == 0, outcome.err
    assert "and loaded by transformers" in outcome.out
    proof = json.loads((out / hf.PROOF).read_text("utf-8"))["transformers"]
    assert proof["class"] == "GPT2LMHeadModel"
    assert 0 < proof["max_logit_difference"] <= 1e-4  # another program's sums, not our own file
    assert proof["continuations"] == {"equal": 50, "new_tokens": 16, "ties": 0}


@pytest.mark.slow
def test_transformers_finds_what_our_own_reader_cannot_see(
    walk, reference_python, tmp_path, monkeypatch
):
    described, files = hf._config, hf_tokenizer.files

    def altered(*given):
        made = files(*given)
        made["tokenizer_config.json"]["eos_token"] = "\n"
        made["tokenizer.json"]["pre_tokenizer"] = None
        made["tokenizer.json"]["decoder"] = {"type": "Fuse"}
        return made

    monkeypatch.setattr(hf_tokenizer, "files", altered)
    monkeypatch.setattr(
        hf, "_config", lambda *given: described(*given) | {"activation_function": "relu"}
    )
    run = walk.root / "runs" / "sp"
    outcome = run_command("export", run, tmp_path / "out", "--python", reference_python)
    assert outcome.exit_code == DamageError.exit_code
    faults = ("a logit by", "the end-of-text id", "the ids of a text", "a decoded text")
    assert [fault for fault in faults if fault not in outcome.err] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ids_of_a_thousand_real_documents_are_equal(reference_python, tmp_path):
    if not DOCUMENTS.is_dir():
        pytest.skip(f"needs the texts in {DOCUMENTS}")
    texts = []
    for file in ("web-000.jsonl.gz", "docs-000.jsonl.gz", "literature-000.jsonl.gz"):
        with gzip.open(DOCUMENTS / file, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines][:450]
    texts = texts[:1000]
    assert len(texts) == 1000
    train.train(
        [("real", text) for text in texts[::10]],
        tmp_path / "bpe",
        name="bpe",
        kind="bpe",
        vocab_size=8000,
    )
    shipped = [ROOT / "tokenizers" / name for name in ("byte", "sp-8k", "sp-32k")]
    for vocabulary in (*shipped, tmp_path / "bpe"):
        tokenizer, name = load.load(vocabulary), vocabulary.name
        folder = tmp_path / f"{name} 公開"
        for file, content in hf_tokenizer.files(tokenizer, 1024).items():
            manifest.write_json(folder / file, content)
        manifest.write_json(folder / "config.json", {"model_type": "gpt2"})
        _, told = verify.ask(reference_python, folder, rows=[], texts=texts)
        wanted = tokenizer.encode_batch(texts)
        differing = [
            number
            for number, (ours, theirs) in enumerate(zip(wanted, told["ids"], strict=True))
            if not np.array_equal(ours, theirs)
        ]
        assert differing == [], name
        assert told["decoded"] == texts, name
