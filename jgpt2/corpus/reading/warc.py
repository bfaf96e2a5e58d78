"""Pages of a crawl: the responses of WARC files and the texts of WET files.

Called by `reading.read`. A damaged place costs the records it touches: reading goes on at the
next compressed member.
"""

import io
import re
import zlib
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, lines

_CHUNK = 1 << 16
_MAX_HEAD = 1 << 16
_MAX_TRIES = 1000
"""Places in a row where reading is taken up again in vain before the rest is given up."""

_BROKEN = "broken WARC"
_GZIP, _ZSTD, _PLAIN = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"WARC/1."
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/[\d.]{1,4} +(\d{3})(?!\d)")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:+-]{1,40})""", re.IGNORECASE | re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r\n")
_KINDS: dict[str, records.Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "wet",
}
"""By media type. Plain text is web text with nothing to extract, as that of a WET file is."""


class _Stretch(NamedTuple):
    """How reading from one place went."""

    last: int
    """Where in the file the last record begins; the place itself when there was none."""
    num_records: int
    is_damaged: bool
    is_lost: bool
    """Whether the damage has given a loss."""


def each(
    input: inputs.Input, limits: inputs.Limits, passed: inputs.Passed | None = None
) -> Iterator[records.Raw | records.Loss]:
    """The pages of a WARC or WET file, plain, gzip or zstd.

    A response counts when its status is 200 and it is HTML (kind "html") or plain text (kind
    "wet"); other responses are losses. Requests, metadata and revisits are passed over.
    """
    with inputs.watch(input.path, passed) as file:
        magic = _magic(file.read(4)) if file.seekable() else b""
        start: int | None = 0
        num_tries, is_lost = 0, False
        while start is not None and num_tries < _MAX_TRIES:
            stretch = yield from _read(file, start, magic, input, limits)
            if not stretch.is_damaged:
                return
            num_tries = 0 if stretch.num_records else num_tries + 1
            if not stretch.is_lost and (stretch.num_records or not is_lost):
                yield _broken(input.path, stretch.last)
            is_lost = True
            start = _seek_magic(file, stretch.last + 1, magic) if magic else None


def _magic(head: bytes) -> bytes:
    return next((magic for magic in (_GZIP, _ZSTD) if head.startswith(magic)), _PLAIN)


def _broken(path: str, offset: int) -> records.Loss:
    return records.Loss(
        reason=_BROKEN,
        where=f"{path}: offset {offset}",
        detail="is damaged or cut off in or after the record there; fetch the file again.",
    )


def _read(
    file: inputs.Watched, start: int, magic: bytes, input: inputs.Input, limits: inputs.Limits
) -> Generator[records.Raw | records.Loss, None, _Stretch]:
    """Gives the records from `start` to the end or to damage.

    A record is held back until the next one has been reached, because only then the checksum of
    its compressed member has been read.
    """
    from fastwarc import ArchiveIterator, WarcRecordType

    wanted = WarcRecordType.response | WarcRecordType.conversion
    last, num_records, is_damaged = start, 0, False
    held: records.Raw | records.Loss | None = None
    if magic:
        file.seek(start)
    try:
        for found in ArchiveIterator(file, record_types=wanted, parse_http=False):
            if held is not None:
                yield held
            last, num_records = found.stream_pos, num_records + 1
            held = _record(found, input, limits)
    except OSError:
        file.check()
        is_damaged = True
    if magic == _GZIP:
        file.seek(last)  # in a member of several records that is no place to start from
        place = last if file.read(len(magic)) == magic else start
        is_whole, is_end = _check_members(file, place, to_end=not is_damaged)
        is_damaged = is_damaged or not is_end
        held = held if is_whole else None
    elif magic == _PLAIN:
        is_damaged = is_damaged or not _ends_blank(file)
    is_cut = isinstance(held, records.Loss) and held.reason == _BROKEN
    if held is not None:
        yield held
    # A record may claim to be so long that it swallows all that follow.
    return _Stretch(last, num_records, is_damaged or is_cut, is_cut)


def _check_members(file: inputs.Watched, start: int, *, to_end: bool) -> tuple[bool, bool]:
    """Whether the gzip member at `start` is whole, and whether all to the end of the file are."""
    file.seek(start)
    data, num_whole = b"", 0
    while to_end or not num_whole:
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            data = data or file.read(_CHUNK)
            if not data:
                return num_whole > 0, False
            try:
                unpacker.decompress(data, 1 << 20)
            except zlib.error:
                return num_whole > 0, False
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        num_whole += 1
        data = data or file.read(_CHUNK)
        if not data:
            return True, True
    return True, False


def _ends_blank(file: inputs.Watched) -> bool:
    """Whether the file ends in an empty line, as after every record, or is empty."""
    file.seek(max(file.seek(0, 2) - 4, 0))
    tail = file.read(4)
    return not tail or tail.endswith((b"\n\r\n", b"\n\n"))


def _seek_magic(file: inputs.Watched, start: int, magic: bytes) -> int | None:
    """Where `magic` stands next."""
    if magic == _PLAIN:
        magic = b"\n" + magic
    file.seek(start)
    data, begin = b"", start
    while chunk := file.read(_CHUNK):
        data += chunk
        place = data.find(magic)
        if place >= 0:
            return begin + place + (magic[0] == 10)
        keep = len(magic) - 1
        begin += len(data) - keep
        data = data[-keep:]
    return None


def _record(found: Any, input: inputs.Input, limits: inputs.Limits) -> records.Raw | records.Loss:
    from fastwarc import WarcRecordType

    if "Content-Length" not in found.headers:
        return _broken(input.path, found.stream_pos)
    url = (found.headers.get("WARC-Target-URI") or "").strip()
    url = url[1:-1] if url.startswith("<") and url.endswith(">") else url  # as Wget writes it
    where = f"{input.path}: {url or f'offset {found.stream_pos}'}"
    if found.record_type == WarcRecordType.response:
        page = _response(found, where, limits)
    else:
        page = _Page(_read_up_to(found, limits.record_bytes), "wet", "utf-8")
    if isinstance(page, records.Loss):
        return page
    if page.content is None:
        return _broken(input.path, found.stream_pos)
    if len(page.content) > limits.record_bytes:
        return lines.too_long(where, limits.record_bytes)
    return records.Raw(
        content=page.content,
        kind=page.kind,
        source=input.source,
        url=url,
        fetched_at=found.headers.get("WARC-Date") or "",
        charset=page.charset,
        robots=page.robots,
    )


class _Page(NamedTuple):
    content: bytes | None
    """None for a record that is cut off, and too long for one that is too long."""
    kind: records.Kind
    charset: str
    robots: tuple[str, ...] = ()


def _read_up_to(found: Any, limit: int, head: bytes = b"") -> bytes | None:
    """The record's block, `head` of which is read already; None if the file ends first.

    Of a block of more than `limit` bytes, one byte more than those.
    """
    parts, missing = [head], min(found.content_length, limit + 1) - len(head)
    while missing > 0:
        data = found.reader.read(missing)
        if not data:
            return None
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _response(found: Any, where: str, limits: inputs.Limits) -> _Page | records.Loss:
    block = _read_up_to(found, _MAX_HEAD)
    if block is None:
        return _Page(None, "html", "")
    end = _HEAD_END.search(block)
    status = _STATUS.match(block)
    if end is None or status is None:
        return records.Loss(reason="no HTTP response", where=where)
    if status[1] != b"200":
        return records.Loss(
            reason="status not 200", where=where, detail=f"has status {status[1].decode()}."
        )
    headers = _headers(block[: end.start()])
    label = ",".join(headers.get("content-type", []))
    label = label or found.headers.get("WARC-Identified-Payload-Type") or ""
    kind = _KINDS.get(re.split("[;,]", label, maxsplit=1)[0].strip().lower())
    if kind is None:
        return records.Loss(
            reason="not HTML or text", where=where, detail=f"is of type {label[:80]!r}."
        )
    block = _read_up_to(found, limits.record_bytes + end.end(), block)
    charset = _CHARSET.search(label)
    page = _Page(
        None if block is None else block[end.end() :],
        kind,
        charset[1] if charset else "",
        tuple(headers.get("x-robots-tag", [])),
    )
    return page if block is None else _decoded(page, headers, where, limits.record_bytes)


def _headers(head: bytes) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return headers


def _decoded(
    page: _Page, headers: dict[str, list[str]], where: str, limit: int
) -> _Page | records.Loss:
    """The page without chunks and compression.

    Crawlers often store a body decoded under the headers as sent, so what does not look encoded
    is left as it is.
    """
    body = page.content or b""
    if len(body) > limit:
        return page
    if "chunked" in ",".join(headers.get("transfer-encoding", [])).lower():
        body = _unchunk(body)
    encodings = ",".join(headers.get("content-encoding", [])).lower().split(",")
    for encoding in reversed(encodings[:4]):
        try:
            body = _unpack(body, encoding.strip().removeprefix("x-"), limit + 1)
        except (OSError, zlib.error):
            if b"\0" in body or b"<" not in body[:1000]:
                return records.Loss(
                    reason="broken content encoding",
                    where=where,
                    detail=f"is no {encoding.strip()[:20]} as its header says.",
                )
    return page._replace(content=body)


def _unpack(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding == "gzip":
        return zlib.decompressobj(wbits=31).decompress(body, limit)
    if encoding == "deflate":  # with the zlib header of RFC 9110, or without it as some send it
        try:
            return zlib.decompressobj().decompress(body, limit)
        except zlib.error:
            return zlib.decompressobj(wbits=-15).decompress(body, limit)
    if encoding in ("br", "zstd"):
        from fastwarc import ZstdReader, stream_io

        file = io.BytesIO(body)
        reader = stream_io.BrotliReader(file) if encoding == "br" else ZstdReader(file)
        parts, missing = [], limit
        while missing > 0 and (data := reader.read(min(missing, 1 << 20))):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)
    return body


def _unchunk(body: bytes) -> bytes:
    """The body without chunk sizes, as far as there are any; itself if it starts with none."""
    parts, place = [], 0
    while size := _CHUNK_SIZE.match(body, place):
        end = size.end() + int(size[1], 16)
        if end == size.end() or body[end : end + 2] not in (b"\r\n", b""):
            break
        parts.append(body[size.end() : end])
        place = end + 2
    return b"".join(parts) if parts else body
