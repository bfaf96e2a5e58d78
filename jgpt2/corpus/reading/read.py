"""Records of inputs: the first step of the walk that looks into files.

`each` reads whatever a crawl may hold, decides nothing, and turns what cannot be read into losses.
`documents` reads loose files of finished text strictly: what is wrong with them is an error.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from jgpt2.corpus import records
from jgpt2.corpus.reading import archive, inputs, lines, tables, warc
from jgpt2.errors import DamageError, InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt")
"""What `documents` reads."""

_LIMITS = inputs.Limits()
_LOOSE_LIMITS = inputs.Limits(record_bytes=1 << 30, text_bytes=1 << 30)
_NOTHING = "no records"


def each(
    input: inputs.Input,
    *,
    limits: inputs.Limits = _LIMITS,
    passed: inputs.Passed | None = None,
) -> Iterator[records.Raw | records.Loss]:
    """The records of one input, and a loss for each that cannot be read; at least one of them.

    `passed` is told the bytes read of files that hold many records. Raises only OSError, when the
    disk or the network fails.
    """
    is_empty = True
    for record in _records(input, limits, passed):
        is_empty = False
        yield record
    if is_empty:
        yield records.Loss(reason=_NOTHING, where=input.path, detail="holds no record.")


def _records(
    input: inputs.Input, limits: inputs.Limits, passed: inputs.Passed | None
) -> Iterator[records.Raw | records.Loss]:
    reader = inputs.READERS[inputs.suffix(input.path)]
    if reader == "warc":
        return warc.each(input, limits, passed)
    if reader == "zip":
        return archive.each(input, limits)
    if reader == "table":
        return tables.each(input, limits, passed)
    if reader == "lines":
        return lines.each(input, limits, passed)
    return _file(input, limits, is_html=reader == "html")


def _file(
    input: inputs.Input, limits: inputs.Limits, *, is_html: bool
) -> Iterator[records.Raw | records.Loss]:
    with inputs.open_binary(input.path) as file:
        if is_html:
            yield archive.whole(file, input.path, "html", input.source, limits.record_bytes)
        else:
            title = inputs.readable(PurePosixPath(input.path).stem)
            yield archive.whole(
                file, input.path, "text", input.source, limits.text_bytes, title=title
            )


def documents(paths: Sequence[str | Path]) -> Iterator[records.Document]:
    """The documents of `.jsonl`, `.jsonl.gz` and `.txt` files and folders of those, in order.

    All is UTF-8, and nothing is normalised but the byte order mark and, in `.txt`, the CR of CRLF
    line ends. Texts of nothing but white space are left out. Raises InputError for paths as
    `inputs.find` does, for text that is not UTF-8 and for lines that hold no document, and
    DamageError for a broken gzip file.
    """
    for input in inputs.find(paths, suffixes=SUFFIXES):
        for record in each(input, limits=_LOOSE_LIMITS):
            if isinstance(record, records.Raw):
                record = _text(record, input.path)
            if isinstance(record, records.Loss):
                if record.reason == _NOTHING:
                    continue
                kind = DamageError if record.reason.startswith("broken") else InputError
                raise kind(f"{record.where} {record.detail}")
            if record.text.strip():
                yield record


def _text(raw: records.Raw, path: str) -> records.Document | records.Loss:
    text = raw.content
    if isinstance(text, bytes):
        try:
            text = text.removeprefix(lines.BYTE_ORDER_MARK).decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            offset = error.start + len(raw.content) - len(error.object)
            return lines.not_utf8(path, error.object[error.start], offset)
    return records.document(
        text,
        source=raw.source,
        id=raw.id,
        url=raw.url,
        license=raw.license,
        title=raw.title,
    )
