"""From the names in an experiment to the data of a run: datasets, tokenizer, token stores.

The experiment says *which* datasets and vocabulary (names), `Places` says *where* they lie. A
token store is built on first use, inside its dataset's folder: `DATASET/tokens/TOKENIZER`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jgpt2 import config, manifest, runs, storage
from jgpt2.corpus import dataset, records
from jgpt2.data import mixture, tokens
from jgpt2.errors import DamageError, InputError
from jgpt2.evaluate import bits
from jgpt2.processes import Group
from jgpt2.tokenizer import load
from jgpt2.train import setup, start

_LONGEST_BUILD_S = 7 * 24 * 3600
"""No limit in practice: who waits hears at once when the process that builds ends."""


@dataclass(frozen=True)
class Places:
    """Where names are looked up."""

    datasets: Path = Path("data")
    """Folder of datasets."""
    tokenizers: Path = Path("tokenizers")
    """Folder of tokenizers."""
    start: Path | None = None
    """Folder of the model that a fine-tuning starts from, with its vocabulary."""


def gather(
    experiment: config.Experiment,
    places: Places,
    *,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
    group: Group | None = None,
) -> setup.Inputs:
    """The inputs of a run, its token stores built if they are not there yet.

    `report(done, total)` counts bytes of text while stores are built. Of a group, process 0 builds
    first; the others find its stores, or build their own where they see another disk. Raises
    InputError when a name is not found, when dataset, tokenizer and store do not belong together,
    or when the experiment does not divide over the devices.
    """
    folders = {name: dataset_folder(places, name) for name in experiment.weights}
    started = start.find(experiment, places.start)
    tokenizer_folder = (
        load.find(places.tokenizers, experiment.tokenizer)
        if started is None
        else started.folder / runs.TOKENIZER
    )
    tokenizer = load.load(tokenizer_folder)
    setup.make_mesh(experiment, tokenizer.vocab_size)  # refused before the stores, which take long
    group = group or Group()
    for is_turn in (group.is_first, not group.is_first):
        if is_turn:
            _build_stores(folders.values(), tokenizer_folder, experiment.tokenizer, workers, report)
        group.barrier("token stores", timeout_s=_LONGEST_BUILD_S)
    validation = first_documents(
        folders, experiment.weights, "validation", experiment.evaluation.max_bytes
    )
    return setup.Inputs(
        stores={
            name: tokens.open_store(
                store_path(folder, experiment.tokenizer),
                tokenizer_fingerprint=tokenizer.fingerprint,
            )
            for name, folder in folders.items()
        },
        tokenizer=tokenizer,
        tokenizer_folder=tokenizer_folder,
        validation=bits.prepare(
            [(document.id, document.source, document.text) for document in validation], tokenizer
        ),
        start=started,
    )


def store_path(dataset_folder: Path, tokenizer: str) -> Path:
    """Where the token store of a dataset and a tokenizer's name lies."""
    return dataset_folder / "tokens" / tokenizer


def dataset_folder(places: Places, name: str) -> Path:
    """The folder of the dataset of that name; InputError lists those there are."""
    folder = places.datasets / name
    if manifest.exists(folder):
        return folder
    if storage.files(folder):
        raise DamageError(
            f"{folder / manifest.FILE_NAME} is missing, though {folder} is not empty; restore it, "
            "or build the dataset again."
        )
    found = sorted(path.parent.name for path in places.datasets.glob(f"*/{manifest.FILE_NAME}"))
    raise InputError(
        f"no dataset {name!r} in {places.datasets} "
        f"({'found: ' + ', '.join(found) if found else 'which holds none'}); build one with "
        "`jgpt2 corpus build`, or choose with --dataset and --datasets."
    )


def _build_stores(
    folders: Iterable[Path],
    tokenizer_folder: Path,
    tokenizer: str,
    workers: int,
    report: Callable[[int, int], None] | None,
) -> None:
    """The store of each dataset where it is not yet; progress is over all that are missing."""
    sizes = {
        folder: 0
        if manifest.exists(store_path(folder, tokenizer))
        else manifest.read(folder, kind="dataset").notes["num_bytes"]
        for folder in folders
    }
    earlier_bytes = 0

    def report_all(done: int, _: int) -> None:
        if report:
            report(earlier_bytes + done, sum(sizes.values()))

    for folder, num_bytes in sizes.items():
        store = store_path(folder, tokenizer)
        tokens.build(folder, tokenizer_folder, store, workers=workers, report=report_all)
        earlier_bytes += num_bytes


def first_documents(
    folders: Mapping[str, Path], weights: Mapping[str, float], split: str, max_bytes: int | None
) -> list[records.Document]:
    """Documents of each dataset's split; of `max_bytes` each has its share by weight."""
    chosen: list[records.Document] = []
    shares = mixture.byte_shares(weights[name] for name in folders)
    for folder, share in zip(folders.values(), shares, strict=True):
        own_bytes = None if max_bytes is None else int(max_bytes * share)
        chosen += _that_fit(dataset.open_split(folder, split), own_bytes)
    return chosen


def _that_fit(
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
