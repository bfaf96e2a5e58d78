"""`jgpt2 export`: a run's checkpoint as a folder that other programs load."""

from pathlib import Path
from typing import Literal

import tyro

from jgpt2.verbs import answer


def export(
    run: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    step: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    max_shard_bytes: int = 5_000_000_000,
    python: Path | None = None,
    json: bool = False,
) -> None:
    """Write a folder that `transformers` loads as GPT2LMHeadModel, with its tokenizer.

    What was written is read back and compared with the run before the folder gets its name; by
    transformers, too, where it is installed here or in the environment of --python.

    Args:
        run: Run folder.
        out: Folder to make; it must not exist.
        step: Checkpoint; the best by validation bits per byte if not given.
        dtype: Type of the stored weights.
        max_shard_bytes: Weights above this are cut into several files.
        python: Python of an environment with transformers and torch.
        json: Print one JSON document: the manifest.
    """
    from jgpt2 import compilation, runs
    from jgpt2.publish import hf, verify

    python = verify.python_with_transformers(python)
    compilation.enable_cache()
    model = runs.open_model(run, step=step)
    described = hf.export(
        model, run, out, dtype=dtype, max_shard_bytes=max_shard_bytes, python=python
    )
    size = sum(entry["num_bytes"] for entry in described.files.values())
    readers = "reading it back and by transformers" if python else "reading it back"
    text = (
        f"{out}: {run} at step {model.step}, {dtype}, {len(described.files)} files, "
        f"{size:,} bytes; verified by {readers}"
    )
    answer.give(vars(described), text, json)
