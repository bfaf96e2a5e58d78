import json
from pathlib import Path

import pytest

import jgpt2
from jgpt2 import benchmark, configio
from jgpt2.errors import InputError

ROOT = Path(jgpt2.__file__).parents[1]

CONFIG = """from jgpt2.config import Batch, Budget, Experiment, Model

config = Experiment(
    name="smallest",
    tokenizer="byte",
    model=Model(layers=1, embed_dim=32, heads=2, context=32, compute_dtype="float32"),
    batch=Batch(sequences=8),
    budget=Budget(steps=3),
)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "smallest.py"
    path.write_text(CONFIG, "utf-8")
    return path


def test_everything_is_measured_and_told(command, config, tmp_path):
    out = tmp_path / "figures.json"
    brief = ["--repetitions", 1, "--tokenizers", ROOT / "tokenizers"]
    result = command("benchmark", config, *brief, "--json", "--out", out).json()
    assert json.loads(out.read_text("utf-8")) == result
    assert set(result) == {
        *("config", "model", "parameters", "tokenizer", "devices", "machine"),
        *benchmark.WHAT,
    }
    assert result["devices"] == {"kind": "cpu", "number": 8}
    assert set(benchmark.LIBRARIES) == set(result["machine"]["libraries"])
    assert {"code_version", "cpu", "python"} <= set(result["machine"])
    train, decode = result["train"], result["decode"]
    assert (train["sequences"], train["context"], train["mfu"]) == (8, 32, None)
    assert train["flops_per_step"] == 8 * 32 * 6 * (12 * 32**2 + 257 * 32 + 32 * 32)
    assert set(train["step_s"]) == {"median", "lowest", "highest", "repetitions"}
    assert [row["rows"] for row in decode["batches"]] == [1, 8]
    assert (decode["prompt_tokens"], decode["new_tokens"]) == (16, 16)
    for rate in (
        train["tokens_per_s"],
        decode["batches"][0]["tokens_per_s"],
        result["tokenise"]["encode_mb_per_s"],
        result["tokenise"]["decode_mb_per_s"],
        result["load"]["tokens_per_s"],
    ):
        assert 0 < rate["lowest"] <= rate["median"] <= rate["highest"]
        assert rate["repetitions"] == 1


def test_only_what_is_asked_is_measured_and_shown_in_lines(command, config):
    places = ["--tokenizers", ROOT / "tokenizers", "--repetitions", 1]
    outcome = command("benchmark", config, *places, "--what", "tokenise")
    assert outcome.exit_code == 0, outcome.err
    head, *rows = outcome.out.splitlines()
    assert head.startswith("smallest: ")
    assert [row.split()[0] for row in rows] == ["encode", "decode"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"what": ()},
            "nothing to measure; choose of train, decode, tokenise, load by --what.",
        ),
        ({"repetitions": 0}, "repetitions=0 measures nothing; choose 1 or more."),
    ],
)
def test_what_measures_nothing_is_refused(config, settings, message):
    with pytest.raises(InputError) as caught:
        benchmark.measure(configio.load(config), ROOT / "tokenizers" / "byte", **settings)
    assert str(caught.value) == message


def test_a_context_too_short_to_decode_in_is_refused(tmp_path):
    path = tmp_path / "short.py"
    path.write_text(CONFIG.replace("context=32", "context=2"), "utf-8")
    with pytest.raises(InputError) as caught:
        benchmark.measure(configio.load(path), ROOT / "tokenizers" / "byte")
    assert str(caught.value) == (
        "model.context=2 is too short to decode in; choose 4 or more, or leave decode out of "
        "--what."
    )


def test_a_tokenizer_that_is_not_there_is_named(command, config, tmp_path):
    outcome = command("benchmark", config, "--tokenizers", tmp_path)
    assert outcome.exit_code == 2
    assert "no tokenizer 'byte'" in outcome.err
