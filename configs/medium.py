"""GPT-2 medium, 354,823,168 parameters at 50,257 ids ("345M" in the paper, 355M by count).

    jgpt2 train configs/medium.py --run runs/medium-sp-16k --dataset ja --tokenizer sp-16k

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
    name="medium",
    tokenizer="sp-16k",
    model=sizes.MEDIUM,
    # 524,288 tokens a step and 3e-4: GPT-3 medium (Brown et al. 2020, table 2.1).
    optimizer=Optimizer(peak_lr=3e-4),
    batch=Batch(sequences=512),
    schedule=Schedule(kind="wsd", warmup=0.01, decay=0.2, final_lr=0.0),
    budget=Budget(num_bytes=20_000_000_000),
    mesh=Mesh(fsdp=None),
    evaluation=Evaluation(every_steps=1000, max_bytes=2_000_000),
    checkpoint=Checkpoint(every_steps=1000, keep_last=3),
)
