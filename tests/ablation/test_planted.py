"""Corpora whose best vocabulary is known: whole studies must find it."""

import json
import random
from dataclasses import replace

import pytest

from jgpt2 import config
from jgpt2.ablation import material, run
from jgpt2.ablation import study as studies
from jgpt2.corpus import build
from jgpt2.processes import Group
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs
from jgpt2.train.operation import Operation

pytestmark = pytest.mark.slow

KANA = [chr(code) for code in range(ord("ぁ"), ord("ぁ") + 80)]
BASE = config.Experiment(
    name="planted",
    model=config.Model(layers=1, embed_dim=16, heads=2, context=32, compute_dtype="float32"),
    optimizer=config.Optimizer(peak_lr=1e-2),
    budget=config.Budget(num_bytes=400_000),
    evaluation=config.Evaluation(max_bytes=2000),
)


def words(count, length, seed):
    draw = random.Random(seed)
    return ["".join(draw.choices(KANA, k=length)) for _ in range(count)]


FEW, MANY = words(100, 4, seed=1), words(5000, 6, seed=2)


def texts(vocabulary, num_bytes, seed):
    """Documents of 40 words, each as likely as any other; lines of four."""
    draw, made, size = random.Random(seed), [], 0
    while size < num_bytes:
        lines = ["".join(draw.choices(vocabulary, k=4)) for _ in range(10)]
        made.append("\n".join(lines))
        size += len(made[-1].encode())
    return made


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    for name, vocabulary, num_bytes in (("few", FEW, 400_000), ("many", MANY, 2_500_000)):
        file = root / f"{name}.jsonl"
        lines = [json.dumps({"text": text}) + "\n" for text in texts(vocabulary, num_bytes, 3)]
        file.write_text("".join(lines), "utf-8")
        recipe = build.Recipe(near_duplicates=None, validation_share=0.02, test_share=0.02)
        build.build([file], root / "data" / name, name=name, recipe=recipe)
    both = [("few", text) for text in texts(FEW, 200_000, 4)]
    both += [("many", text) for text in texts(MANY, 2_000_000, 4)]
    # 260 fixed ids, 80 characters, and the words: 100 of them, or all.
    for name, given, size in (("tiny", both[:500], 430), ("large", both, 5400)):
        tokenizer_train.train(
            given, root / "tokenizers" / name, name=name, kind="unigram", vocab_size=size
        )
    return inputs.Places(datasets=root / "data", tokenizers=root / "tokenizers")


@pytest.mark.parametrize(("corpus", "best"), [("few", "tiny"), ("many", "large")])
def test_the_planted_vocabulary_wins(places, corpus, best, tmp_path):
    arms = {name: replace(BASE, dataset=corpus, tokenizer=name) for name in ("tiny", "large")}
    study = studies.Study(
        name=corpus,
        reference="large",
        seeds=(0, 1),
        batch_bytes=14_000,
        batch_multiple=8,
        max_bytes=10_000,
        prompts=(KANA[0],),
    )
    plan = studies.Plan(study, arms)
    found = material.gather(plan, places)
    work = run.Work(plan, found, tmp_path / "study", Group(), Operation())
    run.claim(work)
    assert run.train(work) == 0
    verdict = run.conclude(work, command=["jgpt2"])
    assert verdict["decision"]["best"] == verdict["decision"]["chosen"] == best
    assert verdict["decision"]["tied"] == []
