"""`jgpt2 tokenizer train` and `jgpt2 tokenizer measure`: vocabularies made and compared."""

from pathlib import Path
from typing import Literal

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import answer


def train(
    out: Path,
    dataset: Path | None = None,
    kind: Literal["byte", "unigram", "bpe"] = "unigram",
    vocab_size: int | None = None,
    sample_bytes: int = 20_000_000,
    seed: int = 0,
    coverage: float = 0.9995,
    json: bool = False,
) -> None:
    """Learn a vocabulary from the train split of a dataset.

    Args:
        out: Folder of the tokenizer, for example tokenizers/sp-8k; its name is the tokenizer's.
        dataset: Folder of the dataset; a byte vocabulary needs none.
        kind: byte (256 bytes and end of text), or SentencePiece's unigram or bpe.
        vocab_size: Total number of ids, bytes and end of text included.
        sample_bytes: Bytes of text to learn from, a seeded sample.
        seed: Decides the sample.
        coverage: Share of the characters of the text that get an id of their own; the rest go by
            bytes. Below about 5,000 ids Japanese needs less than the usual share.
        json: Print the manifest as JSON.
    """
    from jgpt2 import manifest, progress
    from jgpt2.corpus import dataset as datasets
    from jgpt2.tokenizer import train as trainer

    chosen, parents = [], {}
    if kind != "byte":
        if dataset is None:
            raise InputError(f"a {kind} vocabulary is learnt from text; give --dataset FOLDER.")
        parents = {"dataset": manifest.read(dataset, kind="dataset").fingerprint}
        chosen = datasets.open_split(dataset, "train")
    with progress.of_work("sampling", "documents") as report:
        made = trainer.train(
            ((document.source, document.text) for document in progress.through(chosen, report)),
            out,
            name=out.name,
            kind=kind,
            vocab_size=vocab_size,
            sample_bytes=sample_bytes,
            seed=seed,
            coverage=coverage,
            parents=parents,
        )
    answer.give(
        vars(made), f"tokenizer {made.name} at {out}: {made.identity['vocab_size']} ids", json
    )


def measure(
    tokenizer: tyro.conf.Positional[Path],
    dataset: Path | None = None,
    split: str = "validation",
    text: tuple[Path, ...] = (),
    json: bool = False,
) -> None:
    """Bytes and characters per token by source and script, fallback, unused ids, restoration.

    Args:
        tokenizer: Folder of the tokenizer.
        dataset: Folder of the dataset to measure on.
        split: Which split of it.
        text: Files or folders to measure on, in place of a dataset.
        json: Print one JSON document.
    """
    from jgpt2 import table
    from jgpt2.tokenizer import load
    from jgpt2.tokenizer import measure as measuring

    loaded = load.load(tokenizer)
    measured = measuring.to_json(measuring.measure(loaded, answer.documents(dataset, split, text)))
    rows = [
        (row["group"], row["name"], row["num_bytes"], row["bytes_per_token"],
         row["characters_per_token"])
        for row in measured["rows"]
    ]  # fmt: skip
    columns = ("group", "name", "bytes", "bytes/token", "characters/token")
    shares = (
        "restored {restored_share:.2%}  byte pieces {byte_share:.2%}  unused ids {num_unused_ids}"
    )
    answer.give(measured, table.text(columns, rows) + "\n" + shares.format(**measured), json)
