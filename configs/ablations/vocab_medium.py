"""The 345M verification: the two vocabularies between which the smaller study leaves the choice.

    jgpt2 ablate configs/ablations/vocab_medium.py --out gs://BUCKET/studies/vocab-medium

Put the vocabulary that `vocab_small.py` predicts and the one it found best at 117M into
VOCABULARIES before the first run. 6 runs, 2.8e19 FLOPs: 6 hours of a v5e-16 at 40% of its peak. It
has not been run here: its result is not known yet.
"""

from dataclasses import replace

from jgpt2.ablation.study import Study
from jgpt2.config import Batch, Budget, Evaluation, Experiment, Optimizer, Schedule
from jgpt2.model import sizes

VOCABULARIES = ("sp-16k", "sp-32k")

BASE = Experiment(
    name="medium",
    dataset="ja",
    model=sizes.MEDIUM,
    optimizer=Optimizer(peak_lr=3e-4),
    schedule=Schedule(kind="wsd", warmup=0.02, decay=0.2, final_lr=0.0),
    batch=Batch(sequences=256),
    budget=Budget(num_bytes=10_000_000_000),
    evaluation=Evaluation(max_bytes=1_000_000),
)

arms = {tokenizer: replace(BASE, tokenizer=tokenizer) for tokenizer in VOCABULARIES}
study = Study(
    name="vocab-medium",
    reference=VOCABULARIES[0],
    controls=("iso_flop", "iso_byte"),
    seeds=(0, 1),
    batch_bytes=2_000_000,
    batch_multiple=16,
    max_bytes=4_000_000,
    longest_bytes=64_000,
    fit_without=(),
)
