"""Two tiny datasets, the byte vocabulary, and experiments on them, for every test of training."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import pytest

from jgpt2 import config
from jgpt2.corpus import build
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs, setup

# Short documents: every batch has some of the EOTs that part them.
TEXTS = [f"第{i}話。" + "山路を登る。" * (i % 3) for i in range(90)]
POEMS = [f"poem {i}: " + "spring, " * (i % 4) for i in range(40)]
EXPERIMENT = config.Experiment(
    name="小さな実験",
    dataset="stories",
    model=config.Model(
        layers=1, embed_dim=16, heads=2, context=16, dropout=0.1, compute_dtype="float32"
    ),
    # A large epsilon: without it Adam blows rounding errors of gradients near 0 up to whole steps.
    optimizer=config.Optimizer(peak_lr=3e-3, epsilon=1e-4),
    schedule=config.Schedule(warmup=0.2),
    batch=config.Batch(sequences=8),
    budget=config.Budget(steps=14),
    evaluation=config.Evaluation(every_steps=3, max_bytes=300),
    checkpoint=config.Checkpoint(every_steps=6),
)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> inputs.Places:
    root = tmp_path_factory.mktemp("置 き場")
    for name, texts in (("stories", TEXTS), ("poems", POEMS)):
        file = root / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
        recipe = build.Recipe(near_duplicates=None, validation_share=0.1)
        build.build([file], root / "data" / name, name=name, recipe=recipe)
    tokenizer_train.train([], root / "tokenizers" / "byte", name="byte", kind="byte")
    return inputs.Places(datasets=root / "data", tokenizers=root / "tokenizers")


@pytest.fixture(scope="session")
def gathered(places: inputs.Places) -> setup.Inputs:
    return inputs.gather(EXPERIMENT, places)


@pytest.fixture(scope="session")
def change() -> Callable[..., config.Experiment]:
    """change(model={"heads": 4}, seed=1): the experiment of these tests with other values."""

    def changed(**fields: Any) -> config.Experiment:
        values = {
            name: dataclasses.replace(getattr(EXPERIMENT, name), **value)
            if isinstance(value, dict) and dataclasses.is_dataclass(getattr(EXPERIMENT, name))
            else value
            for name, value in fields.items()
        }
        return dataclasses.replace(EXPERIMENT, **values)

    return changed


@pytest.fixture(scope="session")
def trainer(gathered: setup.Inputs) -> setup.Trainer:
    """One for all tests that can share it: a step takes seconds to compile and none to run."""
    return setup.prepare(EXPERIMENT, gathered)


@pytest.fixture(autouse=True)
def _compile_quickly() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
