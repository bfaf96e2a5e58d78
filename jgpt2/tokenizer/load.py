"""A tokenizer folder back to a tokenizer, once its model is proven to be its manifest's."""

import hashlib
from pathlib import Path

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import adopted, base, byte, foreign, sentencepiece, train


def load(folder: Path) -> base.Tokenizer:
    """The tokenizer of a folder that `train.train` or `foreign.adopt` wrote.

    Raises InputError when there is none, DamageError when a file of it is missing or altered.
    """
    described = manifest.read(folder, kind="tokenizer")
    manifest.require_unchanged(folder, described)
    kind = described.identity["kind"]
    if kind == "byte":
        return byte.Byte(name=described.name, fingerprint=described.fingerprint)
    files = {file: _read_proven(folder, file, described) for file in described.files}
    named = {"name": described.name, "fingerprint": described.fingerprint}
    if kind in foreign.READERS:
        settings = adopted.Settings.of(described.identity)
        tokenizer = foreign.READERS[kind](files, settings, **named)
    else:
        tokenizer = sentencepiece.from_model(files[train.MODEL_FILE], kind=kind, **named)
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


def _read_proven(folder: Path, file: str, described: manifest.Manifest) -> bytes:
    """A file's bytes; the very bytes that are loaded are the ones that were hashed."""
    path = folder / file
    expected = described.files[file]["sha256"]
    if not path.is_file():
        raise DamageError(
            f"{path} is missing, though its manifest lists it with SHA-256 {expected}; restore it "
            "or train again."
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DamageError(
            f"{path} has SHA-256 {found}, but its manifest says {expected}; restore the file or "
            "train again: with another model every stored id would mean another text."
        )
    return content
