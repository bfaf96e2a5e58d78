"""Megatron's 8.3B, 8,314,143,744 parameters at 50,257 ids: 72 layers of 3072, 24 heads of 128.

    jgpt2 train configs/8b.py --run runs/8b-sp-16k --dataset ja --tokenizer sp-16k

Needs accelerators. It has not been trained to its end here: cost and result are not known yet.
"""

from jgpt2.config import (
    Batch,
    Budget,
    Checkpoint,
    Evaluation,
    Experiment,
    Mesh,
    Optimizer,
    Schedule,
)
from jgpt2.model import sizes

config = Experiment(
    name="8b",
    tokenizer="sp-16k",
    model=sizes.MEGATRON_8B,
    # 512 rows of 1024 tokens and 1.5e-4: Shoeybi et al. 2019 (Megatron-LM, section 4.2).
    optimizer=Optimizer(peak_lr=1.5e-4),
    batch=Batch(sequences=512),
    schedule=Schedule(kind="cosine", warmup=0.01),
    budget=Budget(steps=300_000),
    mesh=Mesh(fsdp=None),
    evaluation=Evaluation(every_steps=1000, max_bytes=2_000_000),
    checkpoint=Checkpoint(every_steps=1000, keep_last=3),
)
