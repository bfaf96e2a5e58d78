"""What a model has learnt by heart: beginnings of training documents, continued without chance.

A document counts as extracted when the likeliest continuation of its beginning is its own, exactly
(Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", section 3). The test
split, which the model never saw, is the control.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import special

from jgpt2 import manifest, runs
from jgpt2.corpus import dataset as datasets
from jgpt2.corpus import records
from jgpt2.errors import InputError
from jgpt2.generate import decode, sampling
from jgpt2.model import sharding
from jgpt2.tokenizer.base import Tokenizer

FILE_NAME = "memorisation.json"
SPLITS = ("train", "test")
FIGURES = ("n", "extracted", "share", "upper_95")
COLUMNS = ("unit", "span", "split", *FIGURES)
"""Names of what `rows` gives."""
CONFIDENCE = 0.95
BATCH = 32
"""Documents continued at a time."""
_GREEDY = sampling.Sampler(temperature=0)
_SPELLINGS = 2
"""Tokens that a span may take in the model's own spelling, in those of the tokenizer's."""

Unit = Literal["tokens", "chars"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    """How much of a document is given, and how much must be reproduced."""

    unit: Unit
    prompt: int = 50
    span: int = 50

    def __post_init__(self) -> None:
        if min(self.prompt, self.span) < 1:
            raise InputError(
                f"a prompt of {self.prompt} and a span of {self.span} {self.unit} cannot be "
                "probed; give 1 or more of each."
            )


class _Case(NamedTuple):
    """One document's beginning and what follows it."""

    prompt: Int[np.ndarray, " tokens"]
    span: Int[np.ndarray, " tokens"]
    text: str
    """What the span reads, in characters alone."""


def probe(
    model: runs.OpenModel,
    dataset: Path,
    lengths: Sequence[Lengths],
    *,
    prompts: int = 1000,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """By unit and split: documents probed, those extracted, and the share's 95% upper bound.

    As many documents as `prompts` are drawn by `seed` from those that are long enough, or all.
    Raises InputError where a prompt and its span do not fit the context, or none is long enough.
    """
    if prompts < 1:
        raise InputError(f"prompts={prompts} probes nothing; give 1 or more.")
    todo = len(lengths) * len(SPLITS) * prompts
    told: dict[str, Any] = {}
    for place, of in enumerate(lengths):
        by_split: dict[str, Any] = {}
        for number, split in enumerate(SPLITS):
            cases, short = _draw(datasets.open_split(dataset, split), model, of, prompts, seed)
            if not cases:
                raise InputError(
                    f"no document of {split} has {of.prompt + of.span} {of.unit}; give a shorter "
                    f"--prompt-{of.unit} and --span-{of.unit}."
                )
            copied = 0
            for start in range(0, len(cases), BATCH):
                copied += sum(_extracted(model, cases[start : start + BATCH], of))
                if report is not None:
                    report((place * len(SPLITS) + number) * prompts + start, todo)
            by_split[split] = _figures(copied, len(cases)) | {"too_short": short}
        told[of.unit] = {"prompt": of.prompt, "span": of.span, **by_split}
    return told


def rows(told: dict[str, Any]) -> list[tuple[str | int | float, ...]]:
    """The table of what `probe` gives."""
    return [
        (unit, of["span"], split, *(of[split][key] for key in FIGURES))
        for unit, of in told.items()
        for split in SPLITS
    ]


def require_trained_on(run: Path, dataset: Path) -> manifest.Manifest:
    """The dataset's manifest; InputError where the run was not trained on it."""
    described = manifest.read(dataset, kind="dataset")
    if described.fingerprint not in manifest.read(run).parents.values():
        raise InputError(
            f"{run} was not trained on {dataset} (fingerprint {described.fingerprint[:12]}), so "
            "that nothing of it can be remembered; give the dataset it was trained on."
        )
    return described


def upper_bound(copied: int, n: int) -> float:
    """The largest share that `copied` of `n` leave likely, one-sided (Clopper and Pearson 1934).

    With none copied it is about 3 / n, the rule of three.

    >>> round(upper_bound(0, 1000), 5), round(upper_bound(3, 3), 5)
    (0.00299, 1.0)
    """
    return 1.0 if copied == n else float(special.betaincinv(copied + 1, n - copied, CONFIDENCE))


def _draw(
    documents: Sequence[records.Document],
    model: runs.OpenModel,
    lengths: Lengths,
    wanted: int,
    seed: int,
) -> tuple[list[_Case], int]:
    """Up to `wanted` cases in an order drawn by the seed, and how many documents were too short."""
    cases: list[_Case] = []
    short = 0
    for index in np.random.default_rng(seed).permutation(len(documents)):
        if len(cases) == wanted:
            break
        case = _case(documents[int(index)].text, model.tokenizer, lengths)
        if case is None:
            short += 1
            continue
        _require_room(case, model.shape.context, lengths)
        cases.append(case)
    return cases, short


def _case(text: str, tokenizer: Tokenizer, lengths: Lengths) -> _Case | None:
    """A document cut after its prompt; None where it is too short."""
    end = lengths.prompt + lengths.span
    if lengths.unit == "chars":
        if len(text) < end:
            return None
        span = text[lengths.prompt : end]
        prompt = tokenizer.encode(text[: lengths.prompt])
        return _Case(prompt, tokenizer.encode(span), span)
    ids = tokenizer.encode(text)
    if len(ids) < end:
        return None
    return _Case(ids[: lengths.prompt], ids[lengths.prompt : end], "")


def _budget(case: _Case, lengths: Lengths) -> int:
    """Tokens in which the model may write the span: in characters it may spell it otherwise."""
    if lengths.unit == "tokens":
        return len(case.span)
    return min(_SPELLINGS * len(case.span), len(case.text.encode()))


def _require_room(case: _Case, context: int, lengths: Lengths) -> None:
    needed = len(case.prompt) + _budget(case, lengths)
    if needed > context:
        raise InputError(
            f"a prompt of {lengths.prompt} {lengths.unit} and its span of {lengths.span} take "
            f"{needed} tokens, but the context holds {context}; give a shorter "
            f"--prompt-{lengths.unit} or --span-{lengths.unit}."
        )


def _extracted(model: runs.OpenModel, cases: Sequence[_Case], lengths: Lengths) -> Iterator[bool]:
    """Of each case, whether the likeliest continuation is the document's own."""
    rows = decode.generate(
        model.graphdef,
        model.params,
        model.shape,
        [case.prompt for case in cases],
        begin=model.tokenizer.begin,
        eot=model.tokenizer.eot,
        sampler=_GREEDY,
        seed=0,
        max_tokens=max(_budget(case, lengths) for case in cases),
        sharding=sharding.replicated(model.mesh),
    )
    for case, row in zip(cases, rows, strict=True):
        if lengths.unit == "tokens":
            yield np.array_equal(row.ids, case.span)
        else:
            yield model.tokenizer.decode(row.ids).startswith(case.text)


def _figures(copied: int, n: int) -> dict[str, Any]:
    return dict(zip(FIGURES, (n, copied, copied / n, upper_bound(copied, n)), strict=True))
