"""A GPT-2 from elsewhere as a folder that opens like a run: scored, compared and trained further.

The source is what `jgpt2 export` wrote, or any folder of `GPT2LMHeadModel` or `GPT2Model`. Weights
are read from safetensors alone, for opening a pickle runs whatever program it holds.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from jgpt2 import checkpoint, config, configio, manifest, runs, storage
from jgpt2.errors import InputError
from jgpt2.model import count, layout
from jgpt2.publish.formats import hf, hf_config
from jgpt2.tokenizer import foreign
from jgpt2.tokenizer import load as tokenizer_load

STEP = 0
"""Of the one checkpoint: training from it starts to count here."""
MAX_PADDING_ROWS = 1024
"""Rows of a token table beyond the vocabulary that are taken for padding; with as many or more the
vocabulary is another model's. Multiples of up to 1,024 are in use, such as 51,200 for 50,257."""
_FLOATS = {"float32", "float16", "bfloat16"}
_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt*", "*.h5", "*.msgpack", "*.index")
_MAX_README_BYTES = 1_000_000


def import_model(
    source: Path, out: Path, *, name: str | None = None, tokenizer: Path | None = None
) -> manifest.Manifest:
    """Writes the folder `out` of the model in `source`, and gives its manifest.

    `tokenizer` is a folder of this project's to use in place of the vocabulary of `source`. Raises
    InputError for what is no GPT-2 that can be imported, DamageError for files that are not what
    they say; then nothing is left behind.
    """
    storage.require_local(source, "the folder to import")
    storage.require_local(out, "the folder to make")
    name = name or source.resolve().name
    exported = _exported(source, tokenizer)
    shape, num_rows = hf_config.read(_with_weights(source))
    tensors = layout.with_prefix(hf.read_tensors(source))
    _require_shapes(source, tensors, shape, num_rows)
    parents = {} if exported is None else exported.parents | {"export": exported.fingerprint}
    with storage.drafted(out) as draft:
        _write_tokenizer(source, draft / runs.TOKENIZER, tokenizer, name)
        vocabulary = tokenizer_load.load(draft / runs.TOKENIZER)
        _crop(source, tensors, vocabulary.vocab_size)
        params, _ = layout.from_gpt2_names(tensors)
        parents |= {"tokenizer": vocabulary.fingerprint}
        with checkpoint.Checkpoints(
            draft / runs.CHECKPOINTS, keep_last=1, fingerprints=parents
        ) as checkpoints:
            checkpoints.save(STEP, {"params": params}, bits_per_byte=None)
        manifest.write_text(draft / runs.SHAPE, configio.to_json(shape))
        return manifest.write(
            draft,
            kind="import",
            name=name,
            identity={"format": "GPT2LMHeadModel", "weights": _digest(tensors)},
            parents=parents,
            files=[runs.SHAPE],
            notes={
                "parameters": count.parameters(shape, vocabulary.vocab_size),
                "padding_rows_left_out": num_rows - vocabulary.vocab_size,
                "stored_as": sorted({str(tensor.dtype) for tensor in tensors.values()}),
                **_of_source(source),
            },
        )


def _exported(source: Path, tokenizer: Path | None) -> manifest.Manifest | None:
    """The proven manifest of one of our own exports; None of a folder from elsewhere."""
    if not source.is_dir():
        raise InputError(
            f"there is no folder {source}; give one with config.json and model.safetensors."
        )
    if not manifest.exists(source):
        return None
    if tokenizer is not None:
        raise InputError(
            f"{source} is an export that has its own vocabulary; leave out --tokenizer."
        )
    return manifest.verify(source, kind="export")


def _with_weights(source: Path) -> Path:
    """The source itself; InputError where its weights are in files that are not opened."""
    if (source / hf.WEIGHTS).is_file() or (source / hf.INDEX).is_file():
        return source
    found = sorted(path.name for pattern in _OTHER_WEIGHTS for path in source.glob(pattern))
    if not found:
        raise InputError(
            f"{source} holds neither {hf.WEIGHTS} nor {hf.INDEX}; give a folder of GPT2LMHeadModel."
        )
    if any(name.endswith(".index") for name in found):
        how = (
            "convert this TensorFlow checkpoint by transformers 4, where TensorFlow is installed: "
            "`python -m transformers.models.gpt2.convert_gpt2_original_tf_checkpoint_to_pytorch`, "
            "then as docs/import.md says"
        )
    else:
        how = (
            "convert it in an environment with transformers that holds nothing of value: "
            f'`model = transformers.GPT2LMHeadModel.from_pretrained("{source}")`, then '
            '`model.save_pretrained("FOLDER")`, which writes safetensors, and import that folder'
        )
    raise InputError(
        f"{source} has its weights in {found[0]} alone, which was not opened: only safetensors are "
        f"read, because a pickle runs the program it holds; {how}."
    )


def _require_shapes(
    source: Path, tensors: dict[str, np.ndarray], shape: config.Model, num_rows: int
) -> None:
    """InputError naming the first tensor that is not as the config says."""
    layers = len({name.split(".")[2] for name in tensors if name.startswith("transformer.h.")})
    if layers != shape.layers:
        raise InputError(
            f"{source / 'config.json'} says n_layer={shape.layers}, but the weights have {layers} "
            "layers; fetch both again."
        )
    wanted = layout.gpt2_shapes(shape, num_rows)
    for name, tensor in tensors.items():
        expected = wanted.get(layout.TOKENS if name == layout.HEAD else name, tensor.shape)
        if tensor.shape != expected or tensor.dtype.name not in _FLOATS:
            raise InputError(
                f"{name} of {source} is {tensor.dtype.name} of shape {tensor.shape}; by its "
                f"config.json it is a float type of shape {expected}: fetch both again."
            )


def _write_tokenizer(source: Path, target: Path, given: Path | None, name: str) -> None:
    if given is not None:
        manifest.copy(given, target, kind="tokenizer")
    elif manifest.exists(source):
        manifest.copy(source / runs.TOKENIZER, target, kind="tokenizer")
    else:
        foreign.adopt(source, target, name=name)


def _crop(source: Path, tensors: dict[str, np.ndarray], vocab_size: int) -> None:
    """Leaves out the rows of the token table that no id of the vocabulary has.

    They are as good as our own padding: no text has them. Their share of the probability, which is
    little after training, goes to the ids that exist.
    """
    num_rows = len(tensors[layout.TOKENS])
    if not vocab_size <= num_rows < vocab_size + MAX_PADDING_ROWS:
        raise InputError(
            f"the vocabulary has {vocab_size} ids, but the token table of {source} {num_rows} "
            f"rows; it must have as many, or up to {MAX_PADDING_ROWS - 1} more for padding: give "
            "the vocabulary that the model was trained with."
        )
    for name in {layout.TOKENS, layout.HEAD}.intersection(tensors):
        tensors[name] = tensors[name][:vocab_size]


def _digest(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over name, shape and float32 values of every tensor, in the order of the names.

    However a model is stored and cut into files, if it is the same model, this is the same.
    """
    digest = hashlib.sha256()
    for name in sorted(set(tensors) - {layout.HEAD}):
        digest.update(f"{name} {list(tensors[name].shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name], np.dtype("<f4")))
    return digest.hexdigest()


def _of_source(source: Path) -> dict[str, Any]:
    """What the source says and is: the licence that it states, and the hashes of its files."""
    files = sorted([*source.glob("*.safetensors"), source / hf_config.FILE_NAME])
    return {
        "license": _stated_license(source),
        "source_files": {path.name: storage.entry(path) for path in files},
    }


def _stated_license(source: Path) -> str | None:
    """The hub's licence tag from the head of README.md; None where there is none."""
    readme = source / "README.md"
    if not readme.is_file() or readme.stat().st_size > _MAX_README_BYTES:
        return None
    head = re.match(r"---\n(.*?)\n---\n", readme.read_text("utf-8", "replace"), re.DOTALL)
    stated = head and re.search(r"^license:[ \t]*(\S+)[ \t]*$", head[1], re.MULTILINE)
    return stated[1] if stated else None
