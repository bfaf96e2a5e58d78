"""A run's checkpoint as a folder of Hugging Face's layout, and the proof that it holds the model.

`GPT2LMHeadModel` and `AutoTokenizer` load it without remote code. The folder is written beside its
place, read back from the disk, compared with the run's model, and only then moved there.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from jgpt2 import config, manifest, runs, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2, layer_norm, layout
from jgpt2.publish import hf_tokenizer, verify

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PROOF = "proof.json"
RUN = "run"
"""Folder for the run's own config and manifest."""
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 40, "top_p": 0.95}
"""Presets that `generate` of transformers takes from the folder."""
_DTYPES = {
    "float32": ("F32", np.dtype(np.float32)),
    "float16": ("F16", np.dtype(np.float16)),
    "bfloat16": ("BF16", np.dtype(jnp.bfloat16)),
}
"""Name -> what safetensors calls it, and numpy's type."""


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
    if out.exists():
        raise InputError(f"{out} exists; give a folder that does not, for nothing is overwritten.")
    if max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes={max_shard_bytes} holds no tensor; choose more.")
    params = jax.device_get(model.params)
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        tensors = {
            name: np.ascontiguousarray(tensor.astype(_DTYPES[dtype][1]))
            for name, tensor in layout.to_gpt2_names(params, model.tokenizer.vocab_size).items()
        }
        _write_weights(draft, tensors, max_shard_bytes)
        _write_descriptions(draft, model, dtype)
        _copy_provenance(run, draft)
        manifest.write_json(draft / PROOF, _prove(draft, model, params, tensors, dtype, python))
        described = manifest.write(
            draft,
            kind="export",
            name=out.name,
            identity={"format": "GPT2LMHeadModel", "dtype": dtype, "step": model.step},
            parents={"run": model.fingerprint, "tokenizer": model.tokenizer.fingerprint},
            files=storage.files(draft),
        )
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return described


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of an exported folder, in the type that it is stored in.

    Raises DamageError for a file that is not what its header says.
    """
    index = folder / INDEX
    names = [WEIGHTS]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    tensors: dict[str, np.ndarray] = {}
    for name in names:
        tensors |= _read_file(folder / name)
    return tensors


def _write_descriptions(folder: Path, model: runs.OpenModel, dtype: verify.DType) -> None:
    """All that is no weight: the configs, and the tokenizer."""
    tokenizer, shape = model.tokenizer, model.shape
    eot = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    described = {
        "config.json": _config(shape, tokenizer.vocab_size, dtype) | eot,
        "generation_config.json": eot | SAMPLING,
        **hf_tokenizer.files(tokenizer, shape.context),
    }
    for name, content in described.items():
        manifest.write_json(folder / name, content)


def _copy_provenance(run: Path, folder: Path) -> None:
    """The vocabulary's own folder and what the run was: import finds the very same ones there."""
    kept = [runs.CONFIG, manifest.FILE_NAME]
    tokenizer = run / runs.TOKENIZER
    names = [manifest.FILE_NAME, *manifest.read(tokenizer, kind="tokenizer").files]
    for source, target, files in (
        (run, folder / RUN, kept),
        (tokenizer, folder / runs.TOKENIZER, names),
    ):
        for name in files:
            storage.write_bytes(target / name, (source / name).read_bytes())


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
    return {
        "read_back": verify.weights(read, wanted, params, shape=model.shape, dtype=dtype),
        "transformers": python
        and verify.transformers(
            folder, read, shape=model.shape, tokenizer=model.tokenizer, python=python
        ),
    }


def _read_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of one file; bfloat16, which safetensors' numpy side cannot read, as well."""
    data = path.read_bytes()
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        types = dict(_DTYPES.values())
        return {
            name: np.frombuffer(
                data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
                types[entry["dtype"]],
            ).reshape(entry["shape"])
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DamageError(f"{path} is no whole safetensors file ({error}); export again.") from None
