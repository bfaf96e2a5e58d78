"""The project's own side of `peers_decode.py`, which starts it.

python peers_decode_own.py jgpt2 SHAPE BATCH cpu|gpu
"""

import importlib.metadata
import os
import sys

import peers_decode_work as work

from jgpt2 import host_memory


def main() -> None:
    """Decodes random prompts with fresh weights."""
    _, shape, batch, device = sys.argv[1:5]
    host_memory.keep()
    os.environ["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda"
    import jax
    import numpy as np

    from jgpt2 import config
    from jgpt2.generate import decode, sampling
    from jgpt2.model import gpt2

    layers, width, heads, vocab_size = work.SHAPES[shape]
    dtype = "float32" if device == "cpu" else "bfloat16"
    model = config.Model(
        layers=layers, embed_dim=width, heads=heads, context=work.CONTEXT, compute_dtype=dtype
    )
    graphdef, _ = gpt2.abstract(model, vocab_size)
    params = jax.jit(lambda: gpt2.create(model, vocab_size, 0)[1])()
    size = (int(batch), work.PROMPT_TOKENS)
    prompts = list(np.random.default_rng(0).integers(1, vocab_size, size))

    def chunks():
        return decode.stream(
            graphdef,
            params,
            model,
            prompts,
            eot=0,
            sampler=sampling.Sampler(top_k=work.TOP_K),
            seed=0,
            min_tokens=work.NEW_TOKENS,
            max_tokens=work.NEW_TOKENS,
        )

    work.serve(
        lambda: sum(len(row.ids) for rows in chunks() for row in rows),
        lambda: next(chunks()),
        batch=int(batch),
        dtype=dtype,
        versions={name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
    )


if __name__ == "__main__":
    main()
