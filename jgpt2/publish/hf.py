"""A run's checkpoint as a folder of Hugging Face's layout, and the proof that it holds the model.

`GPT2LMHeadModel` and `AutoTokenizer` load it without remote code. The folder is written beside its
place, read back from the disk, compared with the run's model, and only then moved there.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from jgpt2 import config, manifest, runs, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2, layer_norm, layout
from jgpt2.publish import hf_tokenizer

DType = Literal["float32", "bfloat16", "float16"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PROOF = "proof.json"
RUN = "run"
"""Folder for the run's own config and manifest."""
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 40, "top_p": 0.95}
"""Presets that `generate` of transformers takes from the folder."""
TOLERANCE: dict[DType, float] = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
"""Largest difference of a logit, against the run's own float32 weights, by what is stored."""
DTYPES = {
    "float32": ("F32", np.dtype(np.float32)),
    "float16": ("F16", np.dtype(np.float16)),
    "bfloat16": ("BF16", np.dtype(jnp.bfloat16)),
}
"""Name -> what safetensors calls it, and numpy's type."""
_PROBE_ROWS = 2


def export(
    model: runs.OpenModel,
    run: Path,
    out: Path,
    *,
    dtype: DType = "float32",
    max_shard_bytes: int = 5 * 10**9,
) -> manifest.Manifest:
    """Writes the folder of `model`, which was opened from `run`, proves it, gives its manifest.

    Raises InputError where `out` exists, DamageError where what was written is not the model.
    """
    if max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes={max_shard_bytes} holds no tensor; choose more.")
    with drafted(out) as draft:
        params = jax.device_get(model.params)
        tensors = {
            name: np.ascontiguousarray(tensor.astype(DTYPES[dtype][1]))
            for name, tensor in layout.to_gpt2_names(params, model.tokenizer.vocab_size).items()
        }
        _write_weights(draft, tensors, max_shard_bytes)
        _write_descriptions(draft, model, dtype)
        copy_provenance(run, draft)
        manifest.write_json(draft / PROOF, _prove(draft, model, tensors, dtype))
        return describe(draft, model, name=out.name, form="GPT2LMHeadModel", dtype=dtype)


@contextlib.contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill; it gets that name in the end, and is gone after a failure.

    Raises InputError where `out` exists.
    """
    if out.exists():
        raise InputError(f"{out} exists; give a folder that does not, for nothing is overwritten.")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def describe(
    folder: Path, model: runs.OpenModel, *, name: str, form: str, dtype: DType
) -> manifest.Manifest:
    """Writes the manifest of an export, whatever its format, over all files that are there."""
    return manifest.write(
        folder,
        kind="export",
        name=name,
        identity={"format": form, "dtype": dtype, "step": model.step},
        parents={"run": model.fingerprint, "tokenizer": model.tokenizer.fingerprint},
        files=storage.files(folder),
    )


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


def _write_descriptions(folder: Path, model: runs.OpenModel, dtype: DType) -> None:
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


def copy_provenance(run: Path, folder: Path) -> None:
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


def _config(model: config.Model, vocab_size: int, dtype: DType) -> dict[str, Any]:
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
    folder: Path, model: runs.OpenModel, wanted: dict[str, np.ndarray], dtype: DType
) -> dict[str, Any]:
    """What was read back from the disk against the run's model: every weight, and logits."""
    read = read_tensors(folder)
    differing = sorted(set(read) ^ set(wanted)) or [
        name for name, tensor in wanted.items() if not np.array_equal(read[name], tensor)
    ]
    if differing:
        raise DamageError(f"{folder} does not hold the weights it was given: {differing[:3]}.")
    return {
        "read_back_by": "jgpt2's own reader",
        "tensors": len(read),
        **compare_logits(model, read, dtype),
    }


def compare_logits(
    model: runs.OpenModel, read: Mapping[str, np.ndarray], dtype: DType
) -> dict[str, Any]:
    """The largest difference of a logit between weights that were read back and the run's.

    `read` is under GPT-2's names. Raises DamageError where it is above the tolerance for `dtype`.
    """
    ids_BT, forward = probe(model)
    loaded, _ = layout.from_gpt2_names(read)
    if model.shape.scan_layers:
        loaded = layout.stack_blocks(loaded)
    params = jax.device_get(model.params)
    difference = float(jnp.max(jnp.abs(forward(loaded) - forward(params))))
    if not difference <= TOLERANCE[dtype]:
        raise DamageError(
            f"logits of what was written differ by {difference:g} from the run's, above "
            f"{TOLERANCE[dtype]:g} for {dtype}; it was not published. Export as float32."
        )
    return {
        "ids": list(ids_BT.shape),
        "max_logit_difference": difference,
        "tolerance": TOLERANCE[dtype],
    }


def probe(model: runs.OpenModel) -> tuple[np.ndarray, Callable[[gpt2.Params], jax.Array]]:
    """Rows of random ids, and what gives their logits in float32 for any such parameters."""
    plain = dataclasses.replace(model.shape, compute_dtype="float32")
    vocab_size = model.tokenizer.vocab_size
    graphdef, _ = gpt2.abstract(plain, vocab_size)
    size = _PROBE_ROWS, min(plain.context, 256)
    ids_BT = np.random.default_rng(0).integers(vocab_size, size=size, dtype=np.int32)
    rows_BT = jnp.asarray(ids_BT)
    return ids_BT, jax.jit(lambda given: gpt2.forward(graphdef, given, rows_BT)[..., :vocab_size])


def _read_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of one file; bfloat16, which safetensors' numpy side cannot read, as well."""
    data = path.read_bytes()
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        types = dict(DTYPES.values())
        return {
            name: np.frombuffer(
                data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
                types[entry["dtype"]],
            ).reshape(entry["shape"])
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DamageError(f"{path} is no whole safetensors file ({error}); export again.") from None
