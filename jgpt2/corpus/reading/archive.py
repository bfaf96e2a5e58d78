"""Texts, pages and JSON lines inside zip files, such as Aozora Bunko's, without unpacking to disk.

Called by `reading.read`. What a zip file says of sizes and names is not believed: bytes are
counted while they are unpacked, and a name is only a label.
"""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, lines

_NESTED = (".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lzh", ".tar", ".tgz")
_SMALL = 1 << 20
"""Bytes below which the ratio says nothing."""
_DIRECTORY_BYTES = 16 << 20
"""The most for the list of members, which `zipfile` holds in memory as a whole."""
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    struct.error,
    NotImplementedError,  # a method of compression that zipfile does not know
    RuntimeError,  # encrypted
    ValueError,  # offsets below 0, names that are not of the encoding that they claim
    OverflowError,
    IndexError,
)


class _BombError(Exception):
    """More bytes come out of a zip file than its limits allow."""


class _Budget:
    """How many bytes may still come out of one zip file."""

    def __init__(self, num_bytes: int):
        self.num_bytes = num_bytes

    def take(self, num_bytes: int) -> None:
        self.num_bytes -= num_bytes
        if self.num_bytes < 0:
            raise _BombError("the whole file")


class _Member(io.RawIOBase):
    """An unpacked member as a raw stream that ends with _BombError where it grows too large."""

    def __init__(self, file: Any, packed: int, ratio: int, budget: _Budget):
        self._file = file
        self._budget = budget
        self._most = max(_SMALL, packed * ratio)
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        self._num_bytes += len(data)
        if self._num_bytes > self._most:
            raise _BombError("the member")
        self._budget.take(len(data))
        buffer[: len(data)] = data
        return len(data)


class _Directory(inputs.Watched):
    """A zip file that refuses a list of members which is too long to be held."""

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of members has {size} bytes")
        return super().read(size)


def each(input: inputs.Input, limits: inputs.Limits) -> Iterator[records.Raw | records.Loss]:
    """The records of the members of known kind; any other member but a folder is a loss."""
    with inputs.open_binary(input.path) as opened:
        file = _Directory(opened)
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            file.check()
            yield _broken(input.path, error)
            return
        budget = _Budget(limits.zip_bytes)
        for number, info in enumerate(archive.infolist()):
            if info.is_dir():
                continue
            where = f"{input.path}: {_name(info)}"
            if number >= limits.zip_members:
                yield records.Loss(
                    reason="zip of too many members",
                    where=where,
                    detail=f"and what follows is past the {limits.zip_members} members that are "
                    "read of one zip file; make several.",
                )
                return
            try:
                yield from _member(archive, info, input, limits, budget)
            except _BombError as error:
                yield records.Loss(
                    reason="zip bomb",
                    where=where,
                    detail=f"unpacks to more than the limit for {error}.",
                )
                if budget.num_bytes < 0:
                    return
            except _DAMAGE as error:
                file.check()
                yield _broken(where, error)


def _broken(where: str, error: Exception) -> records.Loss:
    return records.Loss(
        reason="broken zip",
        where=where,
        detail=f"cannot be unpacked ({str(error)[:200]}); fetch or make it again.",
    )


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name, in cp932 where it is not UTF-8, as Japanese Windows writes it."""
    if info.flag_bits & 0x800:  # the flag for UTF-8 (APPNOTE 4.4.4)
        return info.filename
    data = info.orig_filename.encode("cp437", "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp932", "replace")


def _refusal(info: zipfile.ZipInfo, name: str) -> str:
    """Why the member is not opened, or ""."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name[:1] in ("/", "\\") or name[1:2] == ":" or "\0" in name:
        return "unsafe name in zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "link in zip"
    if info.flag_bits & 1:
        return "encrypted zip"
    if name.lower().endswith(_NESTED):
        return "archive in zip"
    return ""


def _member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    input: inputs.Input,
    limits: inputs.Limits,
    budget: _Budget,
) -> Iterator[records.Raw | records.Loss]:
    name = _name(info)
    where = f"{input.path}: {name}"
    kind = inputs.READERS.get(inputs.suffix(name))
    reason = _refusal(info, name)
    if not reason and kind not in ("html", "text", "lines"):
        reason = "member of another kind"
    if reason:
        yield records.Loss(reason=reason, where=where, detail="is not opened.")
        return
    with archive.open(info) as opened:
        packed = min(info.compress_size, input.num_bytes)
        file = io.BufferedReader(_Member(opened, packed, limits.zip_ratio, budget))
        if kind == "lines":
            yield from lines.parse(file, where, input.source, limits)
        elif kind == "html":
            yield whole(file, where, "html", input.source, limits.record_bytes)
        else:
            title = PurePosixPath(name.replace("\\", "/")).stem
            yield whole(file, where, "text", input.source, limits.text_bytes, title=title)


def whole(
    file: Any, where: str, kind: records.Kind, source: str, limit: int, *, title: str = ""
) -> records.Raw | records.Loss:
    """The record that is all of an open file."""
    data = file.read(limit + 1)
    if len(data) > limit:
        return lines.too_long(where, limit)
    return records.Raw(content=data, kind=kind, source=source, title=title)
