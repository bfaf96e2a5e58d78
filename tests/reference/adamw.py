"""Write 20 AdamW steps of a plain PyTorch loop: python adamw.py FOLDER.

The file has the first weights (under `transformers`' names), the batches, the learning rate of
every step, and the loss and gradient norm that PyTorch saw before each. Decay falls on matrices
and embeddings only; gradients are clipped to norm 1. `tests/model/test_reference.py` follows it.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch_gpt2

SHAPE = {"layers": 2, "width": 32, "heads": 4, "vocab": 130, "context": 16}
STEPS, WARMUP, BATCH = 20, 5, 8
# Harsher than in practice, so that a wrong mask, clip or schedule moves the loss within 20 steps.
PEAK_LR, WEIGHT_DECAY, CLIP_NORM = 1e-2, 0.5, 1.0
BETAS, EPSILON = (0.9, 0.95), 1e-8
SEED = 7


def learning_rate(step: int) -> float:
    """Linear warm-up, then a cosine to a tenth of the peak."""
    if step < WARMUP:
        return PEAK_LR * (step + 1) / WARMUP
    share = (step - WARMUP) / (STEPS - 1 - WARMUP)
    return PEAK_LR * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def batches() -> np.ndarray:
    """Rows [STEPS, BATCH, context + 1] that count up by 1, 2 or 3: something to learn."""
    rng = np.random.default_rng(SEED)
    length = SHAPE["context"] + 1
    starts = rng.integers(0, SHAPE["vocab"], (STEPS, BATCH, 1))
    strides = rng.integers(1, 4, (STEPS, BATCH, length))
    return ((starts + np.cumsum(strides, axis=-1)) % SHAPE["vocab"]).astype(np.int32)


def main(folder: Path) -> None:
    model = torch_gpt2.build(**SHAPE, scale=0.1, seed=SEED)
    first = torch_gpt2.weights(model)
    decayed = [value for value in model.parameters() if value.ndim >= 2]
    undecayed = [value for value in model.parameters() if value.ndim < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": WEIGHT_DECAY},
            {"params": undecayed, "weight_decay": 0.0},
        ],
        betas=BETAS,
        eps=EPSILON,
    )
    rows, losses, norms = batches(), [], []
    rates = [learning_rate(step) for step in range(STEPS)]
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        ids = torch.from_numpy(rows[step]).long()
        logits = model(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM).item())
        optimizer.step()
        losses.append(loss.item())
    np.savez(
        folder / "adamw.npz",
        **{f"weights/{name}": value for name, value in first.items()},
        rows=rows,
        learning_rates=np.array(rates),
        losses=np.array(losses),
        grad_norms=np.array(norms),
        betas=np.array(BETAS),
        epsilon=EPSILON,
        weight_decay=WEIGHT_DECAY,
        clip_norm=CLIP_NORM,
        heads=SHAPE["heads"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
