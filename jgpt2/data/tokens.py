"""The token store: a dataset as ids of one tokenizer, built once and then only mapped into memory.

Nothing of a run is in it, no context length and no order: `jgpt2.data.loader` makes both from the
flat stream of each split, and the evaluation reads whole documents.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jgpt2 import manifest, mirror, pool, storage
from jgpt2.data import shards
from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import load

_BUILDING = "building.json"
_OWN_FILES = re.compile(r"(building\.json|.+\.(tokens|documents))(\.partial)?")


def build(
    dataset: Path,
    tokenizer: Path,
    out: Path,
    *,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> manifest.Manifest:
    """The token store of a dataset's and a tokenizer's folders, built in `out` where it is not yet.

    A build that was stopped goes on with the shards that are missing, and of several processes that
    ask at once one builds. The files are the same for any number of worker processes. In a bucket
    the store appears when it is whole. `report` gets the bytes of text done and their total. Raises
    InputError when `out` holds anything else, such as the store of another dataset or tokenizer,
    and DamageError when the dataset is not what its manifest says.
    """
    if workers < 1:
        raise InputError(f"workers={workers} does nothing; choose 1 or more processes.")
    data, vocabulary = manifest.read(dataset, kind="dataset"), load.load(tokenizer)
    parents = {"dataset": data.fingerprint, "tokenizer": vocabulary.fingerprint}
    if manifest.exists(out):
        return _finished(out, parents)
    with storage.locked(storage.scratch(out, f"{out.name}.lock")):
        if manifest.exists(out):  # since then, by another process
            return _finished(out, parents)
        built = storage.scratch(out, out.name)
        made = _build(mirror.local(dataset, kind="dataset"), tokenizer, built, workers, report)
        if storage.is_remote(out):
            storage.upload(built, out, last=manifest.FILE_NAME)
            mirror.keep(built, made)
    return made


def _finished(out: Path, parents: dict[str, str]) -> manifest.Manifest:
    finished = manifest.read(out, kind="tokens")
    _check_parents(out, finished.parents, parents)
    return finished


def _build(
    dataset: Path,
    tokenizer: Path,
    out: Path,
    workers: int,
    report: Callable[[int, int], None] | None,
) -> manifest.Manifest:
    """The store in the folder `out` on this machine, of a dataset on this machine."""
    data, vocabulary = manifest.verify(dataset, kind="dataset"), load.load(tokenizer)
    parents = {"dataset": data.fingerprint, "tokenizer": vocabulary.fingerprint}
    _begin(out, parents)
    planned = [
        shard
        for split, counts in data.notes["splits"].items()
        for shard in shards.plan(
            dataset,
            tokenizer,
            out,
            split=split,
            num_documents=counts["num_documents"],
            num_bytes=counts["num_bytes"],
        )
    ]
    dtype = shards.dtype_on_disk(vocabulary.vocab_size)
    _write_missing(planned, dtype, workers, report, total_bytes=data.notes["num_bytes"])
    made = manifest.write(
        out,
        kind="tokens",
        name=f"{data.name}/{vocabulary.name}",
        identity={"dtype": dtype.str, "eot": vocabulary.eot, "vocab_size": vocabulary.vocab_size},
        parents=parents,
        files=[path.name for shard in planned for path in (shard.tokens, shard.documents)],
        notes={"splits": _counts((shard.split, shard.documents) for shard in planned)},
    )
    (out / _BUILDING).unlink()
    return made


def _begin(out: Path, parents: dict[str, str]) -> None:
    """Makes `out` ready: empty with a note of what it becomes, or as its killed build left it."""
    out.mkdir(parents=True, exist_ok=True)
    foreign = [path.name for path in out.iterdir() if not _OWN_FILES.fullmatch(path.name)]
    if foreign:
        raise InputError(
            f"{out} holds {foreign[0]!r}, which is no part of a token store; give an empty or a "
            "new folder."
        )
    for partial in out.glob("*.partial"):
        partial.unlink()
    note = out / _BUILDING
    if note.is_file():
        _check_parents(out, json.loads(note.read_text("utf-8")), parents)
    manifest.write_text(note, json.dumps(parents) + "\n")


def _check_parents(out: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    for role, fingerprint in wanted.items():
        if found[role] != fingerprint:
            raise InputError(
                f"the token store at {out} is of {role} {found[role][:12]}, but the {role} given "
                f"is {fingerprint[:12]}; give another folder, or remove that one to build it anew."
            )


def _write_missing(
    planned: Sequence[shards.Shard],
    dtype: np.dtype,
    workers: int,
    report: Callable[[int, int], None] | None,
    total_bytes: int,
) -> None:
    done_bytes = 0

    def done(counts: tuple[int, int, int]) -> None:
        nonlocal done_bytes
        done_bytes += counts[1]
        if report:
            report(done_bytes, total_bytes)

    missing: list[shards.Shard] = []
    for shard in planned:
        if counts := shards.finished(shard, dtype):
            done(counts)
        else:
            missing.append(shard)
    pool.run(shards.write, missing, workers=workers, done=done)


def _counts(documents: Iterable[tuple[str, Path]]) -> dict[str, dict[str, int]]:
    """What the tables of documents of each split hold in all."""
    splits: dict[str, dict[str, int]] = {}
    for split, path in documents:
        table = shards.read_documents(path)
        counts = splits.setdefault(
            split, dict.fromkeys(("num_tokens", "num_documents", "num_bytes", "num_chars"), 0)
        )
        counts["num_tokens"] += int(table[-1, 0])
        counts["num_documents"] += len(table)
        counts["num_bytes"] += int(table[:, 1].sum())
        counts["num_chars"] += int(table[:, 2].sum())
    return splits


@dataclass(frozen=True)
class TokenStore:
    """A finished store; the splits read from it."""

    folder: Path
    """On this machine."""
    manifest: manifest.Manifest

    def split(self, name: str) -> "Tokens":
        """The tokens of a split; InputError lists the splits there are."""
        splits = self.manifest.notes["splits"]
        if name not in splits:
            raise InputError(
                f"the token store at {self.folder} has no split {name!r}; "
                f"choose one of {', '.join(splits)}."
            )
        files = sorted(
            file
            for file in self.manifest.files
            if file.startswith(f"{name}-") and file.endswith(".tokens")
        )
        paths = tuple(self.folder / file for file in files)
        return Tokens(paths, np.dtype(self.manifest.identity["dtype"]), **splits[name])


def open_store(folder: Path, *, tokenizer_fingerprint: str) -> TokenStore:
    """The store in a folder, made with the tokenizer of that fingerprint; of a bucket a copy.

    Raises InputError when there is none or it is another tokenizer's, DamageError when a file is
    missing or has another size than the manifest says, or when the manifest was changed.
    """
    described = manifest.read(folder, kind="tokens")
    manifest.require_unchanged(folder, described)
    made_with = described.parents["tokenizer"]
    if made_with != tokenizer_fingerprint:
        raise InputError(
            f"the token store at {folder} was made with tokenizer {made_with[:12]}, but "
            f"{tokenizer_fingerprint[:12]} is in use, to which its ids mean other text; give the "
            "store of that tokenizer, or build one."
        )
    copy = mirror.local(folder, kind="tokens")
    manifest.check_sizes(copy, described)
    _require_counts(copy, described)
    return TokenStore(copy, described)


def _require_counts(folder: Path, described: manifest.Manifest) -> None:
    """DamageError unless the manifest counts what the tables of documents hold.

    The number of tokens decides the order of training, that of bytes the steps of a budget.
    """
    tables = [file for file in described.files if file.endswith(".documents")]
    counts = _counts((file.partition("-")[0], folder / file) for file in tables)
    if described.notes.get("splits") == counts:
        return
    manifest.check_files(folder, described, tables)
    raise DamageError(
        f"{folder / manifest.FILE_NAME} was changed after it was written: it does not count what "
        "the tables of documents hold; restore it, or build the store again."
    )


@dataclass(frozen=True, eq=False)
class Tokens:
    """One split as a flat stream of ids, in as many files as it has shards; can be pickled."""

    paths: tuple[Path, ...]
    dtype: np.dtype
    num_tokens: int
    num_documents: int
    num_bytes: int
    """UTF-8 bytes of text; EOT counts none."""
    num_chars: int

    def window(self, start: int, length: int) -> npt.NDArray[np.int32]:
        """[length] ids from position `start` of the stream, across shards."""
        return self.windows(np.array([start]), length)[0]

    def windows(self, starts: npt.NDArray[np.integer], length: int) -> npt.NDArray[np.int32]:
        """[len(starts), length] ids from each position; IndexError beyond the stream."""
        if len(starts) and not (starts.min() >= 0 and starts.max() + length <= self.num_tokens):
            raise IndexError(f"windows of {length} tokens reach beyond {self.num_tokens} tokens")
        ids = np.empty((len(starts), length), np.int32)
        firsts = np.searchsorted(self._bounds, starts, side="right") - 1
        for row, start, index in zip(ids, starts.tolist(), firsts.tolist(), strict=True):
            filled = 0
            while filled < length:
                within = start + filled - self._bounds[index]
                part = self._shards[index][within : within + length - filled]
                row[filled : filled + len(part)] = part
                filled += len(part)
                index += 1
        return ids

    def document(self, i: int) -> npt.NDArray[np.int32]:
        """The ids of document `i`, its EOT included."""
        if not 0 <= i < self.num_documents:
            raise IndexError(f"document {i} of {self.num_documents}")
        start = int(self.doc_ends[i - 1]) if i else 0
        return self.window(start, int(self.doc_ends[i]) - start)

    @property
    def doc_ends(self) -> npt.NDArray[np.int64]:
        """[num_documents] the position after each document's EOT."""
        return self._documents[:, 0]

    @property
    def doc_bytes(self) -> npt.NDArray[np.int64]:
        """[num_documents] UTF-8 bytes of each document's text."""
        return self._documents[:, 1]

    @property
    def doc_chars(self) -> npt.NDArray[np.int64]:
        """[num_documents] characters of each document's text."""
        return self._documents[:, 2]

    @functools.cached_property
    def _shards(self) -> list[np.ndarray]:
        # Plain arrays over the maps: slicing a memmap object costs several times as much.
        return [np.asarray(np.memmap(path, self.dtype, mode="r")) for path in self.paths]

    @functools.cached_property
    def _bounds(self) -> list[int]:
        sizes = [path.stat().st_size // self.dtype.itemsize for path in self.paths]
        return [0, *np.cumsum(sizes).tolist()]

    @functools.cached_property
    def _documents(self) -> npt.NDArray[np.int64]:
        tables = [shards.read_documents(path.with_suffix(".documents")) for path in self.paths]
        for table, bound in zip(tables, self._bounds, strict=False):
            table[:, 0] += bound
        return np.concatenate(tables)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
