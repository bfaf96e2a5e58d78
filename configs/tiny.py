"""A GPT-2 small enough for two CPU cores.

    jgpt2 train configs/tiny.py --run runs/tiny-byte --tokenizer byte --dataset ja

Cost: about half an hour on two cores for 12 MB of text with the byte vocabulary.
"""

from jgpt2.config import Batch, Budget, Checkpoint, Evaluation, Experiment, Optimizer
from jgpt2.model import sizes

config = Experiment(
    name="tiny",
    model=sizes.TINY,
    optimizer=Optimizer(peak_lr=2e-3),
    batch=Batch(sequences=32),
    budget=Budget(num_bytes=12_000_000),
    evaluation=Evaluation(every_steps=200, max_bytes=100_000),
    checkpoint=Checkpoint(every_steps=200),
)
