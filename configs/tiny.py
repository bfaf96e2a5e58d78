"""A GPT-2 small enough for two CPU cores: 1.8M parameters beside its vocabulary.

    jgpt2 train configs/tiny.py --run runs/tiny-byte --dataset ja-open --tokenizer byte
    jgpt2 train configs/tiny.py --run runs/tiny-sp-8k --dataset ja-open --tokenizer sp-8k \
        --batch.sequences 4

Cost and result: docs/tiny.md. The second command holds the bytes of a batch: a row of 256 tokens
of sp-8k is about four rows of bytes.
"""

from jgpt2.config import Batch, Budget, Checkpoint, Evaluation, Experiment, Optimizer, Schedule
from jgpt2.model import sizes

config = Experiment(
    name="tiny",
    model=sizes.TINY,
    optimizer=Optimizer(peak_lr=2e-3),
    schedule=Schedule(kind="cosine", warmup=0.05, final_lr=0.05),
    batch=Batch(sequences=16),  # 16 rows x 256 bytes = 4,096 bytes a step
    budget=Budget(num_bytes=10_000_000),
    evaluation=Evaluation(every_steps=500, max_bytes=200_000),
    checkpoint=Checkpoint(every_steps=500),
)
