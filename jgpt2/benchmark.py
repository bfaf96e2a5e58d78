"""What this machine does with a config: training, decoding, tokenising and loading, measured.

Needs no dataset: training and decoding take random ids and fresh weights, which cost what others
do; tokenising and loading take the shipped sample corpus. Seconds are wall seconds; compilation is
told apart from them, and the first repetition after it is not counted.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jgpt2
from jgpt2 import chips, config, machine, manifest
from jgpt2.corpus import build
from jgpt2.corpus.reading import read
from jgpt2.data import loader, mixture, tokens
from jgpt2.errors import InputError
from jgpt2.generate import decode, sampling
from jgpt2.model import count, gpt2, sharding
from jgpt2.tokenizer import load
from jgpt2.tokenizer.base import Tokenizer
from jgpt2.train import budget, pace

WHAT = ("train", "decode", "tokenise", "load")
"""What can be measured, in this order."""

LIBRARIES = ("flax", "grain", "jax", "jaxlib", "numpy", "optax", "sentencepiece")
SAMPLE = Path(jgpt2.__file__).parent / "sample"
DECODED_ROWS = (1, 8)
PROMPT_TOKENS = 32
NEW_TOKENS = 128
SAMPLER = sampling.Sampler(top_k=40)
LOADED_STEPS = 32
MFU = (
    "model FLOPs (6 per weight of a matrix product, tied head included, and 6·N·D·T of causal "
    "attention, per token) x tokens/s / peak dense bf16 FLOP/s of the devices"
)


def measure(
    experiment: config.Experiment,
    tokenizer_folder: Path,
    *,
    what: Sequence[str] = WHAT,
    repetitions: int = 5,
) -> dict[str, Any]:
    """The figures of `what`, with all that is needed to read them, ready for JSON.

    Raises InputError when there is nothing to measure, when the model does not divide over the
    devices, or when the context is too short to decode in.
    """
    _check(experiment.model, what, repetitions)
    tokenizer = load.load(tokenizer_folder)
    measured: Mapping[str, Callable[[], dict[str, Any]]] = {
        "train": lambda: _train(experiment, tokenizer, repetitions),
        "decode": lambda: _decode(experiment, tokenizer, repetitions),
        "tokenise": lambda: _tokenise(tokenizer, repetitions),
        "load": lambda: _load(experiment, tokenizer_folder, repetitions),
    }
    return {
        "config": experiment.name,
        "model": vars(experiment.model),
        "parameters": count.parameters(experiment.model, tokenizer.vocab_size),
        "tokenizer": {"name": tokenizer.name, "vocab_size": tokenizer.vocab_size},
        "devices": {"kind": jax.devices()[0].device_kind, "number": jax.device_count()},
        "machine": machine.describe(LIBRARIES),
        **{name: measured[name]() for name in WHAT if name in what},
    }


def _check(model: config.Model, what: Sequence[str], repetitions: int) -> None:
    if not what:
        raise InputError(f"nothing to measure; choose of {', '.join(WHAT)} by --what.")
    if repetitions < 1:
        raise InputError(f"repetitions={repetitions} measures nothing; choose 1 or more.")
    if "decode" in what and model.context < 4:
        raise InputError(
            f"model.context={model.context} is too short to decode in; choose 4 or more, or leave "
            "decode out of --what."
        )


def _train(experiment: config.Experiment, tokenizer: Tokenizer, repetitions: int) -> dict[str, Any]:
    """Optimizer steps on random rows, without a loader."""
    taken = pace.measure(experiment, tokenizer, repetitions)
    num_tokens = budget.tokens_per_step(experiment)
    flops = num_tokens * count.flops_per_token(experiment.model, tokenizer.vocab_size)
    devices = sharding.make_mesh(experiment.mesh).devices
    peak = chips.peak_flops(devices.flat[0].device_kind)
    return {
        "what": "optimizer steps on random ids, without a loader",
        "sequences": experiment.batch.sequences,
        "context": experiment.model.context,
        "compile_s": round(taken.compile_s, 3),
        "step_s": machine.spread(taken.step_s),
        "tokens_per_s": machine.spread([num_tokens / step_s for step_s in taken.step_s]),
        "flops_per_step": flops,
        "mfu": None if peak is None else round(flops / taken.median_s / (peak * devices.size), 4),
        "mfu_is": MFU,
    }


def _decode(
    experiment: config.Experiment, tokenizer: Tokenizer, repetitions: int
) -> dict[str, Any]:
    """Continuations of random prompts by fresh weights, every row to its full length."""
    model = experiment.model
    graphdef, _ = gpt2.abstract(model, tokenizer.vocab_size)
    params = jax.jit(lambda: gpt2.create(model, tokenizer.vocab_size, experiment.seed)[1])()
    prompt = min(PROMPT_TOKENS, model.context // 2)
    new = min(NEW_TOKENS, model.context - prompt)
    random = np.random.default_rng(0)

    def row(batch: int) -> dict[str, Any]:
        prompts = list(random.integers(0, tokenizer.vocab_size, (batch, prompt)))

        def chunks(max_tokens: int) -> float:
            started_s = time.perf_counter()
            parts = decode.stream(
                graphdef,
                params,
                model,
                prompts,
                eot=tokenizer.eot,
                sampler=SAMPLER,
                seed=0,
                min_tokens=max_tokens,
                max_tokens=max_tokens,
            )
            drawn = sum(len(each.ids) for rows in parts for each in rows)
            assert drawn == batch * max_tokens
            return time.perf_counter() - started_s

        compile_s = chunks(new)
        seconds = [chunks(new) for _ in range(repetitions)]
        return {
            "rows": batch,
            "first_run_s": round(compile_s, 3),
            "tokens_per_s": machine.spread([batch * new / taken_s for taken_s in seconds]),
            "ms_per_token": machine.spread([taken_s / new * 1e3 for taken_s in seconds]),
        }

    return {
        "what": "new tokens of random prompts, prefill included; the first run compiles",
        "prompt_tokens": prompt,
        "new_tokens": new,
        "top_k": SAMPLER.top_k,
        "batches": [row(batch) for batch in DECODED_ROWS],
    }


def _tokenise(tokenizer: Tokenizer, repetitions: int) -> dict[str, Any]:
    """The sample corpus, document by document, into ids and back."""
    texts = [document.text for document in read.documents([SAMPLE])]
    num_bytes = sum(len(text.encode()) for text in texts)
    ids = tokenizer.encode_batch(texts)

    def rates(work: Callable[[], object]) -> dict[str, Any]:
        values = []
        for _ in range(repetitions):
            started_s = time.perf_counter()
            work()
            values.append(num_bytes / 1e6 / (time.perf_counter() - started_s))
        return machine.spread(values)

    return {
        "what": "UTF-8 text of the sample corpus, in MB (10^6 bytes) a second",
        "documents": len(texts),
        "bytes": num_bytes,
        "encode_mb_per_s": rates(lambda: tokenizer.encode_batch(texts)),
        "decode_mb_per_s": rates(lambda: [tokenizer.decode(row) for row in ids]),
    }


def _load(
    experiment: config.Experiment, tokenizer_folder: Path, repetitions: int
) -> dict[str, Any]:
    """Batches of the sample corpus as training takes them: order, gathering and prefetching."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, store = Path(folder, "dataset"), Path(folder, "store")
        build.build([SAMPLE], dataset, name="sample")
        tokens.build(dataset, tokenizer_folder, store)
        fingerprint = manifest.read(tokenizer_folder, kind="tokenizer").fingerprint
        stream = tokens.open_store(store, tokenizer_fingerprint=fingerprint).split("train")
        sequences, context = experiment.batch.sequences, experiment.model.context
        rates = []
        for repetition in range(repetitions + 1):
            started_s = time.perf_counter()
            batches = loader.batches(
                mixture.alone(stream),
                context=context,
                sequences=sequences,
                seed=repetition,
                first_step=0,
            )
            for _ in range(LOADED_STEPS):
                next(batches)
            taken_s = time.perf_counter() - started_s
            rates.append(LOADED_STEPS * sequences * context / taken_s)
            del batches
    return {
        "what": "training rows of the sample corpus, from the first on",
        "sequences": sequences,
        "context": context,
        "steps": LOADED_STEPS,
        "tokens_per_s": machine.spread(rates[1:]),
    }
