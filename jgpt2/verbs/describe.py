"""`jgpt2 count` and `jgpt2 inspect`: what a size costs, and what an artefact is."""

import dataclasses
import json as codec
from pathlib import Path

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import answer


def count(
    size: tyro.conf.Positional[str],
    vocab_size: int | None = None,
    tokenizer: Path | None = None,
    json: bool = False,
) -> None:
    """Parameters and training FLOPs per token of a size, for a vocabulary.

    Args:
        size: A size by any of its names (small, 117M, 124M, medium, 345M, ...) or a config file.
        vocab_size: Size of the vocabulary, end of text included.
        tokenizer: Folder of a tokenizer, in place of a size.
        json: Print one JSON document.
    """
    from jgpt2 import configio
    from jgpt2.model import count as counts
    from jgpt2.model import sizes
    from jgpt2.tokenizer import load

    if (vocab_size is None) == (tokenizer is None):
        raise InputError("the count depends on the vocabulary; give --vocab-size or --tokenizer.")
    if tokenizer is not None:
        vocab_size = load.load(tokenizer).vocab_size
    assert vocab_size is not None
    if vocab_size < 1:
        raise InputError(f"a vocabulary of {vocab_size} ids is none; give 257 (bytes) or more.")
    is_file = Path(size).suffix in (".py", ".json")
    model = configio.load(Path(size)).model if is_file else sizes.by_name(size)[1]
    figures = {
        "parameters": counts.parameters(model, vocab_size),
        "vocab_size": vocab_size,
        "flops_per_token": counts.flops_per_token(model, vocab_size),
    }
    answer.give(figures, "\n".join(f"{key}: {value:,.0f}" for key, value in figures.items()), json)


def inspect(path: tyro.conf.Positional[Path], json: bool = False) -> None:
    """What an artefact folder is, and what it was made from; its files are proven intact.

    Of a run also its checkpoints, where its time went (goodput), and what happened to it; of an
    imported model its shape, and its weights are proven too.

    Args:
        path: Folder of a dataset, tokenizer, token store, run, export or import.
        json: Print one JSON document.
    """
    from jgpt2 import manifest

    described = vars(manifest.verify(path))
    life: list[str] = []
    lines = [
        f"{key}: {value if isinstance(value, str) else codec.dumps(value, ensure_ascii=False)}"
        for key, value in described.items()
        if key != "files"
    ]
    if described["kind"] == "run":
        from jgpt2.train import account

        told = account.of(path)
        described |= told
        life = account.lines(told)
    if described["kind"] == "import":
        from jgpt2 import integrity, runs

        for step in integrity.steps(path / runs.CHECKPOINTS):
            integrity.verify(path / runs.CHECKPOINTS, step)
        shape = dataclasses.asdict(runs.read_shape(path))
        described |= {"shape": shape}
        life = [f"shape: {codec.dumps(shape)}"]
    files = f"files: {len(described['files'])}, all as their SHA-256 says"
    answer.give(described, "\n".join([*lines, files, *life]), json)
