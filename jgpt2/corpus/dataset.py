"""The dataset: documents by split as a TFDS dataset in ArrayRecord, without TensorFlow.

Written once by `jgpt2.corpus.build`, read by the tokenizer trainer, the token store and the
evaluation. The files lie directly in the folder, so `tfds.builder_from_directory(folder)` reads it.
"""

import contextlib
import errno
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from jgpt2 import manifest, mirror, storage
from jgpt2.corpus import records
from jgpt2.corpus.quality import scores
from jgpt2.errors import DamageError, InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import splits as splits_lib

SPLITS = ("train", "validation", "test")
_NAME = "documents"
_DESCRIPTIONS = ("dataset_info.json", "features.json")
"""What TFDS reads before any document."""
_TEXTS = ("id", "url", "source", "license", "title", "text")
SHARD_BYTES = 128 * 2**20
"""Serialised documents in one file of a split, before compression."""


def write(folder: Path, splits: Mapping[str, Iterable[records.Document]]) -> list[str]:
    """Writes the documents of each split in the order given; the names of the files made.

    The same documents give the same bytes, and one is in memory at a time. Neither holds for the
    writers of TFDS: they serialise the fields of a record in an order that differs from process to
    process, and its `GeneratorBasedBuilder` sorts in memory, above 1 GB in files that only
    TensorFlow can write. Raises OSError when the disk is full.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import dataset_info, example_serializer

    identity = dataset_info.DatasetIdentity(
        name=_NAME,
        version=tfds.core.Version("1.0.0"),
        data_dir=str(folder),
        module_name=__name__,
    )
    features = _features()
    info = tfds.core.DatasetInfo(builder=identity, features=features, disable_shuffling=True)
    info.set_file_format("array_record")
    layout: Any = features.get_serialized_info()
    serializer = example_serializer.ExampleSerializer(layout)
    written: dict[str, tuple[list[int], int]] = {}
    with _disk_errors(folder):
        for split, documents in splits.items():
            examples = (
                serializer.get_tf_example(features.encode_example(_fields(document)))
                for document in documents
            )
            content = (example.SerializeToString(deterministic=True) for example in examples)
            written[split] = _write_split(folder / f"{info.name}-{split}.array_record", content)
    info.set_splits(_split_infos(folder, info.name, written))
    info.write_to_directory(folder)
    return sorted(path.name for path in folder.iterdir())


def _features() -> "tfds.features.FeaturesDict":
    import tensorflow_datasets as tfds

    about = tfds.features.Documentation(desc=", ".join(scores.NAMES))
    measured = tfds.features.Tensor(shape=(len(scores.NAMES),), dtype=np.float32, doc=about)
    texts: dict[str, Any] = {name: tfds.features.Text() for name in _TEXTS}
    numbers = {"num_bytes": tfds.features.Scalar(np.int64), "scores": measured}
    return tfds.features.FeaturesDict(texts | numbers)


def _fields(document: records.Document) -> dict[str, Any]:
    measured = [document.scores[name] for name in scores.NAMES]
    return vars(document) | {"scores": np.array(measured, np.float32)}


def _write_split(path: Path, serialized: Iterator[bytes]) -> tuple[list[int], int]:
    """Writes files `path`-00000 and so on; the documents in each, and the bytes in all."""
    from array_record.python import (
        array_record_module,  # pyright: ignore[reportAttributeAccessIssue]  # compiled, untyped
    )

    lengths: list[int] = []
    total_bytes = 0
    waiting = next(serialized, None)
    while waiting is not None:
        name = f"{path.name}-{len(lengths):05d}"
        writer = array_record_module.ArrayRecordWriter(str(path.with_name(name)), "group_size:1")
        length = num_bytes = 0
        while waiting is not None and num_bytes < SHARD_BYTES:
            writer.write(waiting)
            length += 1
            num_bytes += len(waiting)
            waiting = next(serialized, None)
        writer.close()
        lengths.append(length)
        total_bytes += num_bytes
    return lengths, total_bytes


def _split_infos(
    folder: Path, name: str, written: Mapping[str, tuple[list[int], int]]
) -> "splits_lib.SplitDict":
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import splits as splits_lib

    place: Any = folder
    return splits_lib.SplitDict(
        [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=lengths,
                num_bytes=num_bytes,
                filename_template=tfds.core.ShardedFileTemplate(
                    dataset_name=name,
                    data_dir=place,
                    split=split,
                    filetype_suffix="array_record",
                    template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}",
                ),
            )
            for split, (lengths, num_bytes) in written.items()
        ]
    )


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turns the RuntimeError of ArrayRecord's writer into the OSError that its message quotes."""
    try:
        yield
    except RuntimeError as error:
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), str(folder)) from error
        raise


class Split(Sequence[records.Document]):
    """The documents of one split, read from disk when asked for; can be pickled."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.split = split

    @functools.cached_property
    def _source(self) -> Any:
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder_from_directory(self.folder)
        return builder.as_data_source(self.split)

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: SupportsIndex) -> records.Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[records.Document]: ...
    def __getitem__(
        self, index: SupportsIndex | slice
    ) -> records.Document | list[records.Document]:
        """One document, or the list of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index.__index__()
        if not -len(self) <= i < len(self):
            raise IndexError(f"document {i} of {len(self)}")
        try:
            stored = self._source[i % len(self)]
        except RuntimeError as error:  # ArrayRecord's answer to a checksum that does not fit
            described = manifest.read(self.folder, kind="dataset")
            prefix = f"{_NAME}-{self.split}."
            files = [file for file in described.files if file.startswith(prefix)]
            manifest.check_files(self.folder, described, files)
            raise DamageError(
                f"document {i} of the split {self.split} in {self.folder} cannot be read "
                f"({error}); restore the files of that split, or build the dataset again."
            ) from error
        texts = {name: stored[name].decode() for name in _TEXTS}
        measured = dict(zip(scores.NAMES, stored["scores"].tolist(), strict=True))
        return records.Document(**texts, num_bytes=int(stored["num_bytes"]), scores=measured)

    def __iter__(self) -> Iterator[records.Document]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[type["Split"], tuple[Path, str]]:
        return Split, (self.folder, self.split)


def open_split(folder: Path, split: str) -> Split:
    """The documents of a split of a finished dataset; of one in a bucket a local copy is read.

    Raises InputError when there is no dataset or no such split, DamageError when a file is missing
    or has another size than the manifest says, or when one that describes the splits is damaged; a
    document that is damaged raises it when it is read.
    """
    known = manifest.read(folder, kind="dataset")
    manifest.require_unchanged(folder, known)
    if "splits" not in known.notes:
        raise DamageError(
            f"{folder / manifest.FILE_NAME} was changed after it was written: it names no splits; "
            "restore it, or build the dataset again."
        )
    if split not in known.notes["splits"]:
        raise InputError(
            f"dataset {known.name} at {folder} has no split {split!r}; "
            f"choose one of {', '.join(known.notes['splits'])}."
        )
    if storage.is_remote(folder):
        others = tuple(f"{_NAME}-{other}." for other in known.notes["splits"] if other != split)
        copy = mirror.local(
            folder, kind="dataset", is_wanted=lambda file: not file.startswith(others)
        )
    else:
        manifest.check_sizes(folder, known)
        copy = folder
    described = [name for name in _DESCRIPTIONS if name in known.files]
    manifest.check_files(copy, known, described)
    return Split(copy, split)
