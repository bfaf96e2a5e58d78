"""A `transformers` GPT-2 in fp32 without dropout whose weights come from a NumPy seed.

NumPy draws them so that every machine makes the same bits; gains and biases are random too, so
that an error in any of them shows.
"""

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel


def build(
    *, layers: int, width: int, heads: int, vocab: int, context: int, scale: float, seed: int
) -> GPT2LMHeadModel:
    """The model in evaluation mode: weights ~ N(0, scale), gains ~ N(1, scale)."""
    torch.set_num_threads(1)
    settings = GPT2Config(
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        vocab_size=vocab,
        n_positions=context,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
        dtype="float32",
    )
    model = GPT2LMHeadModel(settings)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            drawn = scale * rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            is_gain = ".ln_" in name and name.endswith(".weight")
            parameter.copy_(torch.from_numpy(drawn + np.float32(is_gain)))
    return model.eval()


def weights(model: GPT2LMHeadModel) -> dict[str, np.ndarray]:
    """Every parameter by its name; the tied head appears once, as the token table."""
    return {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
