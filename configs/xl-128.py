"""GPT-2 XL at width 1536 with 12 heads of 128: another architecture than GPT-2's, for TPUs.

    jgpt2 train configs/xl-128.py --run runs/xl-128-sp-16k --dataset ja --tokenizer sp-16k

Attention costs half of `xl.py`'s; no checkpoint of OpenAI's fits. Needs accelerators. It has
not been trained to its end here: cost and result are not known yet.
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
    name="xl-128",
    tokenizer="sp-16k",
    model=sizes.XL_128,
    # 1,048,576 tokens a step and 2e-4: GPT-3 XL (Brown et al. 2020, table 2.1).
    optimizer=Optimizer(peak_lr=2e-4),
    batch=Batch(sequences=1024),
    schedule=Schedule(kind="cosine", warmup=0.01),
    budget=Budget(num_bytes=80_000_000_000),
    mesh=Mesh(fsdp=None),
    evaluation=Evaluation(every_steps=1000, max_bytes=2_000_000),
    checkpoint=Checkpoint(every_steps=1000, keep_last=3),
)
