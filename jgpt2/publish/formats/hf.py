"""A run's checkpoint as a folder of Hugging Face's layout, and the proof that it holds the model.

`GPT2LMHeadModel` and `AutoTokenizer` load it without remote code. The folder is written beside its
place, read back from the disk, compared with the run's model, and only then moved there.
"""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from jgpt2 import config, manifest, runs, storage, untrusted
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2, layer_norm, layout
from jgpt2.publish.formats import hf_tokenizer, safetensors_file, verify

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PROOF = "proof.json"
RUN = "run"
"""Folder for the run's own config and manifest."""
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 40, "top_p": 0.95}
"""Presets that `generate` of transformers takes from the folder."""
_FILE_NAME = re.compile(r"\w[\w.-]*\.safetensors", re.ASCII)


def export(
    model: runs.OpenModel,
    run: Path,
    out: Path,
    *,
    dtype: verify.DType = "float32",
    max_shard_bytes: int = 5 * 10**9,
    python: Path | None = None,
) -> manifest.Manifest:
    """Writes the folder of `model`, which was opened from `run`, proves it, gives its manifest.

    `python` is that of an environment with `transformers`, which then loads the folder as well.
    Raises InputError where `out` exists, DamageError where what was written is not the model.
    """
    if max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes={max_shard_bytes} holds no tensor; choose more.")
    params = jax.device_get(model.params)
    with storage.drafted(out) as draft:
        tensors = {
            name: np.ascontiguousarray(tensor.astype(jnp.dtype(dtype)))
            for name, tensor in layout.to_gpt2_names(params, model.tokenizer.vocab_size).items()
        }
        _write_weights(draft, tensors, max_shard_bytes)
        _write_descriptions(draft, model, dtype)
        manifest.write_json(draft / PROOF, _prove(draft, model, params, tensors, dtype, python))
        return seal(draft, model, run, name=out.name, form="GPT2LMHeadModel", dtype=dtype)


def seal(
    folder: Path, model: runs.OpenModel, run: Path, *, name: str, form: str, dtype: verify.DType
) -> manifest.Manifest:
    """Adds what import finds again, the vocabulary's own folder and what the run was; the manifest.

    The same for every format of an export, over all files that are there.
    """
    manifest.copy(run / runs.TOKENIZER, folder / runs.TOKENIZER, kind="tokenizer")
    origin = manifest.read(run)
    manifest.copy(run, folder / RUN)
    return manifest.write(
        folder,
        kind="export",
        name=name,
        identity={"format": form, "dtype": dtype, "step": model.step},
        parents={origin.kind: model.fingerprint, "tokenizer": model.tokenizer.fingerprint},
        files=storage.files(folder),
    )


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of a folder of this layout, mapped, in the type that it is stored in.

    One file comes before several, as in transformers. Raises DamageError for a file that is not
    what its header says, or does not hold the very tensors that the index says.
    """
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return safetensors_file.read(folder / WEIGHTS)
    tensors: dict[str, np.ndarray] = {}
    for name, wanted in _indexed(folder / INDEX).items():
        held = safetensors_file.read(folder / name)
        if differing := sorted(wanted ^ set(held)):
            raise DamageError(
                f"{folder / name} and {folder / INDEX} do not agree on where {differing[0]} is "
                f"({len(differing)} such tensors); fetch both again."
            )
        tensors |= held
    return tensors


def _indexed(index: Path) -> dict[str, set[str]]:
    """File name -> names of the tensors that the index assigns to it; every file lies beside it."""
    found = untrusted.json_object(index.read_bytes(), str(index)).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise DamageError(f"{index} has no weight_map of tensors to files; fetch it again.")
    files: dict[str, set[str]] = {}
    for tensor, file in found.items():
        if not isinstance(file, str) or not _FILE_NAME.fullmatch(file):
            raise DamageError(
                f"{index} has {tensor} in {file!r:.80}, which is no name of a safetensors file "
                "beside it; fetch it again from who made it."
            )
        files.setdefault(file, set()).add(tensor)
    return files


def _write_descriptions(folder: Path, model: runs.OpenModel, dtype: verify.DType) -> None:
    """All that is no weight: the configs, and the tokenizer."""
    tokenizer, shape = model.tokenizer, model.shape
    eot = tokenizer.eot
    ends = {"bos_token_id": tokenizer.begin, "eos_token_id": eot, "pad_token_id": eot}
    described = {
        "config.json": _config(shape, tokenizer.vocab_size, dtype) | ends,
        "generation_config.json": ends | SAMPLING,
        **hf_tokenizer.files(tokenizer, shape.context),
    }
    for name, content in described.items():
        manifest.write_json(folder / name, content)


def _write_weights(folder: Path, tensors: dict[str, np.ndarray], max_shard_bytes: int) -> None:
    """One file, or several and their index, in the order of the names."""
    shards: list[dict[str, np.ndarray]] = [{}]
    for name, tensor in tensors.items():
        filled = sum(other.nbytes for other in shards[-1].values())
        if shards[-1] and filled + tensor.nbytes > max_shard_bytes:
            shards.append({})
        shards[-1][name] = tensor
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [
            f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            for number in range(1, len(shards) + 1)
        ]
        index = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
            "weight_map": {
                tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard
            },
        }
        manifest.write_json(folder / INDEX, index)
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, metadata={"format": "pt"})


def _config(model: config.Model, vocab_size: int, dtype: verify.DType) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocab_size,
        "n_positions": model.context,
        "n_embd": model.embed_dim,
        "n_layer": model.layers,
        "n_head": model.heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": layer_norm.EPSILON,
        "resid_pdrop": model.dropout,
        "embd_pdrop": model.dropout,
        "attn_pdrop": model.dropout,
        "tie_word_embeddings": True,
        "dtype": dtype,
    }


def _prove(
    folder: Path,
    model: runs.OpenModel,
    params: gpt2.Params,
    wanted: dict[str, np.ndarray],
    dtype: verify.DType,
    python: Path | None,
) -> dict[str, Any]:
    read = read_tensors(folder)
    verify.weights(read, wanted)
    return {
        "read_back": verify.rounding(read, params, shape=model.shape, dtype=dtype),
        "transformers": python
        and verify.transformers(
            folder, read, shape=model.shape, tokenizer=model.tokenizer, python=python
        ),
    }
