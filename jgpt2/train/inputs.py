"""From the names in an experiment to the data of a run: dataset, tokenizer, token store.

The experiment says *which* dataset and vocabulary (names), `Places` says *where* they lie. The
token store is built on first use, inside its dataset's folder: `DATASET/tokens/TOKENIZER`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jgpt2 import config, manifest
from jgpt2.corpus import dataset, records
from jgpt2.data import tokens
from jgpt2.errors import InputError
from jgpt2.evaluate import bits
from jgpt2.tokenizer import load
from jgpt2.train import loop


@dataclass(frozen=True)
class Places:
    """Where names are looked up."""

    datasets: Path = Path("data")
    """Folder of datasets."""
    tokenizers: Path = Path("tokenizers")
    """Folder of tokenizers."""


def gather(
    experiment: config.Experiment,
    places: Places,
    *,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> loop.Inputs:
    """The inputs of a run, its token store built if it is not there yet.

    `report(done, total)` counts bytes of text while the store is built. Raises InputError when a
    name is not found, when dataset, tokenizer and store do not belong together, or when the
    experiment does not divide over the devices.
    """
    folder = places.datasets / experiment.dataset
    if not manifest.exists(folder):
        found = sorted(path.parent.name for path in places.datasets.glob(f"*/{manifest.FILE_NAME}"))
        raise InputError(
            f"no dataset {experiment.dataset!r} in {places.datasets} "
            f"({'found: ' + ', '.join(found) if found else 'which holds none'}); build one with "
            "`jgpt2 corpus build`, or choose with --dataset and --datasets."
        )
    tokenizer_folder = load.find(places.tokenizers, experiment.tokenizer)
    tokenizer = load.load(tokenizer_folder)
    loop.make_mesh(experiment, tokenizer.vocab_size)  # refused before the store, which takes long
    store_folder = store_path(folder, experiment.tokenizer)
    tokens.build(folder, tokenizer_folder, store_folder, workers=workers, report=report)
    validation = _first_documents(
        dataset.open_split(folder, "validation"), experiment.evaluation.max_bytes
    )
    return loop.Inputs(
        store=tokens.open_store(store_folder, tokenizer_fingerprint=tokenizer.fingerprint),
        tokenizer=tokenizer,
        tokenizer_folder=tokenizer_folder,
        validation=bits.prepare(
            [(document.id, document.source, document.text) for document in validation], tokenizer
        ),
    )


def store_path(dataset_folder: Path, tokenizer: str) -> Path:
    """Where the token store of a dataset and a tokenizer's name lies."""
    return dataset_folder / "tokens" / tokenizer


def _first_documents(
    documents: Iterable[records.Document], max_bytes: int | None
) -> list[records.Document]:
    """Whole documents in order while they fit into `max_bytes`; the first one always."""
    chosen: list[records.Document] = []
    num_bytes = 0
    for document in documents:
        num_bytes += document.num_bytes
        if chosen and max_bytes is not None and num_bytes > max_bytes:
            break
        chosen.append(document)
    return chosen
