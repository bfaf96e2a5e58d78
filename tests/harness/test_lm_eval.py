"""The harness itself on our models, with the network cut off."""

import dataclasses
import json
import math
import socket
import sys

import jax
import jax.numpy as jnp
import pytest

from jgpt2 import config, runs
from jgpt2.errors import InputError
from jgpt2.harness import adapter, evaluation
from jgpt2.model import gpt2, sharding
from jgpt2.tokenizer import byte

pytest.importorskip("lm_eval", reason="needs lm-evaluation-harness: uv sync --extra eval")

pytestmark = [
    pytest.mark.slow,  # the harness takes seconds to import
    pytest.mark.filterwarnings("default"),
]
OURS = ("jgpt2_commonsense", "jgpt2_grammar", "jgpt2_prose")
PAGE = "港の朝は早い。"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("something went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def guessing():
    """A model of bytes that gives each the same probability."""
    shape = config.Model(layers=1, embed_dim=8, heads=2, context=128, compute_dtype="float32")
    tokenizer = byte.Byte(name="byte", fingerprint="deca")
    graphdef, params = gpt2.create(shape, tokenizer.vocab_size, seed=0)
    mesh = sharding.make_mesh(config.Mesh())
    params = jax.device_put(jax.tree.map(jnp.zeros_like, params), sharding.replicated(mesh))
    return runs.OpenModel(shape, graphdef, params, tokenizer, 250, mesh, "c0ffee")


@pytest.fixture
def jglue(tmp_path):
    """Made-up items in JGLUE's layout."""
    questions = [
        {"q_id": i, "question": asked, **{f"choice{k}": c for k, c in enumerate(choices)}}
        | {"label": label}
        for i, (asked, choices, label) in enumerate(
            [("朝に鳴く鳥は？", "鶏亀鯉蛇蟹", 0), ("雪が降る季節は？", "春夏秋冬今", 3)]
        )
    ]
    pairs = [
        {"sentence_pair_id": "1", "sentence1": "犬が走る。", "sentence2": two, "label": label}
        for two, label in [("動物が走る。", "entailment"), ("犬が寝ている。", "contradiction")]
    ]
    asked = [
        {"question": "早いのは。", "id": "a1", "answers": [{"text": "朝", "answer_start": 9}]},
        {"question": "どこの朝か。", "id": "a2", "answers": [{"text": "港", "answer_start": 7}]},
    ]
    squad = {"data": [{"paragraphs": [{"context": f"港 [SEP] {PAGE}", "qas": asked}]}]}
    lines = {
        name: "\n".join(map(json.dumps, rows)) for name, rows in [("q", questions), ("p", pairs)]
    }
    contents = {"jcommonsenseqa": lines["q"], "jnli": lines["p"], "jsquad": json.dumps(squad)}
    for name, content in contents.items():
        for part in ("train", "valid"):
            path = tmp_path / "datasets" / f"{name}-v1.3" / f"{part}-v1.3.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n", "utf-8")
    return tmp_path / "datasets"


def items(name):
    lines = (evaluation.TASKS / f"{name}.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines]


def test_torch_is_neither_needed_nor_there():
    import lm_eval.evaluator

    assert lm_eval.evaluator
    assert not {"torch", "transformers", "tensorflow"} & set(sys.modules)


def test_the_command_writes_the_record_of_our_tasks(command, walk, ask, tmp_path):
    run = walk.root / "runs" / "sp"
    record = command("harness", run, "--tasks", *OURS, "--json").json()
    assert json.loads((run / "harness.json").read_text("utf-8")) == record
    model = runs.open_model(run)
    assert (record["model"], record["step"], record["tokenizer"]) == (
        model.fingerprint,
        model.step,
        model.tokenizer.fingerprint,
    )
    assert record["command"].endswith(f"--tasks {' '.join(OURS)} --step {model.step}")
    assert record["versions"] == dict.fromkeys(OURS, 1)
    assert record["n-samples"] == {name: {"original": 30, "effective": 30} for name in OURS}
    assert record["requests"]["loglikelihood"] == 30 * 5 + 30 * 2
    assert record["requests"]["loglikelihood_rolling"] == 30

    adapted = adapter.Adapter(model)
    for name, prompt in (("commonsense", "質問：{}\n答え："), ("grammar", "{}")):
        right = 0
        for row in items(name):
            context = prompt.format(row.get("question", ""))
            answers = adapted.loglikelihood(ask(*((context, one) for one in row["choices"])))
            nats = [one for one, _ in answers]
            right += nats.index(max(nats)) == row["label"]
        assert record["results"][f"jgpt2_{name}"]["acc,none"] == pytest.approx(right / 30)

    texts = tmp_path / "文.jsonl"
    texts.write_bytes((evaluation.TASKS / "prose.jsonl").read_bytes())
    own = command("evaluate", run, "--text", texts, "--json").json()
    assert record["results"]["jgpt2_prose"]["bits_per_byte,none"] == pytest.approx(
        own["bits_per_byte_without_eot"], rel=1e-6
    )


def test_a_model_that_guesses_has_closed_forms(guessing):
    record = evaluation.run(guessing, OURS, command="")
    prose = record["results"]["jgpt2_prose"]["bits_per_byte,none"]
    assert prose == pytest.approx(math.log2(257), rel=1e-6)  # one token a byte
    for name in ("commonsense", "grammar"):
        # It takes the shortest choice; of several, any.
        sizes = [[len(one.encode()) for one in row["choices"]] for row in items(name)]
        right = [row["label"] for row in items(name)]
        is_among = [of[at] == min(of) for of, at in zip(sizes, right, strict=True)]
        is_alone = [at and of.count(min(of)) == 1 for of, at in zip(sizes, is_among, strict=True)]
        accuracy = record["results"][f"jgpt2_{name}"]["acc,none"]
        assert sum(is_alone) / 30 <= accuracy <= sum(is_among) / 30


def test_files_of_jglue_are_read_where_they_lie(guessing, jglue):
    tasks = ("jglue_jcommonsenseqa", "jglue_jnli", "jglue_jsquad")
    record = evaluation.run(guessing, tasks, data=jglue, num_fewshot=1, limit=2, command="")
    assert record["n-samples"] == {name: {"original": 2, "effective": 2} for name in tasks}
    assert record["n-shot"] == dict.fromkeys(tasks, 1)
    results = record["results"]
    assert results["jglue_jcommonsenseqa"]["acc,none"] in (0.0, 0.5, 1.0)
    assert results["jglue_jnli"]["acc,none"] in (0.0, 0.5, 1.0)
    # The first of equal ids is NUL: nothing of the answer is in it.
    assert (
        results["jglue_jsquad"]["exact_match,none"],
        results["jglue_jsquad"]["char_f1,none"],
    ) == (
        0.0,
        0.0,
    )
    assert record["requests"]["generate_until"] == 2
    again = evaluation.run(guessing, tasks, data=jglue, num_fewshot=1, limit=2, command="")
    assert {**again, "code_version": ""} == {**record, "code_version": ""}


def test_a_task_file_of_the_user_reads_json_lines_of_the_disk(guessing, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pages.jsonl").write_text(json.dumps({"text": PAGE}) + "\n", "utf-8")
    (tmp_path / "mine.yaml").write_text(
        f"""
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {tmp_path / "pages.jsonl"}}}
test_split: train
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list: [{{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}}]
metadata: {{version: 3}}
""",
        "utf-8",
    )
    record = evaluation.run(guessing, ["mine"], include=[tmp_path], command="")
    assert record["versions"] == {"mine": 3}
    assert record["results"]["mine"]["bits_per_byte,none"] == pytest.approx(math.log2(257))


def test_what_would_fail_late_is_refused_early(guessing, jglue):
    with pytest.raises(InputError, match=r"no task 'jgpt2_pros'.*near it: jgpt2_prose"):
        evaluation.run(guessing, ["jgpt2_pros"], command="")
    with pytest.raises(InputError, match="JGLUE's jnli is not shipped"):
        evaluation.run(guessing, ["jglue_jnli"], command="")
    with pytest.raises(InputError, match="num_fewshot=30 is more than jgpt2_commonsense has"):
        evaluation.run(guessing, ["jgpt2_commonsense"], num_fewshot=30, command="")
    small = dataclasses.replace(guessing.shape, context=64)
    with pytest.raises(InputError, match="max_gen_toks=64, but the context of 64"):
        evaluation.run(
            dataclasses.replace(guessing, shape=small), ["jglue_jsquad"], data=jglue, command=""
        )
