"""GPT-2 large, 774,030,080 parameters at 50,257 ids ("762M" in the paper, 774M by count).

    jgpt2 train configs/large.py --run runs/large-sp-16k --dataset ja --tokenizer sp-16k

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
    name="large",
    tokenizer="sp-16k",
    model=sizes.LARGE,
    # 524,288 tokens a step and 2.5e-4: GPT-3 large (Brown et al. 2020, table 2.1).
    optimizer=Optimizer(peak_lr=2.5e-4),
    batch=Batch(sequences=512),
    schedule=Schedule(kind="cosine", warmup=0.01),
    budget=Budget(num_bytes=40_000_000_000),
    mesh=Mesh(fsdp=None),
    evaluation=Evaluation(every_steps=1000, max_bytes=2_000_000),
    checkpoint=Checkpoint(every_steps=1000, keep_last=3),
)
