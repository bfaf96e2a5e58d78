"""A tokenizer folder back to a tokenizer, once its model is proven to be its manifest's."""

import hashlib
from pathlib import Path

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import base, byte, sentencepiece, train


def load(folder: Path) -> base.Tokenizer:
    """The tokenizer of a folder that `train.train` wrote.

    Raises InputError when there is none, DamageError when its model is missing or altered.
    """
    described = manifest.read(folder, kind="tokenizer")
    kind = described.identity["kind"]
    if kind == "byte":
        return byte.Byte(name=described.name, fingerprint=described.fingerprint)
    tokenizer = sentencepiece.from_model(
        _read_proven(folder, described),
        name=described.name,
        kind=kind,
        fingerprint=described.fingerprint,
    )
    assert tokenizer.vocab_size == described.identity["vocab_size"]
    assert tokenizer.eot == described.identity["eot"]
    return tokenizer


def find(root: Path, name: str) -> Path:
    """The folder of the tokenizer called `name` under `root`; InputError lists what is there."""
    folder = root / name
    if manifest.exists(folder):
        return folder
    choices = sorted(path.parent.name for path in root.glob(f"*/{manifest.FILE_NAME}"))
    raise InputError(
        f"no tokenizer {name!r} in {root}; choose one of {', '.join(choices)}."
        if choices
        else f"no tokenizer {name!r} in {root}, which holds none; make one with "
        "`jgpt2 tokenizer train`."
    )


def _read_proven(folder: Path, described: manifest.Manifest) -> bytes:
    """The model's bytes; the very bytes that are loaded are the ones that were hashed."""
    path = folder / train.MODEL_FILE
    expected = described.files[train.MODEL_FILE]["sha256"]
    if not path.is_file():
        raise DamageError(
            f"{path} is missing, though its manifest lists it with SHA-256 {expected}; restore it "
            "or train again."
        )
    model = path.read_bytes()
    found = hashlib.sha256(model).hexdigest()
    if found != expected:
        raise DamageError(
            f"{path} has SHA-256 {found}, but its manifest says {expected}; restore the file or "
            "train again: with another model every stored id would mean another text."
        )
    return model
