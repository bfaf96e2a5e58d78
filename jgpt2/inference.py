"""An opened model put to use: evaluated on documents, or made to write.

Connects `jgpt2.runs.open_model` with `jgpt2.evaluate` and `jgpt2.generate`; the command line, the
quickstart and later the server all go through here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jgpt2 import runs
from jgpt2.corpus import records
from jgpt2.evaluate import baseline, bits, suite, windows
from jgpt2.generate import decode, record, sampling, written
from jgpt2.model import sharding

EVALUATION_ROWS = 8
"""Rows of the context's length scored at a time; more where the mesh has more parts."""


def evaluate(
    model: runs.OpenModel,
    documents: Sequence[records.Document],
    *,
    evaluated: str | list[str],
    stride: int | None = None,
    with_documents: bool = False,
    with_xz: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The content of evaluation.json: bits per byte of the documents, overall and by source.

    `evaluated` names the split or the files, for the record. `stride` is that of the windows over
    long documents (None: half the context); `with_xz` sets `xz -9e` of the same documents beside
    it; `report(done, all)` counts windows. Raises InputError when there is no text.
    """
    shape = model.shape
    texts = [(document.id, document.source, document.text) for document in documents]
    with jax.set_mesh(model.mesh):
        scores = bits.score(
            model.graphdef,
            model.params,
            bits.prepare(texts, model.tokenizer),
            model=shape,
            eot=model.tokenizer.eot,
            stride=stride,
            rows=sharding.batch_rows(model.mesh, EVALUATION_ROWS),
            sharding=sharding.batch_sharding(model.mesh),
            report=report,
        )
    return suite.record(
        scores,
        model=model.fingerprint,
        tokenizer=model.tokenizer.fingerprint,
        step=model.step,
        stride=windows.check_stride(shape.context, stride),
        evaluated=evaluated,
        xz=baseline.measure(texts) if with_xz else None,
        with_documents=with_documents,
    )


def generate(
    model: runs.OpenModel,
    prompts: Sequence[str],
    *,
    sampler: sampling.Sampler,
    seed: int = 0,
    min_tokens: int = 0,
    max_tokens: int | None = None,
    show: Callable[[int, str], None] | None = None,
) -> list[record.GeneratedText]:
    """One labelled continuation of each prompt; row i is decided by (seed, i) alone.

    A row ends at EOT, after `max_tokens`, or when the context is full. `show(row, piece)` gets
    whole characters as they are written. Raises InputError when a prompt does not fit the context.
    """
    chunks = decode.stream(
        model.graphdef,
        model.params,
        model.shape,
        [model.tokenizer.encode(prompt) for prompt in prompts],
        eot=model.tokenizer.eot,
        begin=model.tokenizer.begin,
        sampler=sampler,
        seed=seed,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        sharding=sharding.replicated(model.mesh),
    )
    return [
        record.GeneratedText(
            model=model.fingerprint,
            step=model.step,
            tokenizer=model.tokenizer.fingerprint,
            sampler=sampler,
            seed=seed,
            index=index,
            prompt=prompt,
            text=row.text,
            num_tokens=row.num_tokens,
            finish=row.finish,
        )
        for index, (prompt, row) in enumerate(
            zip(prompts, written.collect(chunks, model.tokenizer, show=show), strict=True)
        )
    ]
