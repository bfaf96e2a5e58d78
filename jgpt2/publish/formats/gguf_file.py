"""A run's checkpoint as a folder with a GGUF file, which llama.cpp loads, and the proof of it.

The file is written beside its place, read back by the `gguf` package, compared with the run weight
by weight and entry by entry, and given to llama.cpp itself where `llama_cpp` is installed. Rules of
the format are llama.cpp's, read in its source: src/llama-vocab.cpp, src/models/gpt2.cpp.
"""

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jgpt2 import manifest, runs, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.model import layer_norm, layout
from jgpt2.publish.formats import gguf_vocabulary, hf, llama, verify

FILE = "model.gguf"
_ARCHITECTURE = "gpt2"
_KERNELS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
"""Stored as [out, in], while GPT-2's are [in, out]. The head is `token_embd`: none is written."""
_POSITIONS = "transformer.wpe.weight"
_BFLOAT16 = jnp.dtype("bfloat16")
_FILE_TYPES: dict[verify.DType, int] = {"float32": 0, "float16": 1, "bfloat16": 32}
"""llama.cpp's number for a file with most weights of a type (include/llama.h, llama_ftype)."""


def export(
    model: runs.OpenModel, run: Path, out: Path, *, dtype: verify.DType = "float32"
) -> manifest.Manifest:
    """Writes the folder of `model`, which was opened from `run`, proves it, gives its manifest.

    Vectors and positions are float32, whatever `dtype` is. Raises InputError where `out` exists,
    `gguf` is missing or the vocabulary has no equal in llama.cpp, DamageError where what was
    written is not the model.
    """
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            "a GGUF file needs the package gguf, which is not installed; install jgpt2[gguf]."
        )
    metadata = {
        **_description(model, name=out.name, dtype=dtype),
        **gguf_vocabulary.metadata(model.tokenizer),
    }
    with storage.drafted(out) as draft:
        params = jax.device_get(model.params)
        tensors = _turned(layout.to_gpt2_names(params, model.tokenizer.vocab_size))
        names = _names(model.shape.layers, tensors)
        stored = {names[name]: _typed(name, tensor, dtype) for name, tensor in tensors.items()}
        _write(draft / FILE, metadata, stored)
        found = _require_same(draft / FILE, metadata, stored)
        read_back = _turned({name: found[new] for name, new in names.items()})
        proof = {
            "read_back_by": f"gguf {importlib.metadata.version('gguf')}",
            "entries": len(metadata),
            "read_back": verify.rounding(read_back, params, shape=model.shape, dtype=dtype),
            "llama.cpp": llama.compare(draft / FILE, model, dtype),
        }
        manifest.write_json(draft / hf.PROOF, proof)
        return hf.seal(draft, model, run, name=out.name, form="GGUF", dtype=dtype)


def read(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata of a GGUF file, and its tensors in the type that they are stored in.

    Raises DamageError for a file that is not what its header says.
    """
    import gguf

    try:
        reader = gguf.GGUFReader(file)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {}
        for tensor in reader.tensors:
            is_narrow = tensor.tensor_type == gguf.GGMLQuantizationType.BF16  # given as bytes
            data = tensor.data.view(_BFLOAT16) if is_narrow else tensor.data
            tensors[tensor.name] = np.array(data)
    except (ValueError, KeyError, IndexError) as error:
        raise DamageError(f"{file} is no whole GGUF file ({error}); export again.") from None
    return {name: value for name, value in fields.items() if "GGUF." not in name}, tensors


def _description(model: runs.OpenModel, *, name: str, dtype: verify.DType) -> dict[str, Any]:
    """What llama.cpp must know of a model besides its vocabulary."""
    shape = model.shape
    return {
        "general.architecture": _ARCHITECTURE,
        "general.type": "model",
        "general.name": name,
        "general.file_type": _FILE_TYPES[dtype],
        "gpt2.context_length": shape.context,
        "gpt2.embedding_length": shape.embed_dim,
        "gpt2.feed_forward_length": 4 * shape.embed_dim,
        "gpt2.block_count": shape.layers,
        "gpt2.attention.head_count": shape.heads,
        "gpt2.attention.layer_norm_epsilon": float(np.float32(layer_norm.EPSILON)),
    }


def _names(layers: int, originals: Iterable[str]) -> dict[str, str]:
    """GPT-2's name of each tensor -> llama.cpp's."""
    import gguf

    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, layers)
    named = {name: known.get_name(name, (".weight", ".bias")) for name in originals}
    return {name: new for name, new in named.items() if new is not None}


def _turned(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under GPT-2's names with each kernel transposed: there, and back again."""
    return {
        name: tensor.T if name.endswith(_KERNELS) else tensor for name, tensor in tensors.items()
    }


def _typed(name: str, tensor: np.ndarray, dtype: verify.DType) -> np.ndarray:
    """The tensor of that GPT-2 name in the type that it is stored in."""
    is_plain = tensor.ndim == 1 or name == _POSITIONS
    return np.ascontiguousarray(tensor.astype(jnp.dtype("float32" if is_plain else dtype)))


def _write(file: Path, metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    import gguf

    writer = gguf.GGUFWriter(file, _ARCHITECTURE)
    for key, value in metadata.items():
        if key == "general.architecture":  # the writer has put it there
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            writer.add_uint32(key, value)
        else:
            writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name, tensor in tensors.items():
        if tensor.dtype == _BFLOAT16:
            writer.add_tensor(name, tensor.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _require_same(
    file: Path, metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors as read from the disk; DamageError where they, or an entry, are not the given."""
    entries, found = read(file)
    differing = [key for key in {*entries, *metadata} if entries.get(key) != metadata.get(key)]
    if differing:
        raise DamageError(f"{file} does not hold what it was given: {sorted(differing)[:3]}.")
    verify.weights(found, tensors)
    return found
