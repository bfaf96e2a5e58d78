"""`jgpt2 export`: a run's checkpoint as a folder that other programs load."""

import json as codec
from pathlib import Path
from typing import Literal

import tyro

from jgpt2.verbs import answer


def export(
    run: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    format: Literal["hf", "gguf"] = "hf",
    step: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    max_shard_bytes: int = 5_000_000_000,
    python: Path | None = None,
    json: bool = False,
) -> None:
    """Write a folder that `transformers` loads as GPT2LMHeadModel, or llama.cpp as GGUF.

    What was written is read back and compared with the run before the folder gets its name; and
    loaded by transformers, where it is installed here or in the environment of --python, or by
    llama.cpp, where llama-cpp-python is installed here.

    Args:
        run: Run folder.
        out: Folder to make; it must not exist.
        format: hf for a folder of Hugging Face's layout, gguf for one with `model.gguf`.
        step: Checkpoint; the best by validation bits per byte if not given.
        dtype: Type of the stored weights.
        max_shard_bytes: Weights above this are cut into several files; a GGUF file is never cut.
        python: Python of an environment with transformers and torch.
        json: Print one JSON document: the manifest.
    """
    from jgpt2 import compilation, runs
    from jgpt2.publish.formats import gguf_file, hf, verify

    reader = verify.python_with_transformers(python)
    compilation.enable_cache()
    model = runs.open_model(run, step=step)
    if format == "gguf":
        described = gguf_file.export(model, run, out, dtype=dtype)
    else:
        described = hf.export(
            model, run, out, dtype=dtype, max_shard_bytes=max_shard_bytes, python=reader
        )
    proof = codec.loads((out / hf.PROOF).read_text("utf-8"))
    loaded_by = [name for name in ("transformers", "llama.cpp") if proof.get(name)]
    size = sum(entry["num_bytes"] for entry in described.files.values())
    text = (
        f"{out}: {run} at step {model.step}, {dtype}, {len(described.files)} files, "
        f"{size:,} bytes; read back{''.join(f' and loaded by {name}' for name in loaded_by)}"
    )
    answer.give(vars(described), text, json)
