"""Shards of annotated documents: the costly part of a build, kept so that it is done once.

A shard is made of some input files and named by a hash of what it depends on: the files' names and
stamps, and the settings. Finished ones are found again, unfinished ones are made anew. Beside
`KEY.jsonl.gz`, one gzip member a document, so that `zcat` shows it and one can be read alone, lies
`KEY.table` (size, digest and MinHash signature of each) and, written last, `KEY.json`: the account.
"""

import contextlib
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jgpt2 import manifest
from jgpt2.corpus import annotate, records
from jgpt2.corpus.accounting import account
from jgpt2.corpus.duplicates import minhash
from jgpt2.corpus.reading import inputs, read
from jgpt2.errors import DamageError

SHARD_BYTES = 32 * 2**20
"""Input bytes in a shard of several files; a larger file is a shard of its own."""
SHARD_FILES = 2_000
NUM_LOSSES = 20
"""Losses whose particulars a shard keeps; all are counted."""
TABLE = np.dtype(
    [
        ("length", "<u4"),
        ("record", "V32"),
        ("digest", "V32"),
        ("signature", "<u4", (minhash.NUM_HASHES,)),
    ]
)
"""Of each document: bytes of its gzip member, SHA-256 of what the member holds, SHA-256 of the
text without white space, MinHash."""

_KEY = "[0-9a-f]" * 16
_BLOCK_ROWS = 1 << 10  # not 1 MB in memory
_BATCH_BYTES = 2**20
_GZIP_LEVEL = 1  # three times the speed of the default level, and a tenth more bytes


@dataclass(frozen=True)
class Shard:
    """What a shard is made of; small, so that it travels to workers."""

    folder: Path
    inputs: tuple[inputs.Input, ...]
    settings: annotate.Settings

    @property
    def key(self) -> str:
        """16 hex digits over all that decides the shard's content."""
        identity = {
            "inputs": [asdict(entry) for entry in self.inputs],
            "settings": self.settings.identity(),
            "signature": minhash.NUM_HASHES,
        }
        text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def documents(self) -> Path:
        """The annotated documents."""
        return self.folder / f"{self.key}.jsonl.gz"

    @property
    def table(self) -> Path:
        """Rows of `TABLE`."""
        return self.folder / f"{self.key}.table"

    @property
    def record(self) -> Path:
        """The account, whose existence says that the shard is finished."""
        return self.folder / f"{self.key}.json"

    @property
    def position(self) -> Path:
        """How many input bytes a worker has read, while it is at work."""
        return self.folder / f"{self.key}.position.partial"

    @property
    def num_bytes(self) -> int:
        """Bytes of the input files."""
        return sum(entry.num_bytes for entry in self.inputs)


def plan(folder: Path, given: Sequence[inputs.Input], settings: annotate.Settings) -> list[Shard]:
    """The shards of input files: small ones are put together in their order."""
    groups: list[list[inputs.Input]] = [[]]
    num_bytes = 0
    for entry in given:
        num_bytes += entry.num_bytes
        if groups[-1] and (num_bytes > SHARD_BYTES or len(groups[-1]) == SHARD_FILES):
            groups.append([])
            num_bytes = entry.num_bytes
        groups[-1].append(entry)
    return [Shard(folder, tuple(group), settings) for group in groups if group]


def write(shard: Shard) -> Path:
    """Makes a shard where it is not finished yet; the path of its record.

    Raises OSError when a disk or a network fails. What is wrong with the input is counted.
    """
    if is_finished(shard):
        return shard.record
    shard.folder.mkdir(parents=True, exist_ok=True)
    counted = account.Account()
    losses: list[dict[str, str]] = []
    partial = [path.with_name(f"{path.name}.partial") for path in (shard.documents, shard.table)]
    with contextlib.ExitStack() as stack:
        content, table = (stack.enter_context(path.open("wb")) for path in partial)
        for batch in _batches(_annotated(shard, counted, losses)):
            lines, rows = _measured(annotate.score(batch, counted), counted)
            members = [gzip.compress(line, _GZIP_LEVEL, mtime=0) for line in lines]
            rows["length"] = [len(member) for member in members]
            content.writelines(members)
            table.write(rows.tobytes())
    shard.position.unlink(missing_ok=True)
    for path, final in zip(partial, (shard.documents, shard.table), strict=True):
        path.replace(final)
    sizes = {path.name: path.stat().st_size for path in (shard.documents, shard.table)}
    value = {
        "files": sizes,
        "table_sha256": _sha256(shard.table),
        "account": account.to_json(counted),
        "losses": losses,
    }
    manifest.write_text(shard.record, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    return shard.record


def is_finished(shard: Shard) -> bool:
    """Whether the shard has its record and files of the recorded size."""
    try:
        sizes = json.loads(shard.record.read_text("utf-8"))["files"]
        return all((shard.folder / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(
            f"{shard.record} cannot be read ({error}); remove it, and the shard is made anew."
        ) from error


def read_account(shard: Shard) -> tuple[account.Account, list[dict[str, str]]]:
    """The account of a finished shard and the particulars of some losses."""
    value = json.loads(shard.record.read_text("utf-8"))
    return account.from_json(value["account"]), value["losses"]


def read_table(shard: Shard) -> Iterator[np.ndarray]:
    """The rows of `TABLE` of a finished shard, some at a time.

    Raises DamageError where they are not what was written.
    """
    wanted = json.loads(shard.record.read_text("utf-8"))["table_sha256"]
    if _sha256(shard.table) != wanted:
        raise _damage(shard.table, shard)
    with shard.table.open("rb") as file:
        while data := file.read(_BLOCK_ROWS * TABLE.itemsize):
            yield np.frombuffer(data, TABLE)


def read_documents(shard: Shard) -> Iterator[tuple[int, np.void, annotate.Annotated]]:
    """(start, row of `TABLE`, document) of every document; start and length are for `read_at`."""
    start = 0
    with shard.documents.open("rb") as file:
        for block in read_table(shard):
            for row in block:
                length = int(row["length"])
                yield start, row, _parse(file.read(length), shard)
                start += length


def read_at(shard: Shard, start: int, length: int) -> annotate.Annotated:
    """One document of a shard."""
    with shard.documents.open("rb") as file:
        file.seek(start)
        return _parse(file.read(length), shard)


def tidy(folder: Path, planned: Iterable[Shard]) -> tuple[int, int]:
    """Removes what a kill left behind; how many shards of another plan there are, and their bytes.

    Those stay: they took long to make, and another build may need them.
    """
    for path in folder.glob(f"{_KEY}*.partial"):
        path.unlink()
    wanted = {shard.key for shard in planned}
    others = [path for path in folder.glob(f"{_KEY}.*") if path.name[:16] not in wanted]
    num_shards = sum(path.suffix == ".json" for path in others)
    return num_shards, sum(path.stat().st_size for path in others)


def digest(text: str) -> bytes:
    """SHA-256 of the text without white space: what makes two documents exact copies."""
    return hashlib.sha256("".join(text.split()).encode()).digest()


def _annotated(
    shard: Shard, counted: account.Account, losses: list[dict[str, str]]
) -> Iterator[annotate.Annotated]:
    meter = _Meter(shard.position)
    for entry in shard.inputs:
        meter.begin(entry)
        found = read.each(entry, passed=meter.add)
        while True:
            with counted.timed("read"):
                item = next(found, None)
            if item is None:
                break
            if isinstance(item, records.Loss):
                counted.drops("read", item.reason, 0, 0)
                if len(losses) < NUM_LOSSES:
                    losses.append(
                        {name: inputs.readable(value) for name, value in vars(item).items()}
                    )
                continue
            annotated = annotate.annotate(item, shard.settings, counted)
            if annotated is not None:
                yield annotated


class _Meter:
    """Notes in a file how many input bytes are read, once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = self._within = self._size = 0
        self._noted_s = time.monotonic()

    def begin(self, entry: inputs.Input) -> None:
        """The file before is done."""
        self._before += self._size
        self._within, self._size = 0, entry.num_bytes
        self.add(0)

    def add(self, num_bytes: int) -> None:
        self._within += num_bytes
        if time.monotonic() - self._noted_s >= 1:
            self._noted_s = time.monotonic()
            self._path.write_text(str(self._before + min(self._within, self._size)), "ascii")


def _batches(found: Iterable[annotate.Annotated]) -> Iterator[list[annotate.Annotated]]:
    batch: list[annotate.Annotated] = []
    num_bytes = 0
    for item in found:
        batch.append(item)
        num_bytes += item.document.num_bytes
        if num_bytes >= _BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def _measured(
    items: Sequence[annotate.Annotated], counted: account.Account
) -> tuple[list[bytes], np.ndarray]:
    """Each document as a line of JSON, and its row of `TABLE` but for the length."""
    texts = [item.document.text for item in items]
    lines = [
        (json.dumps(annotate.to_json(item), ensure_ascii=False) + "\n").encode() for item in items
    ]
    rows = np.zeros(len(items), TABLE)
    with counted.timed("score"):
        rows["signature"] = minhash.signatures(texts)
    rows["digest"] = [np.void(digest(text)) for text in texts]
    rows["record"] = [np.void(hashlib.sha256(line).digest()) for line in lines]
    return lines, rows


def _parse(member: bytes, shard: Shard) -> annotate.Annotated:
    try:
        value: dict[str, Any] = json.loads(gzip.decompress(member))
    except (ValueError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damage(shard.documents, shard) from error
    return annotate.from_json(value)


def _damage(path: Path, shard: Shard) -> DamageError:
    return DamageError(f"{path} is damaged; remove {shard.record}, and the shard is made anew.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
