"""Tiny models around vocabularies that are written down, so that their bits are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import config, runs
from jgpt2.corpus import records
from jgpt2.model import gpt2, sharding
from jgpt2.tokenizer import byte, load, train

SHAPE = config.Model(layers=1, embed_dim=16, heads=2, context=32, compute_dtype="float32")
LINES = (
    "雨の朝、猫は窓の外を見ていた。",
    "駅まで歩くと、雨は雪になった。",
    "「雪だ」と猫は言わなかった。",
    "窓の外の駅では、朝の電車が待っている。",
    "猫を待つ朝。雪を待つ窓。",
)


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A vocabulary of the given byte strings, longest match first, and EOT (the empty one)."""

    pieces: tuple[bytes, ...]
    name: str = "pieces"
    kind: str = "bpe"
    fingerprint: str = "d1ce"

    @property
    def vocab_size(self):
        return len(self.pieces)

    @property
    def eot(self):
        return self.pieces.index(b"")

    @property
    def token_bytes(self):
        return np.array([len(piece) for piece in self.pieces], np.int32)

    @property
    def is_byte(self):
        return self.token_bytes == 1

    def encode(self, text):
        data, ids = text.encode(), []
        known = {piece: i for i, piece in enumerate(self.pieces) if piece}
        while data:
            longest = next(n for n in range(len(data), 0, -1) if data[:n] in known)
            ids.append(known[data[:longest]])
            data = data[longest:]
        return np.array(ids, np.uint16)

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def decode_bytes(self, ids):
        return b"".join(self.pieces[i] for i in ids)

    def decode(self, ids):
        return self.decode_bytes(ids).decode(errors="replace")


def opened(tokenizer, params=None, *, shape=SHAPE, seed=0):
    """A model of the given or of wide random parameters, as if it had been trained."""
    graphdef, shapes = gpt2.abstract(shape, tokenizer.vocab_size)
    mesh = sharding.make_mesh(config.Mesh())
    if params is None:
        random = np.random.default_rng(seed)
        params = jax.tree.map(
            lambda leaf: jnp.asarray(random.normal(0, 0.2, leaf.shape), leaf.dtype), shapes
        )
    params = jax.device_put(params, sharding.shardings(params, mesh))
    experiment = config.Experiment(name="試し", model=shape, budget=config.Budget(steps=1))
    return runs.OpenModel(experiment, graphdef, params, tokenizer, 7, mesh, "c0ffee")


def context_free(tokenizer, probabilities, *, shape=SHAPE):
    """A model that gives every token the probability that it is given, whatever came before."""
    _, shapes = gpt2.abstract(shape, tokenizer.vocab_size)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    params["norm"]["bias"][0] = 1
    params["tokens"][: tokenizer.vocab_size, 0] = np.log(probabilities)
    return opened(tokenizer, params, shape=shape)


def documents(texts, sources=("aozora", "web")):
    return [
        records.document(text, source=sources[i % len(sources)], id=str(i))
        for i, text in enumerate(texts)
    ]


BYTE = byte.Byte(name="byte", fingerprint="0" * 64)


@pytest.fixture(scope="session")
def unigram(tmp_path_factory):
    """A trained SentencePiece vocabulary whose pieces overlap: 猫, の, 猫の and so on."""
    folder = tmp_path_factory.mktemp("tokenizers") / "unigram"
    nouns, verbs = (
        ["猫", "朝", "雨", "窓", "駅", "雪", "電車", "時計"],
        ["を見ていた。", "を待っている。", "と言った。"],
    )
    lines = [f"{a}の{b}{verb}" for a in nouns for b in nouns for verb in verbs]
    train.train([("書", line) for line in lines], folder, name="u", kind="unigram", vocab_size=330)
    return load.load(folder)
