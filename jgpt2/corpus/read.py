"""Documents from text files: the first step of the walk, for input that is text already.

JSON lines (`.jsonl`, `.jsonl.gz`) hold one document a line, a `.txt` file is one document; all is
UTF-8. Nothing is normalised but the byte order mark and, in `.txt`, the CR of CRLF line ends.
"""

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jgpt2.corpus import records
from jgpt2.errors import DamageError, InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Report = Callable[[int, int], None]
"""Told the bytes of the input files done and the bytes of all of them."""


class Record(NamedTuple):
    """A document with what the reader knows beside it."""

    document: records.Document
    cluster: str
    """Documents of one cluster stay in one split; empty when the input does not say."""


def documents(paths: Sequence[Path]) -> Iterator[records.Document]:
    """The documents of files and folders, in the order given; see `each` for what is raised."""
    return (record.document for record in each(paths, drops=Counter()))


def each(
    paths: Sequence[Path], *, drops: Counter[str], report: Report | None = None
) -> Iterator[Record]:
    """The records of files and of folders of those.

    A folder gives its files of known suffix in order of path, at any depth, without links and
    hidden ones. Texts of nothing but white space are left out and counted in `drops["empty"]`.
    Raises InputError for a path that is missing or of another kind, for text that is not UTF-8
    and for lines that hold no document, and DamageError for a broken gzip file.
    """
    listed = files(paths)
    sizes = [path.stat().st_size for path in listed]
    done, total = 0, sum(sizes)
    for path, size in zip(listed, sizes, strict=True):
        with path.open("rb") as raw:
            for record in _read_txt(path, raw) if path.suffix == ".txt" else _read(path, raw):
                if record.document.text.strip():
                    yield record
                else:
                    drops["empty"] += 1
                if report and raw.seekable():  # a named pipe has no place to tell
                    report(done + min(raw.tell(), size), total)
        done += size
        if report:
            report(done, total)


def files(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` stand for, each once; InputError when a path stands for none."""
    listed: dict[Path, Path] = {}
    for path in paths:
        for file in _expand(path):
            listed.setdefault(file.resolve(), file)
    if not listed:
        raise InputError(
            f"no input files were given; give files that end in {', '.join(SUFFIXES)}, or folders."
        )
    return list(listed.values())


def _expand(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"there is no {path}; check the path, or quote it if it has spaces.")
    if not path.is_dir():
        if path.name.endswith(SUFFIXES):
            return [path]
        raise InputError(
            f"{path} is not of a known kind; a file must end in one of {', '.join(SUFFIXES)}."
        )
    found = [Path(place, name) for place, _, names in _walk(path) for name in names]
    found = [
        file
        for file in found
        if file.name.endswith(SUFFIXES) and not file.name.startswith(".") and not file.is_symlink()
    ]
    if not found:
        raise InputError(
            f"folder {path} has no file that ends in one of {', '.join(SUFFIXES)}; "
            "give another folder, or the files themselves."
        )
    return sorted(found)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    for place, folders, names in folder.walk(follow_symlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place, folders, names


def _read_txt(path: Path, raw: io.BufferedReader) -> Iterator[Record]:
    text = _decode(raw.read(), path, start=0).replace("\r\n", "\n")
    source = path.resolve().parent.name
    yield Record(records.document(text, source=source, title=path.stem), cluster="")


def _read(path: Path, raw: io.BufferedReader) -> Iterator[Record]:
    compressed = path.suffix == ".gz"
    lines = gzip.GzipFile(fileobj=raw) if compressed else raw
    start = 0
    try:
        for number, line in enumerate(lines, start=1):
            text = _decode(line, path, start=start)
            start += len(line)
            if text.strip():
                yield _parse(text, path, where=f"{path}:{number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamageError(
            f"{path} is not a whole gzip file ({error}); fetch or compress it again."
        ) from error


def _decode(data: bytes, path: Path, *, start: int) -> str:
    try:
        return (data.removeprefix(_BYTE_ORDER_MARK) if start == 0 else data).decode()
    except UnicodeDecodeError as error:
        offset = start + error.start + (len(data) - len(error.object))
        raise InputError(
            f"{path} is not UTF-8: byte {data[offset - start]:#04x} at offset {offset}"
            f"{' of its content' if path.suffix == '.gz' else ''} starts no character; convert it "
            "first, for example iconv -f cp932 -t utf-8 for Shift_JIS or -f euc-jp for EUC-JP."
        ) from error


def _parse(line: str, path: Path, *, where: str) -> Record:
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"{where} is not JSON ({error}); every line must be one JSON object with a text."
        ) from error
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        raise InputError(
            f'{where} has no text; every line must be a JSON object such as {{"text": "…"}}.'
        )
    known = {
        name: _string(fields.get(name), name, where)
        for name in ("text", "id", "url", "source", "license", "title", "cluster")
    }
    source = known["source"] or path.name.removesuffix(".gz").removesuffix(".jsonl")
    cluster = known.pop("cluster")
    return Record(records.document(**known | {"source": source}), cluster)


def _string(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError(f"{where} has a {name} that is no string ({value!r}); make it a string.")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} has an unpaired surrogate \\u{ord(text[error.start]):04x} at character "
            f"{error.start} of its {name}, which no UTF-8 text can hold; remove the escape or "
            "repair what wrote the file."
        ) from error
    return text
