"""Records of JSON lines: one object with a text a line, plain, gzip, zstd or bzip2.

Called by `reading.read`, and by the readers of zip files and tables for what they share.
"""

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs

FIELDS = ("text", "id", "url", "source", "license", "title", "cluster")
"""What is taken of an object or a row; only the text must be there."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2"}
_CHUNK = 1 << 18
_UNPACKING = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""What decoders raise for damaged bytes."""


def each(
    input: inputs.Input, limits: inputs.Limits, passed: inputs.Passed | None = None
) -> Iterator[records.Raw | records.Loss]:
    """The records of a `.jsonl` file; a damaged packed file gives those before the damage."""
    packed = next((name for end, name in _PACKED.items() if input.path.lower().endswith(end)), "")
    with inputs.watch(input.path, passed) as file:
        try:
            yield from parse(_unpack(file, packed), input.path, input.source, limits)
        except _UNPACKING as error:
            file.check()
            yield records.Loss(
                reason=f"broken {packed or 'file'}",
                where=input.path,
                detail=f"is not a whole {packed} file ({error}); fetch or compress it again.",
            )


def _unpack(file: inputs.Watched, packed: str) -> io.BufferedReader:
    if packed == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=file), _CHUNK)
    if packed == "bzip2":
        return io.BufferedReader(bz2.BZ2File(file), _CHUNK)
    if packed == "zstd":
        return io.BufferedReader(_Zstd(file), _CHUNK)
    return io.BufferedReader(file, _CHUNK)


class _Zstd(io.RawIOBase):
    """Unpacked zstd as a raw stream."""

    def __init__(self, file: inputs.Watched):
        from fastwarc import ZstdReader

        self._reader = ZstdReader(file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def parse(
    file: BinaryIO, path: str, source: str, limits: inputs.Limits
) -> Iterator[records.Raw | records.Loss]:
    """The records of an open file of JSON lines; what decoding `file` raises is passed on."""
    number = offset = 0
    while line := file.readline(limits.record_bytes + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > limits.record_bytes:
            offset += len(line) + _skip(file, line)
            yield too_long(where, limits.record_bytes)
            continue
        start = len(BYTE_ORDER_MARK) if offset == 0 and line.startswith(BYTE_ORDER_MARK) else 0
        try:
            text = line[start:].decode() if start else line.decode()
        except UnicodeDecodeError as error:
            yield not_utf8(where, line[start + error.start], offset + start + error.start)
        else:
            if record := _parse(text, where, source):
                yield record
        offset += len(line)


def _skip(file: BinaryIO, line: bytes) -> int:
    """Reads to the end of the line that `line` began; how many bytes that were."""
    num_bytes = 0
    while line and not line.endswith(b"\n"):
        line = file.readline(_CHUNK)
        num_bytes += len(line)
    return num_bytes


def _parse(line: str, where: str, source: str) -> records.Raw | records.Loss | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of 4300 digits
        if not line.strip():
            return None
        return records.Loss(
            reason="not JSON",
            where=where,
            detail=f"is not JSON ({error}); every line must be one JSON object with a text.",
        )
    if not isinstance(fields, dict):
        fields = {}
    return raw(fields, where, source, is_checked="\\u" not in line)


def raw(
    fields: Mapping[str, Any], where: str, source: str, *, is_checked: bool = False
) -> records.Raw | records.Loss:
    """The record that an object or a row holds; `is_checked` when no surrogate can be in it."""
    if not isinstance(fields.get("text"), str):
        return records.Loss(
            reason="no text",
            where=where,
            detail='has no text; every line must be a JSON object such as {"text": "…"}.',
        )
    known: dict[str, str] = {}
    for name in FIELDS:
        value = fields.get(name)
        if value is None:
            value = ""
        elif not isinstance(value, str | int) or isinstance(value, bool):
            return records.Loss(
                reason="field not a string",
                where=where,
                detail=f"has a {name} that is no string ({_short(value)}); make it a string.",
            )
        known[name] = str(value)
        if not is_checked and (detail := _unpaired(known[name], name)):
            return records.Loss(reason="unpaired surrogate", where=where, detail=detail)
    return records.Raw(
        content=known["text"],
        kind="record",
        source=known["source"] or source,
        url=known["url"],
        id=known["id"],
        license=known["license"],
        title=known["title"],
        cluster=known["cluster"],
    )


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _unpaired(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"has an unpaired surrogate \\u{ord(text[error.start]):04x} at character "
            f"{error.start} of its {name}, which no UTF-8 text can hold; remove the escape or "
            "repair what wrote the file."
        )
    return ""


def too_long(where: str, num_bytes: int) -> records.Loss:
    """The loss of a record of more than `num_bytes`."""
    return records.Loss(
        reason="too long",
        where=where,
        detail=f"has more than {num_bytes} bytes, the most for one record; split it into several.",
    )


def not_utf8(where: str, byte: int, offset: int) -> records.Loss:
    """The loss of text with a byte, at an offset of its content, that starts no character."""
    return records.Loss(
        reason="not UTF-8",
        where=where,
        detail=f"is not UTF-8: byte {byte:#04x} at offset {offset} of its content starts no "
        "character; convert it first, for example iconv -f cp932 -t utf-8 for Shift_JIS or "
        "-f euc-jp for EUC-JP.",
    )
