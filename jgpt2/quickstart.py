"""The whole walk on a small scale: text, dataset, two vocabularies, two models, a comparison.

Both models see the same number of bytes of the same documents in batches of the same number of
bytes, so that their bits per byte can be compared. Every finished part is kept: run again after an
interruption, the walk goes on where it stopped.
"""

import contextlib
import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import jgpt2
from jgpt2 import compilation, config, inference, manifest, progress, quickstart_report, runs
from jgpt2.corpus import build, dataset
from jgpt2.data import mixture
from jgpt2.errors import InputError
from jgpt2.generate import sampling
from jgpt2.model import count
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs, loop

SAMPLE = Path(jgpt2.__file__).parent / "sample"
ARMS = ("byte", "sentencepiece")
"""Names of the tokenizers and of the runs."""
VALIDATION_SHARE = 0.05
TEST_SHARE = 0.1
PROMPTS = ("朝の港には、", "「すみません、", "次の手順で")
SAMPLER = sampling.Sampler(temperature=0.8, top_k=40, top_p=0.95)
MODEL = config.Model(layers=4, embed_dim=128, heads=4, context=256, compute_dtype="float32")
TRAINING_BYTES = 1_000_000
BATCH_BYTES = 2_048
"""Bytes of text in one step, about, whatever the vocabulary: equal bytes are then equal steps."""


def run(out: Path, text: Sequence[Path], *, vocab_size: int) -> int:
    """Makes dataset/, tokenizers/, runs/byte, runs/sentencepiece and report.html in `out`.

    `text` holds the user's own files; the sample corpus if empty. Returns the exit code: 0, or
    that of a training run that was stopped. Raises InputError when `out` holds anything else, such
    as a quickstart of other text or another `vocab_size`.
    """
    started_s = time.monotonic()
    compilation.enable_cache()
    _check(out, text, vocab_size)
    _build_dataset(out, text)
    _train_tokenizers(out, vocab_size)
    arms = []
    for name in ARMS:
        exit_code = _train(out, name)
        if exit_code:
            progress.say("stopped; the same command goes on from there")
            return exit_code
        arms.append(_evaluate(out, name))
    report = out / "report.html"
    quickstart_report.write(report, arms, commands=_commands(out, text, vocab_size))
    seconds = time.monotonic() - started_s
    print(quickstart_report.summary(arms))
    print(f"\n{seconds:.0f} s. Everything is in {out}; open {report} in a browser.")
    return 0


def _check(out: Path, text: Sequence[Path], vocab_size: int) -> None:
    """Refuses a folder that holds anything but this walk, finished or not."""
    claim = out / "quickstart.json"
    if not claim.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is not an empty folder; give --out one that does not exist.")
        return
    wanted = _claim(text)
    if json.loads(claim.read_text("utf-8")) != wanted:
        raise InputError(
            f"{out} holds a quickstart of other text, not of {', '.join(wanted['text'])}; give "
            "another --out, or remove that folder."
        )
    vocabulary = out / "tokenizers" / "sentencepiece"
    if manifest.exists(vocabulary):
        made = manifest.read(vocabulary, kind="tokenizer").identity["vocab_size"]
        if made != vocab_size:
            raise InputError(
                f"{out} holds a quickstart with --vocab-size {made}, not {vocab_size}; give that "
                "one, another --out, or remove the folder."
            )


def _claim(text: Sequence[Path]) -> dict[str, Any]:
    return {"text": [str(path.resolve()) for path in text or [SAMPLE]]}


def _build_dataset(out: Path, text: Sequence[Path]) -> None:
    if not manifest.exists(out / "dataset"):
        claim = out / "quickstart.json"
        manifest.write_text(claim, json.dumps(_claim(text), ensure_ascii=False) + "\n")
        try:
            with progress.of_work("reading", "bytes") as report:
                build.build(
                    list(text) or [SAMPLE],
                    out / "dataset",
                    name="quickstart",
                    recipe=build.Recipe(validation_share=VALIDATION_SHARE, test_share=TEST_SHARE),
                    documents=out / "documents",
                    told=report,
                )
        finally:
            if not manifest.exists(out / "dataset"):
                claim.unlink()
                with contextlib.suppress(OSError):  # held other folders, or was there before
                    out.rmdir()
    notes = manifest.read(out / "dataset", kind="dataset").notes
    progress.say(f"dataset: {notes['num_documents']:,} documents, {notes['num_bytes']:,} bytes")


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
    progress.say(f"vocabularies: byte (257 ids), sentencepiece ({vocab_size:,} ids)")


def _train(out: Path, name: str) -> int:
    places = inputs.Places(datasets=out, tokenizers=out / "tokenizers")
    devices = jax.device_count()  # each takes as many rows as the others
    with progress.of_work("tokenizing", "bytes") as report:
        gathered = inputs.gather(_experiment(name, devices), places, report=report)
    training = mixture.training(_experiment(name, devices).weights, gathered.stores)
    bytes_per_row = MODEL.context * training.bytes_per_token
    sequences = devices * max(1, round(BATCH_BYTES / bytes_per_row / devices))
    return loop.train(_experiment(name, sequences), gathered, out / "runs" / name)


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
        evaluation=config.Evaluation(every_steps=50),
        checkpoint=config.Checkpoint(every_steps=100),
    )


def _evaluate(out: Path, name: str) -> quickstart_report.Arm:
    run = out / "runs" / name
    model = runs.open_model(run)
    with progress.of_work(f"evaluating {name}", "windows") as report:
        evaluation = inference.evaluate(
            model,
            list(dataset.open_split(out / "dataset", "test")),
            evaluated=f"test of {manifest.read(out / 'dataset', kind='dataset').fingerprint}",
            with_xz=True,
            report=report,
        )
    manifest.write_json(run / runs.EVALUATION, evaluation)
    samples = inference.generate(model, PROMPTS, sampler=SAMPLER, max_tokens=_max_tokens())
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


def _max_tokens() -> int:
    return MODEL.context // 2


def _commands(out: Path, text: Sequence[Path], vocab_size: int) -> list[str]:
    """The walk as one command, then the commands that make the same by hand, part by part."""
    data, tokenizers = out / "dataset", out / "tokenizers"
    shares = ["--validation-share", VALIDATION_SHARE, "--test-share", TEST_SHARE]
    learnt = ["--kind", "unigram", "--vocab-size", vocab_size, "--dataset", data]
    commands = [
        ["quickstart", "--out", out, "--vocab-size", vocab_size, *(["--text", *text] * bool(text))],
        ["corpus", "build", *(text or [SAMPLE]), "--out", data, "--name", "quickstart", *shares],
        ["tokenizer", "train", "--kind", "byte", "--out", tokenizers / "byte"],
        ["tokenizer", "train", *learnt, "--out", tokenizers / "sentencepiece"],
    ]
    sampled = ["--temperature", SAMPLER.temperature, "--top-k", SAMPLER.top_k]
    sampled += ["--top-p", SAMPLER.top_p, "--max-tokens", _max_tokens()]
    prompts = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    for run in (out / "runs" / name for name in ARMS):
        places = ["--run", run, "--datasets", out, "--tokenizers", tokenizers]
        commands += [
            ["train", run / runs.CONFIG, *places],
            ["evaluate", run, "--dataset", data, "--xz"],
            ["generate", run, *prompts, *sampled],
        ]
    return [shlex.join(map(str, ["jgpt2", *command])) for command in commands]
