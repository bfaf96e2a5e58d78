"""Tiny models around vocabularies that are written down, so that their bits are known."""

import dataclasses
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import config, runs
from jgpt2.corpus import records
from jgpt2.model import gpt2, sharding
from jgpt2.tokenizer import byte, sentencepiece, train

SHAPE = config.Model(layers=1, embed_dim=16, heads=2, context=32, compute_dtype="float32")
LINES = (
    "雨の朝、猫は窓の外を見ていた。",
    "駅まで歩くと、雨は雪になった。",
    "「雪だ」と猫は言わなかった。",
    "窓の外の駅では、朝の電車が待っている。",
    "猫を待つ朝。雪を待つ窓。",
)
BYTE = byte.Byte(name="byte", fingerprint="0" * 64)


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

    begin = eot

    @property
    def is_lossless(self):
        return True

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
    return runs.OpenModel(shape, graphdef, params, tokenizer, 7, mesh, "c0ffee")


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


OVERLAPPING = {
    "猫": -3.0, "の": -3.2, "雨": -3.4, "を": -2.8, "見": -3.1, "た": -3.0, "。": -2.0,
    "猫の": -4.5, "の雨": -5.0, "猫の雨": -6.5, "雨を": -5.2, "を見": -5.1, "見た": -4.6,
}  # fmt: skip
"""Pieces that cut a text in many ways of like weight, and their log-probabilities."""


def with_pieces(model, pieces):
    """The content of a SentencePiece model file with further pieces.

    A protocol buffer that is repeated is a list, so they can be written behind it: of each, field 1
    of the model, which holds the piece (field 1) and its score (field 2, a float).
    """
    for piece, score in pieces.items():
        data = piece.encode()
        entry = bytes([0x0A, len(data)]) + data + b"\x15" + struct.pack("<f", score)
        model += bytes([0x0A, len(entry)]) + entry
    return model


@pytest.fixture(scope="session")
def unigram(tmp_path_factory):
    """A SentencePiece vocabulary of OVERLAPPING, bytes, and what it learnt of other characters."""
    folder = tmp_path_factory.mktemp("tokenizers") / "unigram"
    lines = [("書", f"{a} {b}") for a in "アイウエオ" for b in "カキクケコ"]
    train.train(lines, folder, name="u", kind="unigram", vocab_size=272)
    model = with_pieces((folder / train.MODEL_FILE).read_bytes(), OVERLAPPING)
    return sentencepiece.from_model(model, name="u", kind="unigram", fingerprint="1eaf")
