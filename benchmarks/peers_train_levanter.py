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
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Reads the shape, compiles the step, and steps when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    started_s = time.perf_counter()
    os.environ.setdefault("WANDB_MODE", "disabled")
    if args.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    step = _step(args.shape, "float32" if args.device == "cpu" else "bfloat16")
    step()
    versions = {name: importlib.metadata.version(name) for name in ("levanter", "haliax", "jax")}
    _say({"first_step_s": time.perf_counter() - started_s, "versions": versions})
    for _ in sys.stdin:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        loss = step()
        _say(
            {
                "cpu_s": time.process_time() - cpu_s,
                "wall_s": time.perf_counter() - wall_s,
                "loss": loss,
                "peak_gib": _peak_bytes(args.device) / 2**30,
            }
        )


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _peak_bytes(device: str) -> int:
    """The most memory held so far: of the device, or on a CPU of this process."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
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
