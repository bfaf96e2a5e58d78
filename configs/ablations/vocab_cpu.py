"""Which vocabulary, in two hours on two CPU cores: byte, 2k to 32k, three bodies, three seeds.

    jgpt2 ablate configs/ablations/vocab_cpu.py --out studies/vocab-cpu

Reads data/ja-open (tokenizers/README.md says how it is made). Bodies of 25k to 0.4M parameters:
what it says of 117M is an extrapolation. 108 short runs, 112 minutes on two cores of an AMD EPYC.
The result: docs/studies/vocab-cpu/.
"""

from dataclasses import replace

from jgpt2.ablation.study import Study
from jgpt2.config import Batch, Budget, Evaluation, Experiment, Model, Optimizer, Schedule

BASE = Experiment(
    name="cpu",
    dataset="ja-open",
    model=Model(layers=2, embed_dim=32, heads=2, context=128, compute_dtype="float32"),
    optimizer=Optimizer(peak_lr=4e-3),
    schedule=Schedule(kind="cosine", warmup=0.1, final_lr=0.05),
    batch=Batch(sequences=32),
    budget=Budget(num_bytes=4_000_000),
    evaluation=Evaluation(max_bytes=50_000),
)
# 12 x 2 layers x width² parameters: 25k, 98k and 393k, each four times the one before.
BODIES = {
    "32": BASE.model,
    "64": replace(BASE.model, embed_dim=64, heads=2),
    "128": replace(BASE.model, embed_dim=128, heads=4),
}

arms = {
    f"{tokenizer} {size}": replace(BASE, tokenizer=tokenizer, model=body)
    for size, body in BODIES.items()
    for tokenizer in ("byte", "sp-2k", "sp-4k", "sp-8k", "sp-16k", "sp-32k")
}
study = Study(
    name="vocab-cpu",
    reference="sp-8k",
    seeds=(0, 1, 2),
    batch_bytes=8_192,
    peak_lrs=(2e-3, 4e-3, 8e-3),
    sweep_share=0.1,
    max_bytes=100_000,
    longest_bytes=4_000,
)
