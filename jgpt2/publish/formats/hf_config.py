"""`config.json` of a GPT-2 from elsewhere: its shape, or why this project would compute otherwise.

GPT-2 as transformers knows it has switches that change what is computed. Weights under another
setting would load and score wrongly in silence, so every switch is looked at.
"""

from pathlib import Path
from typing import Any

from jgpt2 import config, untrusted
from jgpt2.errors import InputError
from jgpt2.model import layer_norm

FILE_NAME = "config.json"
_MAX_BYTES = 1_000_000
_MAX_SIZE = 2**24
"""Above any number of layers, width, context or vocabulary of the field."""
_ONLY: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),  # two names of one formula
    "layer_norm_epsilon": (layer_norm.EPSILON,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
"""Settings with the only values that this project computes; left out, transformers takes these."""


def read(folder: Path) -> tuple[config.Model, int]:
    """The shape of the model in a folder, and the rows of its token table.

    It computes in float32, as the scores of others are computed. Raises InputError, naming the
    setting, for what is no GPT-2 as it was published, and DamageError for a file that is not JSON.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} has no {FILE_NAME}; give a folder of GPT2LMHeadModel.")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path} is larger than {_MAX_BYTES:,} bytes; it is no model's config.")
    settings = untrusted.json_object(path.read_bytes(), str(path))
    _require_plain(path, settings)
    context = "n_ctx" if "n_positions" not in settings and "n_ctx" in settings else "n_positions"
    names = ("n_layer", "n_embd", "n_head", context, "vocab_size")
    layers, embed_dim, heads, positions, vocab_size = (
        _size(path, settings, name) for name in names
    )
    inner = settings.get("n_inner")
    if inner is not None and _size(path, settings, "n_inner") != 4 * embed_dim:
        raise InputError(
            f"{path} has n_inner={inner}; GPT-2's is four times the width, {4 * embed_dim} here."
        )
    if embed_dim % heads:
        raise InputError(f"{path} has n_head={heads}, which does not divide n_embd={embed_dim}.")
    shape = config.Model(
        layers=layers,
        embed_dim=embed_dim,
        heads=heads,
        context=positions,
        dropout=_dropout(path, settings),
        compute_dtype="float32",
    )
    return shape, vocab_size


def _require_plain(path: Path, settings: dict[str, Any]) -> None:
    """Raises unless this project computes what transformers would under these settings."""
    if settings.get("model_type") != "gpt2":
        raise InputError(
            f"{path} has model_type={settings.get('model_type')!r:.80}; only 'gpt2' can be "
            "imported, for other models compute something else."
        )
    for name, allowed in _ONLY.items():
        value = settings.get(name, allowed[0])
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise InputError(
                f"{path} has {name}={value!r:.80}; this project computes with "
                f"{' or '.join(map(repr, allowed))} alone, and would score other weights wrongly."
            )


def _size(path: Path, settings: dict[str, Any], name: str) -> int:
    value = settings.get(name)
    if type(value) is not int or not 0 < value <= _MAX_SIZE:
        found = f"has {name}={value!r:.80}" if name in settings else f"lacks {name}"
        raise InputError(f"{path} {found}; it must be a number from 1 to {_MAX_SIZE:,}.")
    return value


def _dropout(path: Path, settings: dict[str, Any]) -> float:
    """That of the residual branches, which plays no part but in training."""
    value = settings.get("resid_pdrop", 0.0)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise InputError(f"{path} has resid_pdrop={value!r:.80}; it must be a share below 1.")
    return float(value)
