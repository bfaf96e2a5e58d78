"""GPT-2 small, 124,439,808 parameters at 50,257 ids ("117M" in the paper, 124M by count).

    jgpt2 train configs/small.py --run runs/small-sp-16k --dataset ja --tokenizer sp-16k

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
    name="small",
    tokenizer="sp-16k",
    model=sizes.SMALL,
    # 512 rows x 1024 tokens = 524,288 tokens a step, the batch of GPT-3 small (Brown et al. 2020,
    # table 2.1), as is its learning rate.
    optimizer=Optimizer(peak_lr=6e-4),
    batch=Batch(sequences=512),
    schedule=Schedule(kind="wsd", warmup=0.01, decay=0.2, final_lr=0.0),
    budget=Budget(num_bytes=5_000_000_000),
    mesh=Mesh(fsdp=None),
    evaluation=Evaluation(every_steps=1000, max_bytes=2_000_000),
    checkpoint=Checkpoint(every_steps=1000, keep_last=3),
)
