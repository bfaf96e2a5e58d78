"""Which vocabulary, in a quarter of an hour on two CPU cores: byte, 4k, 8k, 16k, two tiny bodies.

    jgpt2 ablate configs/ablations/vocab_tiny.py --out studies/vocab-tiny

Reads data/ja-open (tokenizers/README.md says how it is made). A rehearsal of the whole walk: bodies
of 0.1M and 0.4M parameters say nothing about 117M.
"""

from dataclasses import replace

from jgpt2.ablation.study import Study
from jgpt2.config import Batch, Budget, Evaluation, Experiment, Model, Optimizer, Schedule

BASE = Experiment(
    name="tiny",
    dataset="ja-open",
    model=Model(layers=2, embed_dim=64, heads=2, context=128, compute_dtype="float32"),
    optimizer=Optimizer(peak_lr=4e-3),
    schedule=Schedule(kind="cosine", warmup=0.1, final_lr=0.05),
    batch=Batch(sequences=32),
    budget=Budget(num_bytes=1_000_000),
    evaluation=Evaluation(max_bytes=50_000),
)
BODIES = {"64": BASE.model, "128": replace(BASE.model, embed_dim=128, heads=4)}

arms = {
    f"{tokenizer} {size}": replace(BASE, tokenizer=tokenizer, model=body)
    for size, body in BODIES.items()
    for tokenizer in ("byte", "sp-4k", "sp-8k", "sp-16k")
}
study = Study(
    name="vocab-tiny",
    reference="sp-8k",
    seeds=(0, 1),
    batch_bytes=8_192,
    max_bytes=60_000,
    longest_bytes=4_000,
)
