"""The probe of memory: counts that are known beforehand, and models that do or do not remember."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jgpt2 import config, manifest, memorisation, runs
from jgpt2.corpus import dataset, records
from jgpt2.errors import InputError
from jgpt2.model import gpt2, loss, sharding
from jgpt2.tokenizer import byte

SHAPE = config.Model(layers=1, embed_dim=32, heads=2, context=48, compute_dtype="float32")
LEARNT = [
    "山路を登りながら、こう考えた。",
    "吾輩は猫である。名前はまだない。",
    "国境の長いトンネルを抜けると雪国。",
    "親譲りの無鉄砲で小供の時から損。",
]
UNKNOWN = ["ごん狐は穴の中から外をみました。", "春の海ひねもすのたりのたりかな。"]
SHORT = ["短い。"]
TOKENS = memorisation.Lengths(unit="tokens", prompt=12, span=24)
CHARS = memorisation.Lengths(unit="chars", prompt=4, span=8)


def opened(params=None):
    tokenizer = byte.Byte(name="byte", fingerprint="deca")
    graphdef, fresh = gpt2.create(SHAPE, tokenizer.vocab_size, seed=0)
    mesh = sharding.make_mesh(config.Mesh(), jax.devices()[:1])
    placed = jax.device_put(params or fresh, sharding.shardings(fresh, mesh))
    return runs.OpenModel(SHAPE, graphdef, placed, tokenizer, 250, mesh, "c0ffee")


@pytest.fixture(scope="module")
def overtrained():
    """A model that was shown the first 45 bytes of four texts, and nothing else, 150 times."""
    model = opened()
    rows = [[256, *model.tokenizer.encode(text)[:45]] for text in LEARNT]
    rows_BT1 = jnp.asarray(rows, jnp.int32)

    def mean_nll(params):
        return jnp.mean(loss.next_token_nll(nnx.merge(model.graphdef, params), rows_BT1))

    optimizer = optax.adam(0.01)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(mean_nll)(params), state)
        return optax.apply_updates(params, updates), state

    params, state = model.params, optimizer.init(model.params)
    for _ in range(150):
        params, state = step(params, state)
    return opened(params)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four texts that were learnt and two that were not in train, others in test."""
    folder = tmp_path_factory.mktemp("data") / "ja"
    folder.mkdir()
    scores = dict.fromkeys(dataset.scores.NAMES, 0.0)
    splits = {
        name: [records.document(text, source=name, scores=scores) for text in texts]
        for name, texts in (("train", LEARNT + UNKNOWN + SHORT), ("test", UNKNOWN[::-1]))
    }
    files = dataset.write(folder, splits)
    notes = {"splits": {name: len(texts) for name, texts in splits.items()}}
    manifest.write(
        folder, kind="dataset", name="ja", identity={}, parents={}, files=files, notes=notes
    )
    return folder


def test_planted_texts_are_counted_exactly(overtrained, data):
    told = memorisation.probe(overtrained, data, [TOKENS, CHARS])
    for unit in ("tokens", "chars"):
        train, test = told[unit]["train"], told[unit]["test"]
        assert (train["n"], train["extracted"], train["too_short"]) == (6, 4, 1)
        assert (test["n"], test["extracted"], test["too_short"]) == (2, 0, 0)
        assert train["share"] == 4 / 6
    assert (told["tokens"]["prompt"], told["tokens"]["span"]) == (12, 24)
    assert (told["chars"]["prompt"], told["chars"]["span"]) == (4, 8)


def test_a_model_of_chance_remembers_nothing(data):
    told = memorisation.probe(opened(), data, [TOKENS, CHARS])
    counts = [told[unit][split]["extracted"] for unit in told for split in memorisation.SPLITS]
    assert counts == [0, 0, 0, 0]


def test_one_wrong_token_or_character_is_no_copy(overtrained):
    tokenizer = overtrained.tokenizer
    for lengths in (TOKENS, CHARS):
        case = memorisation._case(LEARNT[0], tokenizer, lengths)
        other = case._replace(span=np.append(case.span[:-1], 0), text=case.text[:-1] + "、")
        assert list(memorisation._extracted(overtrained, [case, other], lengths)) == [True, False]


def test_the_seed_draws_the_documents(overtrained, data):
    split = dataset.open_split(data, "train")
    draws = [memorisation._draw(split, overtrained, TOKENS, 3, seed)[0] for seed in (0, 0, 1)]
    drawn = [[bytes(case.prompt.astype(np.uint8)) for case in cases] for cases in draws]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(prompts) for prompts in drawn] == [3, 3, 3]


def test_the_bound_is_that_of_clopper_and_pearson():
    assert memorisation.upper_bound(0, 3000) == pytest.approx(1 - 0.05 ** (1 / 3000), rel=1e-9)
    for copied, n in ((1, 10), (7, 1000)):
        p = memorisation.upper_bound(copied, n)
        chances = (math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(copied + 1))
        assert sum(chances) == pytest.approx(0.05, rel=1e-6)
    assert memorisation.upper_bound(4, 4) == 1


def test_what_cannot_be_probed(overtrained, data):
    with pytest.raises(InputError, match="no document of train has 200 chars"):
        long = memorisation.Lengths(unit="chars", prompt=100, span=100)
        memorisation.probe(overtrained, data, [long])
    with pytest.raises(InputError, match=r"take 51 tokens, .* holds 48; .*prompt-chars"):
        wide = memorisation.Lengths(unit="chars", prompt=4, span=13)
        memorisation.probe(overtrained, data, [wide])
    with pytest.raises(InputError, match="span of 0 tokens cannot"):
        memorisation.Lengths(unit="tokens", prompt=1, span=0)
    with pytest.raises(InputError, match="prompts=0 probes nothing"):
        memorisation.probe(overtrained, data, [TOKENS], prompts=0)


def test_the_verb_writes_the_record_of_the_card(walk, command, data):
    run, ja = walk.root / "runs" / "byte", walk.root / "data" / "ja"
    tokens = ["--prompt-tokens", 8, "--span-tokens", 9]
    short = [*tokens, "--prompt-chars", 3, "--span-chars", 4, "--prompts", 5]
    record = command("memorisation", run, "--dataset", ja, *short, "--json").json()
    try:
        written = json.loads((run / memorisation.FILE_NAME).read_text("utf-8"))
        assert written == record
    finally:
        (run / memorisation.FILE_NAME).unlink()
    assert record["model"] == manifest.read(run).fingerprint
    assert record["dataset"] == manifest.read(ja).fingerprint
    assert record["command"].startswith("jgpt2 memorisation runs/byte --dataset data/ja --step 6 ")
    train = record["tokens"]["train"]
    assert (train["n"], train["extracted"]) == (5, 0)
    assert train["upper_95"] == pytest.approx(1 - 0.05 ** (1 / 5))
    refused = command("memorisation", run, "--dataset", data)
    assert refused.exit_code == 2
    assert "was not trained on" in refused.err
