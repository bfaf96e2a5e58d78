"""Where raw text comes from: files, folders and URLs become a list of inputs to read.

The first step of the corpus walk. Nothing is read here; `reading.read` reads one input at a
time, so that inputs are the units of work that are shared out and resumed.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from jgpt2.errors import InputError

Reader = Literal["warc", "html", "text", "lines", "table", "zip"]

READERS: dict[str, Reader] = {
    ".warc": "warc",
    ".warc.gz": "warc",
    ".warc.zst": "warc",
    ".wet": "warc",
    ".wet.gz": "warc",
    ".wet.zst": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".shtml": "html",
    ".txt": "text",
    ".jsonl": "lines",
    ".jsonl.gz": "lines",
    ".jsonl.zst": "lines",
    ".jsonl.bz2": "lines",
    ".parquet": "table",
    ".zip": "zip",
}
"""What reads a file whose name ends so, in any case of letters."""

_EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
_CONTENT_MARKS = ("etag", "ETag", "md5Hash", "crc32c", "checksum", "generation", "ukey")


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file to read."""

    path: str
    """Local, or a URL that fsspec opens."""
    num_bytes: int
    """On disk; 0 where only reading would tell, as for a named pipe."""
    stamp: str
    """Changes when the content does; found without reading it."""
    source: str
    """What documents are called that name no source themselves."""


def readable(name: str) -> str:
    """A file's name as text: one that is no UTF-8 is read as cp932, as Japanese Windows writes it.

    >>> import os
    >>> readable(os.fsdecode("資料.txt".encode("cp932")))
    '資料.txt'
    """
    raw = os.fsencode(name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp932", "backslashreplace")


Passed = Callable[[int], None]
"""Told the number of bytes of a file that were read just now."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what one record may cost; whatever exceeds them becomes a loss.

    Common Crawl cuts pages at 1 MiB (5 MiB since 2025), so no page is near the first.
    """

    record_bytes: int = 16 << 20
    """Of a page, a line of JSON or a row. JSON of nothing but brackets takes 27 times its bytes of
    memory (measured)."""
    text_bytes: int = 64 << 20
    """Of a text file; the longest works of literature have about a tenth."""
    zip_ratio: int = 200
    """Unpacked to packed bytes of a zip member: deflate reaches 1032, real HTML about 50."""
    zip_bytes: int = 4 << 30
    """Unpacked, of one zip file."""
    zip_members: int = 100_000


def find(paths: Sequence[str | Path], *, suffixes: Sequence[str] = tuple(READERS)) -> list[Input]:
    """The files that paths and URLs stand for, in the order given, each once.

    A folder gives its files of known suffix in order of path, at any depth, without links and
    hidden ones; a URL may hold `*`. Raises InputError for a path that is missing or of another
    kind, for a folder without usable files, and for a URL whose file system is not installed.
    """
    found: dict[str, Input] = {}
    for path in paths:
        if is_url(path):
            found |= {each.path: each for each in _find_remote(str(path), tuple(suffixes))}
        else:
            for file in _find_local(Path(path), tuple(suffixes)):
                found.setdefault(str(file.resolve()), _local(file))
    if not found:
        raise InputError(
            f"no input files were given; give files that end in {', '.join(suffixes)}, or folders."
        )
    return list(found.values())


def is_url(path: str | Path) -> bool:
    """Whether fsspec is to open it."""
    return "://" in str(path)


def suffix(name: str) -> str:
    """The known suffix that a file's name ends in, or "".

    >>> suffix("吾輩は猫である.HTML"), suffix("crawl.warc.wet.gz"), suffix("表紙.png")
    ('.html', '.wet.gz', '')
    """
    lower = name.lower()
    return max((known for known in READERS if lower.endswith(known)), key=len, default="")


def open_binary(path: str) -> BinaryIO:
    """The file's bytes, as an open file that is to be closed. Raises OSError."""
    if not is_url(path):
        return Path(path).open("rb")
    system, inner = _file_system(path)
    return system.open(inner, "rb")


def _find_local(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not path.exists():
        raise InputError(f"there is no {path}; check the path, or quote it if it has spaces.")
    if not path.is_dir():
        _check_suffix(str(path), suffixes)
        return [path]
    found = [
        file
        for file in _walk(path)
        if file.name.lower().endswith(suffixes) and file.is_file() and not file.is_symlink()
    ]
    if not found:
        raise InputError(_nothing_in(str(path), suffixes))
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in folder.walk(follow_symlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (place / name for name in names if not name.startswith("."))


def _check_suffix(path: str, suffixes: tuple[str, ...]) -> None:
    if not path.lower().endswith(suffixes):
        raise InputError(
            f"{path} is not of a known kind; a file must end in one of {', '.join(suffixes)}."
        )


def _nothing_in(folder: str, suffixes: tuple[str, ...]) -> str:
    return (
        f"folder {folder} has no file that ends in one of {', '.join(suffixes)}; "
        "give another folder, or the files themselves."
    )


def _local(path: Path) -> Input:
    status = path.stat()
    return Input(
        path=str(path),
        num_bytes=status.st_size,
        stamp=f"{status.st_size}-{status.st_mtime_ns}",
        source=_source(path.name, path.resolve().parent.name),
    )


def _source(name: str, folder: str) -> str:
    ending = suffix(name)
    stem = name[: len(name) - len(ending)]
    chosen = stem if READERS.get(ending) in ("lines", "table") else folder or stem
    return readable(chosen)


def _find_remote(url: str, suffixes: tuple[str, ...]) -> list[Input]:
    system, inner = _file_system(url)
    if "*" in inner:
        listed = system.glob(inner, detail=True)
    elif system.isdir(inner):
        listed = system.find(inner, detail=True)
    elif system.exists(inner):
        _check_suffix(url, suffixes)
        listed = {inner: system.info(inner)}
    else:
        raise InputError(f"there is no {url}; check the URL, and that you may read it.")
    is_one = list(listed) == [inner]
    files = {
        path: info
        for path, info in listed.items()
        if is_one
        or (
            info["type"] == "file"
            and path.lower().endswith(suffixes)
            and not any(part.startswith(".") for part in _below(path, inner))
        )
    }
    if not files:
        raise InputError(_nothing_in(url, suffixes))
    return [_remote(system, path, files[path]) for path in sorted(files)]


def _below(path: str, folder: str) -> tuple[str, ...]:
    """The parts of a path that the user did not name."""
    given = PurePosixPath(folder.split("*", 1)[0]).parts
    return PurePosixPath(path).parts[len(given) :]


def _remote(system: Any, path: str, info: dict[str, Any]) -> Input:
    marks = [str(info[name]) for name in _CONTENT_MARKS if info.get(name)]
    num_bytes = int(info.get("size") or 0)
    place = PurePosixPath(path)
    return Input(
        path=system.unstrip_protocol(path),
        num_bytes=num_bytes,
        stamp=f"{num_bytes}-{marks[0] if marks else system.ukey(path)}",
        source=_source(place.name, place.parent.name),
    )


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec.core

    protocol = url.split("://", 1)[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"install jgpt2[{extra}]" if extra else f"install what reads {protocol}://"
        raise InputError(f"{url} cannot be opened here ({error}); {remedy}.") from error
    except ValueError as error:
        raise InputError(
            f"{url} is of an unknown protocol ({error}); give a local path, or a URL such as "
            "gs://bucket/folder or s3://bucket/folder."
        ) from error


class Watched(io.RawIOBase):
    """A file that remembers the failure of its disk or network.

    Decoders report damaged content as OSError too; `check` raises again what was the file's own.
    """

    def __init__(self, file: BinaryIO, passed: Passed | None = None):
        self._file = file
        self._passed = passed
        self._failure: OSError | None = None
        self._offset = 0

    def check(self) -> None:
        """Raises the OSError that reading the file ended with, if any."""
        if self._failure is not None:
            raise self._failure

    def read(self, size: int = -1) -> bytes:
        """Bytes of the file; empty at its end."""
        try:
            data = self._file.read(size)
        except OSError as error:
            self._failure = error
            raise
        self._offset += len(data)
        if self._passed:
            self._passed(len(data))
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fills the buffer as far as the file reaches."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """As the file says."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """As the file's own."""
        self._offset = self._file.seek(offset, whence)
        return self._offset

    def tell(self) -> int:
        """The offset in the file, also of a pipe."""
        return self._offset


@contextmanager
def watch(path: str, passed: Passed | None = None) -> Iterator[Watched]:
    """Opens a file to be watched, for a `with` statement; `passed` is told the bytes read."""
    with open_binary(path) as file:
        yield Watched(file, passed)
