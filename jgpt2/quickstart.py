"""The whole walk on a small scale: text, dataset, two vocabularies, two models, a comparison.

Both models see the same number of bytes of the same documents in batches of the same number of
bytes, so that their bits per byte can be compared. Every finished part is kept: run again after an
interruption, the walk goes on where it stopped.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import jgpt2
from jgpt2 import compilation, config, inference, manifest, progress, quickstart_report, runs
from jgpt2.corpus import build, dataset
from jgpt2.errors import InputError
from jgpt2.generate import sampling
from jgpt2.model import count
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs, loop

SAMPLE = Path(jgpt2.__file__).parent / "sample"
PROMPTS = ("朝の港には、", "「すみません、", "次の手順で")
SAMPLER = sampling.Sampler(temperature=0.8, top_k=40, top_p=0.95)
MODEL = config.Model(layers=4, embed_dim=128, heads=4, context=256, compute_dtype="float32")
TRAINING_BYTES = 1_000_000
BATCH_BYTES = 8_192
"""Bytes of text in one step, whatever the vocabulary: equal bytes are then equal steps too."""


def run(out: Path, text: Sequence[Path], *, vocab_size: int) -> int:
    """Makes dataset/, tokenizers/, runs/byte, runs/sentencepiece and report.html in `out`.

    `text` holds the user's own files; the sample corpus if empty. Returns the exit code: 0, or
    that of a training run that was stopped.
    """
    started_s = time.monotonic()
    compilation.enable_cache()
    _claim(out, text, vocab_size)
    _build_dataset(out, text)
    _train_tokenizers(out, vocab_size)
    arms = []
    for name in ("byte", "sentencepiece"):
        exit_code = _train(out, name)
        if exit_code:
            return exit_code
        arms.append(_evaluate(out, name))
    quickstart_report.write(out / "report.html", arms)
    print(quickstart_report.summary(arms))
    print(f"\n{time.monotonic() - started_s:.0f} s; everything is in {out}, see {out}/report.html")
    return 0


def _claim(out: Path, text: Sequence[Path], vocab_size: int) -> None:
    """Takes the folder for this walk, or finds that it was taken for the very same one."""
    wanted = {"text": [str(path.resolve()) for path in text], "vocab_size": vocab_size}
    claim = out / "quickstart.json"
    if claim.is_file():
        if json.loads(claim.read_text("utf-8")) != wanted:
            raise InputError(
                f"{out} holds a quickstart of other text or another vocabulary size; give another "
                "--out, or remove it."
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; give --out a folder that does not exist.")
    else:
        manifest.write_text(claim, json.dumps(wanted, ensure_ascii=False) + "\n")


def _build_dataset(out: Path, text: Sequence[Path]) -> None:
    if manifest.exists(out / "dataset"):
        return
    with progress.of_work("dataset", "bytes") as report:
        built = build.build(
            list(text) or [SAMPLE],
            out / "dataset",
            name="quickstart",
            validation_share=0.05,
            test_share=0.1,
            report=report,
        )
    progress.say(
        f"dataset: {built.notes['num_documents']:,} documents, {built.notes['num_bytes']:,} bytes"
    )


def _train_tokenizers(out: Path, vocab_size: int) -> None:
    tokenizers = out / "tokenizers"
    if not manifest.exists(tokenizers / "byte"):
        tokenizer_train.train([], tokenizers / "byte", name="byte", kind="byte")
    if not manifest.exists(tokenizers / "sentencepiece"):
        train = dataset.open_split(out / "dataset", "train")
        tokenizer_train.train(
            ((document.source, document.text) for document in train),
            tokenizers / "sentencepiece",
            name="sentencepiece",
            kind="unigram",
            vocab_size=vocab_size,
            parents={"dataset": manifest.read(out / "dataset", kind="dataset").fingerprint},
        )
        progress.say(f"tokenizers: byte (257 ids), sentencepiece ({vocab_size:,} ids)")


def _train(out: Path, name: str) -> int:
    places = inputs.Places(datasets=out, tokenizers=out / "tokenizers")
    with progress.of_work("tokenizing", "bytes") as report:
        gathered = inputs.gather(_experiment(name, 1), places, report=report)
    training = gathered.store.split("train")
    bytes_per_row = MODEL.context * training.num_bytes / training.num_tokens
    experiment = _experiment(name, max(1, round(BATCH_BYTES / bytes_per_row)))
    return loop.train(experiment, gathered, out / "runs" / name)


def _experiment(name: str, sequences: int) -> config.Experiment:
    return config.Experiment(
        name=name,
        dataset="dataset",
        tokenizer=name,
        model=MODEL,
        optimizer=config.Optimizer(peak_lr=3e-3),
        schedule=config.Schedule(warmup=0.1),
        batch=config.Batch(sequences=sequences),
        budget=config.Budget(num_bytes=TRAINING_BYTES),
        evaluation=config.Evaluation(every_steps=25),
        checkpoint=config.Checkpoint(every_steps=50, keep_last=1),
    )


def _evaluate(out: Path, name: str) -> quickstart_report.Arm:
    run = out / "runs" / name
    model = runs.open_model(run)
    evaluation = inference.evaluate(
        model,
        list(dataset.open_split(out / "dataset", "test")),
        evaluated=f"test of {manifest.read(out / 'dataset', kind='dataset').fingerprint}",
        with_xz=True,
    )
    manifest.write_text(
        run / runs.EVALUATION, json.dumps(evaluation, ensure_ascii=False, indent=2) + "\n"
    )
    samples = inference.generate(model, PROMPTS, sampler=SAMPLER, max_tokens=MODEL.context // 2)
    records = [sample.record() for sample in samples]
    manifest.write_text(
        run / runs.SAMPLES, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records)
    )
    return quickstart_report.Arm(
        name=name,
        vocab_size=model.tokenizer.vocab_size,
        num_parameters=count.parameters(MODEL, model.tokenizer.vocab_size),
        metrics=runs.metrics(run),
        evaluation=evaluation,
        samples=records,
    )
