"""What llama.cpp makes of a GGUF file: its logits and ids beside the run's.

Asked where the package `llama_cpp` is installed, which the project does not need.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jgpt2 import runs
from jgpt2.errors import DamageError
from jgpt2.model import layout
from jgpt2.publish.formats import stress, verify

TEXTS = tuple(text for text in stress.TEXTS if "\u2581" not in text)
"""Texts whose ids must be the same. A U+2581 is in none of them: to llama.cpp it is a space."""
TOLERANCE = verify.ROUNDING | {"float32": 0.02}
"""As for rounded weights, but float32 as float16: llama.cpp's GELU on a CPU is a table of half
precision (ggml-cpu/vec.h, GGML_GELU_FP16), whatever the type of the weights."""
_FLOAT32 = 0
"""ggml's number of the type."""


def compare(file: Path, model: runs.OpenModel, dtype: verify.DType) -> dict[str, Any] | None:
    """The largest difference of a logit, and how many texts have the run's ids; None if not here.

    Raises DamageError where it cannot load the file, or for an id or a logit that differs.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        return None
    llama_cpp = importlib.import_module("llama_cpp")
    vocab_size = model.tokenizer.vocab_size
    ids_BT = verify.rows(vocab_size, model.shape.context)
    length = ids_BT.shape[1]
    try:
        loaded = llama_cpp.Llama(
            str(file),
            **dict.fromkeys(("n_ctx", "n_batch", "n_ubatch"), length),
            **dict.fromkeys(("type_k", "type_v"), _FLOAT32),
            logits_all=True,
            verbose=False,
        )
    except ValueError as error:
        raise DamageError(f"llama.cpp does not load it ({error}); it was not published.") from None
    for text in TEXTS:
        ids = loaded.tokenize(text.encode(), add_bos=False, special=False)
        wanted = model.tokenizer.encode(text).tolist()
        if ids != wanted or loaded.detokenize(ids).decode() != text:
            raise DamageError(
                f"llama.cpp reads {text!r} as {ids[:8]}, the run as {wanted[:8]}; it was not "
                "published."
            )
    rows = []
    for ids in ids_BT.tolist():
        loaded.reset()
        loaded.eval(ids)
        rows.append(loaded.scores[:length].copy())
    loaded.close()
    params = jax.device_get(model.params)
    params = layout.unstack_blocks(params) if model.shape.scan_layers else params
    ours_BTV = verify.forward(model.shape, vocab_size)(params, ids_BT)
    difference = float(np.abs(np.stack(rows) - ours_BTV).max())
    if not difference <= TOLERANCE[dtype]:
        raise DamageError(
            f"llama.cpp's logits differ by {difference:g} from the run's, above "
            f"{TOLERANCE[dtype]:g} for {dtype}; it was not published. Export as float32, or "
            "without llama-cpp-python installed."
        )
    return {
        "version": llama_cpp.__version__,
        "texts": len(TEXTS),
        "ids": list(ids_BT.shape),
        "max_logit_difference": difference,
        "tolerance": TOLERANCE[dtype],
    }
