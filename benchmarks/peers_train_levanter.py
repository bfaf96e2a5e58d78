"""Levanter's training step, for `peers_train.py`: one step for each line read.

    python peers_train_levanter.py SHAPE.json [--device gpu]

Its own GPT-2 and loss, without recomputation, in the optimizer chain of the other sides: AdamW,
clipping at 1, no dropout, random tokens, the same batch at every step. On a CPU float32; on a GPU
bfloat16 beside float32 parameters.
"""

import argparse
import importlib.metadata
import json
import os
from collections.abc import Callable

import peers_train_serve


def main() -> None:
    """Reads the shape, compiles the step, and steps when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    os.environ.setdefault("WANDB_MODE", "disabled")
    if args.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    step = _step(args.shape, "float32" if args.device == "cpu" else "bfloat16")
    versions = {name: importlib.metadata.version(name) for name in ("levanter", "haliax", "jax")}
    peak = peers_train_serve.peak_bytes if args.device == "cpu" else _device_peak_bytes
    peers_train_serve.serve(step, versions, peak)


def _device_peak_bytes() -> int:
    import jax

    return jax.devices()[0].memory_stats()["peak_bytes_in_use"]


def _step(shape: dict[str, int], compute: str) -> Callable[[], float]:
    import equinox as eqx  # pyright: ignore[reportMissingImports]
    import haliax as hax  # pyright: ignore[reportMissingImports]
    import jax
    import jmp  # pyright: ignore[reportMissingImports]
    import numpy as np
    import optax
    from levanter.layers.attention import AttentionMask  # pyright: ignore[reportMissingImports]
    from levanter.models import gpt2, lm_model  # pyright: ignore[reportMissingImports]

    settings = gpt2.Gpt2Config(
        seq_len=shape["context"],
        hidden_dim=shape["embed_dim"],
        num_layers=shape["layers"],
        num_heads=shape["heads"],
        gradient_checkpointing=False,
    )
    vocab, batch = hax.Axis("vocab", shape["vocab"]), hax.Axis("batch", shape["batch"])
    position = settings.Pos
    policy = jmp.get_policy(f"params=float32,compute={compute},output=float32")
    model = gpt2.Gpt2LMHeadModel.init(vocab, settings, key=jax.random.key(0))
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(3e-4, b1=0.9, b2=0.95, weight_decay=0.1)
    )
    opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    rows = np.random.default_rng(0).integers(
        shape["vocab"], size=(batch.size, position.size), dtype=np.int32
    )
    ids = hax.named(jax.device_put(rows), (batch, position))

    def mean_loss(model, ids):
        scored = lm_model.LmExample.causal_loss_mask(position)
        example = lm_model.LmExample(ids, scored, attn_mask=AttentionMask.causal())
        model = policy.cast_to_compute(model)
        # Its own mean hands JAX a mask of floats, which releases since 0.9 refuse.
        nll = lm_model.compute_next_token_loss(model, example, reduction=None)
        return nll.array[:, :-1].mean()

    def advance(model, opt_state, ids):
        loss, grads = eqx.filter_value_and_grad(mean_loss)(model, ids)
        params = eqx.filter(model, eqx.is_inexact_array)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return eqx.apply_updates(model, updates), opt_state, loss

    compiled = eqx.filter_jit(advance, donate="all-except-first")
    held = [model, opt_state]

    def step() -> float:
        held[0], held[1], loss = compiled(*held, ids)
        return float(loss)

    return step


if __name__ == "__main__":
    main()
