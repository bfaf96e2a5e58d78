"""Closed formulas: parameters and floating-point operations of a GPT-2, without building it.

They count the model as published: the true vocabulary, not its padding.
"""

from jgpt2 import config


def parameters(model: config.Model, vocab_size: int) -> int:
    """Weights of the model: V·d + n_ctx·d + L·(12d² + 13d) + 2d, the head being the token table.

    >>> from jgpt2.model import sizes
    >>> parameters(sizes.SMALL, vocab_size=50_257)
    124439808
    """
    return (vocab_size + model.context) * model.embed_dim + body_parameters(model)


def body_parameters(model: config.Model) -> int:
    """Non-embedding weights: of the blocks and the last norm, without tables of any kind."""
    width = model.embed_dim
    # Kernels: qkv 3d², out d², up 4d², down 4d². Biases: 3d + d + 4d + d. Two LayerNorms: 4d.
    block = 12 * width**2 + 13 * width
    return model.layers * block + 2 * width


def flops_per_token(model: config.Model, vocab_size: int, *, counts_masked: bool = False) -> float:
    """Floating-point operations that training spends per token of a full context.

    Convention: 6 per weight of a matrix product (2 forward, 4 backward), the tied head included
    and the look-up of embeddings free, plus attention's 12·N·D·T (Chowdhery et al. 2022, PaLM,
    appendix B), of which the causal mask leaves half: 6·N·D·T, if `counts_masked` does not ask for
    all of it, as other projects count. Recomputation is not counted.
    """
    width = model.embed_dim
    matrices = model.layers * 12 * width**2 + vocab_size * width
    attention = (12 if counts_masked else 6) * model.layers * width * model.context
    return float(6 * matrices + attention)
