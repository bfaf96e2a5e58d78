"""One safetensors file, read as if whoever wrote it meant harm.

The format is eight bytes of header length, a JSON header, and the tensors one after another:
nothing in it is executed. What can be wrong is the header's word about the rest, so every number
is checked before a byte is read by it. Tensors stay in the file, mapped into memory.
"""

import math
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jgpt2 import untrusted
from jgpt2.errors import DamageError

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself."""
_DTYPES = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "U8": np.dtype(np.uint8),  # causal masks that old checkpoints carry, as is BOOL
    "BOOL": np.dtype(np.uint8),
}
_MAX_RANK = 8
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_FIELDS = {"dtype", "shape", "data_offsets"}


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, read-only and mapped, in the types that they are stored in.

    Raises DamageError, naming the file and the tensor, where the header is not that of a whole
    safetensors file: its tensors must fill what follows it without gaps or overlaps.
    """
    if not path.is_file():
        raise DamageError(f"{path} is missing; fetch it again.")
    size = path.stat().st_size
    if size < 8:
        raise _broken(path, f"{size} bytes hold no header length")
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise _broken(path, f"it announces a header of {length:,} bytes in a file of {size:,}")
    start = 8 + length
    try:
        header = untrusted.json_object(data[8:start].tobytes(), "its header")
    except DamageError as error:
        raise _broken(path, str(error).removesuffix("; fetch it again.")) from None
    header.pop("__metadata__", None)
    return _tensors(path, header, data[start:])


def _tensors(path: Path, header: dict[str, Any], data: np.ndarray) -> dict[str, np.ndarray]:
    """Cuts `data`, all that follows the header, into the tensors that it describes."""
    spans = {name: _span(path, name, entry) for name, entry in header.items()}
    end, before = 0, "the header"
    for name, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if first != end:
            what = "overlaps" if first < end else "leaves a gap after"
            raise _broken(path, f"{name} at bytes {first} to {last} {what} {before}")
        end, before = last, name
    if end != len(data):
        raise _broken(path, f"{before} ends at byte {end}, the file at byte {len(data)}")
    return {
        name: data[slice(*spans[name])].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }


def _span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """First byte of a tensor and the one after its last, as its entry of the header says."""
    if not _NAME.fullmatch(name):
        raise _broken(path, f"{name!r} is no name of a tensor")
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise _broken(path, f"{name} is not described by {', '.join(sorted(_FIELDS))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamageError(
            f"{path} holds {name} as {dtype!r:.80}; what is read is {', '.join(_DTYPES)}: save it "
            "as one of these."
        )
    if not _are_numbers(shape, lowest=1) or len(shape) > _MAX_RANK:
        raise _broken(path, f"{name} has shape {shape!r:.80}, not a few numbers above 0")
    if not _are_numbers(offsets, lowest=0) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _broken(path, f"{name} has data_offsets {offsets!r:.80}, not its first byte and end")
    num_bytes = math.prod(shape) * _DTYPES[dtype].itemsize
    if num_bytes != offsets[1] - offsets[0]:
        raise _broken(
            path, f"{name}, {dtype} of shape {shape!r:.80}, does not take bytes {offsets!r:.80}"
        )
    return offsets[0], offsets[1]


def _are_numbers(values: Any, lowest: int) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and lowest <= value < 2**63 for value in values
    )


def _broken(path: Path, what: str) -> DamageError:
    return DamageError(f"{path} is no whole safetensors file: {what}; fetch or export it again.")
