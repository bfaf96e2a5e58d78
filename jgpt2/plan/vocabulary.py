"""The vocabulary of a plan: how many ids, and how many bytes of text a token stands for."""

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from jgpt2 import manifest
from jgpt2.errors import InputError
from jgpt2.tokenizer import load, measure


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a plan needs of a tokenizer."""

    name: str
    vocab_size: int
    bytes_per_token: float | None
    """None where nothing says."""
    basis: str
    """Where the bytes per token are from."""


class _Document(NamedTuple):
    source: str
    text: str


def find(
    name: str, *, tokenizers: Path, vocab_size: int | None, bytes_per_token: float | None
) -> Vocabulary:
    """The vocabulary of an experiment by its tokenizer's name, or one of a given size.

    Its bytes per token are those given, else measured on the sample that ships with the project.
    """
    if vocab_size is not None and vocab_size < 1:
        raise InputError(f"a vocabulary of {vocab_size} ids is none; give 257 (bytes) or more.")
    if bytes_per_token is not None and not bytes_per_token > 0:
        raise InputError(
            f"--bytes-per-token {bytes_per_token} is not above 0; 3 to 6 is usual in Japanese."
        )
    if vocab_size is not None:
        given = "given by --bytes-per-token" if bytes_per_token else "not known"
        return Vocabulary(f"{vocab_size} ids", vocab_size, bytes_per_token, given)
    found = measured(load.find(tokenizers, name))
    if bytes_per_token is None:
        return found
    return dataclasses.replace(
        found, bytes_per_token=bytes_per_token, basis="given by --bytes-per-token"
    )


def measured(folder: Path) -> Vocabulary:
    """A tokenizer's vocabulary, measured on the sample."""
    tokenizer = load.load(folder)
    overall = measure.measure(tokenizer, _sample()).overall
    return Vocabulary(
        tokenizer.name,
        tokenizer.vocab_size,
        overall.bytes_per_token,
        f"measured on {overall.num_bytes:,} bytes of the sample that ships with jgpt2",
    )


def all_measured(tokenizers: Path) -> list[Vocabulary]:
    """Every tokenizer of a folder, the smallest vocabulary first."""
    folders = sorted(path.parent for path in tokenizers.glob(f"*/{manifest.FILE_NAME}"))
    return sorted(map(measured, folders), key=lambda vocabulary: vocabulary.vocab_size)


def _sample() -> list[_Document]:
    files = sorted(
        (file for file in (resources.files("jgpt2") / "sample").iterdir()
         if file.name.endswith(".jsonl")),
        key=lambda file: file.name,
    )  # fmt: skip
    rows = (json.loads(line) for file in files for line in file.read_text("utf-8").splitlines())
    return [_Document(row.get("source", ""), row["text"]) for row in rows]
