"""The 117M study: byte, 8k to 50k at GPT-2 small, and two smaller bodies for the trend.

    jgpt2 ablate configs/ablations/vocab_small.py --out gs://BUCKET/studies/vocab-small
    jgpt2 launch vm babysit ... -- jgpt2 ablate configs/ablations/vocab_small.py --out gs://...

For one GPU or a v5e-8: 198 runs, 3.6e19 FLOPs in all, 16 hours of a v5e-8 at 40% of its peak
(`--dry-run` says what it is on the devices at hand). Reads a dataset `ja` of 3 GB or more. It has
not been run to its end here: its result is not known yet.
"""

from dataclasses import replace

from jgpt2.ablation.study import Decision, Study
from jgpt2.config import Batch, Budget, Evaluation, Experiment, Model, Optimizer, Schedule
from jgpt2.model import sizes

BASE = Experiment(
    name="small",
    dataset="ja",
    model=sizes.SMALL,
    optimizer=Optimizer(peak_lr=6e-4),
    schedule=Schedule(kind="wsd", warmup=0.02, decay=0.2, final_lr=0.0),
    batch=Batch(sequences=256),
    budget=Budget(num_bytes=3_000_000_000),
    evaluation=Evaluation(max_bytes=1_000_000),
)
# Blocks of 9.4M, 28M and 85M parameters; each sees 35 bytes of text for a parameter of its body.
BODIES = {
    "9M": (Model(layers=3, embed_dim=512, heads=8), 330_000_000),
    "28M": (Model(layers=9, embed_dim=512, heads=8), 1_000_000_000),
    "85M": (sizes.SMALL, 3_000_000_000),
}

arms = {
    f"{tokenizer} {size}": replace(
        BASE, tokenizer=tokenizer, model=body, budget=Budget(num_bytes=num_bytes)
    )
    for size, (body, num_bytes) in BODIES.items()
    for tokenizer in ("byte", "sp-4k", "sp-8k", "sp-16k", "sp-32k", "sp-50k")
}
study = Study(
    name="vocab-small",
    reference="sp-16k",
    controls=("iso_flop", "iso_byte", "iso_parameter"),
    seeds=(0, 1, 2),
    batch_bytes=500_000,
    batch_multiple=8,
    peak_lrs=(3e-4, 6e-4, 1.2e-3),
    sweep_share=0.1,
    max_bytes=4_000_000,
    longest_bytes=64_000,
    predict=("small", "medium"),
    decision=Decision(body="12x768"),
)
