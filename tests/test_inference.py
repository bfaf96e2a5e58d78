"""An opened model at work; the laws of scoring and decoding have tests of their own."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import pytest

from jgpt2 import config, inference, runs
from jgpt2.corpus import records
from jgpt2.errors import InputError
from jgpt2.generate import sampling
from jgpt2.model import gpt2, sharding
from jgpt2.tokenizer import byte

SHAPE = config.Model(layers=1, embed_dim=8, heads=2, context=32, compute_dtype="float32")
PROMPTS = ["山", "川を下る"]
SAMPLER = sampling.Sampler(temperature=1.0, top_k=100)


def document(name, source, text):
    size = len(text.encode())
    return records.Document(
        id=name, url="", source=source, license="", title="", text=text, num_bytes=size
    )


DOCUMENTS = [
    document("a", "aozora", "山路を登りながら、こう考えた。"),
    document("b", "web", "𠮷野家"),
    document("c", "web", "短い"),
]


def opened(mesh=None, *, is_uniform=False):
    tokenizer = byte.Byte(name="byte", fingerprint="deca")
    graphdef, params = gpt2.create(SHAPE, tokenizer.vocab_size, seed=0)
    device_mesh = sharding.make_mesh(mesh or config.Mesh())
    params = jax.device_put(params, sharding.shardings(params, device_mesh))
    if is_uniform:
        params = jax.tree.map(jnp.zeros_like, params)
    return runs.OpenModel(SHAPE, graphdef, params, tokenizer, 250, device_mesh, "c0ffee")


@pytest.fixture(scope="module")
def model():
    return opened()


def test_a_uniform_model_has_its_closed_form():
    answer = inference.evaluate(opened(is_uniform=True), DOCUMENTS, evaluated="data/ja:test")
    tokens = sum(one.num_bytes + 1 for one in DOCUMENTS)  # bytes, and an EOT each
    num_bytes = sum(one.num_bytes for one in DOCUMENTS)
    assert answer["bits_per_byte"] == pytest.approx(math.log2(257) * tokens / num_bytes, rel=1e-6)


def test_an_evaluation_says_of_what_and_how(model):
    reports = []
    answer = inference.evaluate(
        model,
        DOCUMENTS,
        evaluated=["山.txt"],
        with_documents=True,
        with_xz=True,
        report=lambda done, total: reports.append((done, total)),
    )
    assert json.loads(json.dumps(answer)) == answer
    subject = {"model": "c0ffee", "tokenizer": "deca", "step": 250, "stride": 16}
    assert answer.items() >= (subject | {"evaluated": ["山.txt"], "num_documents": 3}).items()
    assert sorted(answer["by_source"]) == ["aozora", "web"]
    assert [row["id"] for row in answer["documents"]] == ["a", "b", "c"]
    assert answer["xz"]["bits_per_byte"] > 0
    assert reports[-1][0] == reports[-1][1] > len(DOCUMENTS)  # the first takes several windows


def test_every_mesh_gives_the_same_bits(model):
    expected = inference.evaluate(model, DOCUMENTS, evaluated="")["bits"]
    other = opened(config.Mesh(data=2, fsdp=2, tensor=2))
    kernel = other.params["blocks"][0]["mlp"]["up"]["kernel"]
    assert kernel.addressable_shards[0].data.size == kernel.size // 4
    assert inference.evaluate(other, DOCUMENTS, evaluated="")["bits"] == pytest.approx(
        expected, rel=1e-6
    )


def test_documents_without_text_are_refused(model):
    with pytest.raises(InputError, match="no documents to evaluate"):
        inference.evaluate(model, [], evaluated="")
    with pytest.raises(InputError, match="stride=33 is not within the context of 32"):
        inference.evaluate(model, DOCUMENTS, evaluated="", stride=33)


def test_generated_text_is_labelled_and_decided_by_its_seed(model):
    shown = {0: "", 1: ""}

    def show(row, piece):
        shown[row] += piece

    texts = inference.generate(model, PROMPTS, sampler=SAMPLER, seed=3, max_tokens=8, show=show)
    assert [text.prompt for text in texts] == PROMPTS
    assert [text.index for text in texts] == [0, 1]
    for text in texts:
        record = text.record()
        assert list(record.items())[:2] == [("synthetic", True), ("model", "c0ffee")]
        assert (record["step"], record["tokenizer"], record["seed"]) == (250, "deca", 3)
        assert record["sampler"] == dataclasses.asdict(SAMPLER)
        assert text.num_tokens == 8 or text.finish == "eot"
        assert text.text == shown[text.index]
    again = inference.generate(model, PROMPTS, sampler=SAMPLER, seed=3, max_tokens=8)
    assert again == texts
    other = inference.generate(model, PROMPTS, sampler=SAMPLER, seed=4, max_tokens=8)
    assert [text.text for text in other] != [text.text for text in texts]


def test_a_prompt_that_fills_the_context_is_refused(model):
    with pytest.raises(InputError, match="context"):
        inference.generate(model, ["山" * 11], sampler=SAMPLER)
