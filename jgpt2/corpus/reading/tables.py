"""Records of parquet files: one row a document, read in small batches of the columns needed.

Called by `reading.read`. A damaged row group is lost, the others are read.
"""

from collections.abc import Iterator
from typing import Any

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, lines

_BATCH_ROWS = 16
"""So few because a row may have megabytes, also where it is a word of a dictionary on disk."""


def each(
    input: inputs.Input, limits: inputs.Limits, passed: inputs.Passed | None = None
) -> Iterator[records.Raw | records.Loss]:
    """The rows with a text: a column `text` is needed, others of `lines.FIELDS` are taken."""
    import pyarrow
    from pyarrow import parquet

    damage = (pyarrow.ArrowException, OSError, ValueError, KeyError)
    with inputs.watch(input.path, passed) as file:
        try:
            table = parquet.ParquetFile(file)
            schema = table.schema_arrow
            num_groups = table.num_row_groups
        except damage as error:
            file.check()
            yield _broken(input.path, error)
            return
        names = [name for name in lines.FIELDS if name in schema.names]
        if "text" not in names or not _is_text(schema.field("text").type):
            yield records.Loss(
                reason="no text",
                where=input.path,
                detail="has no column `text` of strings; rename the column that holds the text.",
            )
            return
        first = 0
        for group in range(num_groups):
            try:
                yield from _group(table, group, names, first, input, limits)
            except damage as error:
                file.check()
                yield _broken(f"{input.path}: row group {group}", error)
            first += table.metadata.row_group(group).num_rows


def _broken(where: str, error: Exception) -> records.Loss:
    return records.Loss(
        reason="broken parquet",
        where=where,
        detail=f"cannot be read ({str(error)[:200]}); fetch or write it again.",
    )


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
        )
    )


def _group(
    table: Any,
    group: int,
    names: list[str],
    first: int,
    input: inputs.Input,
    limits: inputs.Limits,
) -> Iterator[records.Raw | records.Loss]:
    batches = table.iter_batches(
        batch_size=_BATCH_ROWS, row_groups=[group], columns=names, use_threads=False
    )
    row = first
    for batch in batches:
        columns = [_values(batch.column(name)) for name in names]
        for values in zip(*columns, strict=True):
            yield _record(
                dict(zip(names, values, strict=True)), f"{input.path}: row {row}", input, limits
            )
            row += 1


def _values(column: Any) -> list[Any]:
    """The column in Python, text as bytes, because parquet does not check that it is UTF-8."""
    import pyarrow

    if _is_text(column.type):
        column = column.cast(pyarrow.large_binary(), safe=False)
    return column.to_pylist()


def _record(
    row: dict[str, Any], where: str, input: inputs.Input, limits: inputs.Limits
) -> records.Raw | records.Loss:
    for name, value in row.items():
        if isinstance(value, bytes):
            if len(value) > limits.record_bytes:
                return lines.too_long(where, limits.record_bytes)
            try:
                row[name] = value.decode()
            except UnicodeDecodeError as error:
                return lines.not_utf8(where, value[error.start], error.start)
    return lines.raw(row, where, input.source, is_checked=True)
