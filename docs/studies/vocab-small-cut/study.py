"""`configs/ablations/vocab_small.py` cut to minutes of one GPU: its 85M body alone, 30 MB of text.

    jgpt2 ablate docs/studies/vocab-small-cut/study.py --out studies/vocab-small-cut

Reads data/ja-open (tokenizers/README.md says how it is made). 8 runs; one learning rate for all
arms, without a sweep. Each model sees a hundredth of what `vocab_small.py` gives it.
"""

from dataclasses import replace

from jgpt2.ablation.study import Study
from jgpt2.config import (
    Batch,
    Budget,
    Checkpoint,
    Evaluation,
    Experiment,
    Optimizer,
    Schedule,
)
from jgpt2.model import sizes

BASE = Experiment(
    name="small-cut",
    dataset="ja-open",
    model=sizes.SMALL,
    optimizer=Optimizer(peak_lr=6e-4),
    schedule=Schedule(kind="wsd", warmup=0.05, decay=0.2, final_lr=0.0),
    batch=Batch(sequences=256),
    budget=Budget(num_bytes=30_000_000),
    evaluation=Evaluation(every_steps=200, max_bytes=100_000),
    checkpoint=Checkpoint(every_steps=100_000),
)

arms = {name: replace(BASE, tokenizer=name) for name in ("byte", "sp-8k", "sp-16k", "sp-32k")}
study = Study(
    name="vocab-small-cut",
    reference="sp-16k",
    seeds=(0, 1),
    batch_bytes=98_304,
    max_bytes=150_000,
    longest_bytes=16_000,
)
