"""What all runs of a study share: token stores and vocabularies, and the documents measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jgpt2 import manifest
from jgpt2.ablation import controls
from jgpt2.ablation import study as studies
from jgpt2.corpus import dataset, records
from jgpt2.data import mixture
from jgpt2.errors import InputError
from jgpt2.processes import Group
from jgpt2.train import inputs, setup

_RARE_BYTES = 20_000_000
"""Of the training text, read to find which characters are common."""


@dataclass(frozen=True)
class Material:
    """The data of a study, found and checked before the first run."""

    places: inputs.Places
    """Where the names were found."""
    vocabularies: dict[str, controls.Vocabulary]
    """Tokenizer -> the facts that the plan needs."""
    datasets: dict[str, str]
    """Dataset -> its fingerprint."""
    documents: tuple[records.Document, ...]
    """Those that are measured."""
    inputs: dict[str, setup.Inputs]
    """Tokenizer -> what a run with it is trained on."""

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """What the names in the plan stand for."""
        return {
            "datasets": self.datasets,
            "tokenizers": {name: one.fingerprint for name, one in self.vocabularies.items()},
        }

    def training_texts(self) -> Iterator[str]:
        """The first texts of the training splits, as many as show which characters are common."""
        left = _RARE_BYTES
        for name in self.datasets:
            for document in dataset.open_split(self.places.datasets / name, "train"):
                if left < 0:
                    return
                left -= document.num_bytes
                yield document.text


def gather(
    plan: studies.Plan,
    places: inputs.Places,
    *,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
    group: Group | None = None,
) -> Material:
    """Finds datasets and tokenizers, and builds the token stores that are missing.

    Raises InputError where a name is not found or no document is left to measure.
    """
    by_tokenizer = {}
    for arm in plan.arms.values():
        if arm.tokenizer not in by_tokenizer:
            by_tokenizer[arm.tokenizer] = inputs.gather(
                arm, places, workers=workers, report=report, group=group
            )
    weights = next(iter(plan.arms.values())).weights
    folders = {name: places.datasets / name for name in weights}
    described = {name: manifest.read(folder, kind="dataset") for name, folder in folders.items()}
    shares = dict(zip(weights, mixture.byte_shares(weights.values()), strict=True))
    chars_per_byte = 0.0
    for name, share in shares.items():
        counts = described[name].notes["splits"]["train"]
        chars_per_byte += float(share) * counts["num_chars"] / counts["num_bytes"]
    return Material(
        inputs=by_tokenizer,
        vocabularies={
            name: controls.Vocabulary(
                name=name,
                fingerprint=one.tokenizer.fingerprint,
                vocab_size=one.tokenizer.vocab_size,
                bytes_per_token=mixture.training(weights, one.stores).bytes_per_token,
                chars_per_byte=chars_per_byte,
            )
            for name, one in by_tokenizer.items()
        },
        datasets={name: one.fingerprint for name, one in described.items()},
        documents=tuple(
            document
            for name, share in shares.items()
            for document in _measured(plan.study, places, name, float(share))
        ),
        places=places,
    )


def _measured(
    study: studies.Study, places: inputs.Places, name: str, share: float
) -> list[records.Document]:
    """Whole documents of the split in their order, short enough and within the bytes."""
    most = None if study.max_bytes is None else study.max_bytes * share
    chosen: list[records.Document] = []
    num_bytes = 0
    for document in dataset.open_split(places.datasets / name, study.split):
        if study.longest_bytes is not None and document.num_bytes > study.longest_bytes:
            continue
        num_bytes += document.num_bytes
        if most is not None and num_bytes > most:
            break
        chosen.append(document)
    if not chosen:
        raise InputError(
            f"the split {study.split} of {name} has no document within study.max_bytes="
            f"{study.max_bytes} and study.longest_bytes={study.longest_bytes}; raise them."
        )
    return chosen
