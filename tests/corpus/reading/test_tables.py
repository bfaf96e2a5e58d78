from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, read


def make(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def found(path: Path, **limits: int) -> list[records.Raw | records.Loss]:
    (input,) = inputs.find([path])
    return list(read.each(input, limits=inputs.Limits(**limits)))


def contents(path: Path, **limits: int) -> list[str | bytes]:
    return [
        each.content if isinstance(each, records.Raw) else each.reason
        for each in found(path, **limits)
    ]


def test_rows_with_all_fields(tmp_path: Path):
    names = ("text", "url", "source", "license", "title", "cluster")
    columns = {name: [f"{name}一", f"{name}二"] for name in names} | {"id": [7, 8], "x": [0.5, 1]}
    first, second = found(make(tmp_path / "a.parquet", columns))
    assert isinstance(first, records.Raw)
    assert isinstance(second, records.Raw)
    assert (first.content, first.kind, first.id, first.cluster) == (
        "text一",
        "record",
        "7",
        "cluster一",
    )
    assert (second.source, second.license, second.title) == ("source二", "license二", "title二")


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.binary(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
    ids=str,
)
def test_every_type_of_string(tmp_path: Path, kind: pyarrow.DataType):
    texts = pyarrow.array(["山路を", "𠮷\0", "山路を"]).cast(kind)
    path = make(tmp_path / "行.parquet", {"text": texts})
    assert contents(path) == ["山路を", "𠮷\0", "山路を"]
    assert [each.source for each in found(path) if isinstance(each, records.Raw)] == ["行"] * 3


def test_rows_that_cannot_be_used_are_losses(tmp_path: Path):
    texts = pyarrow.array(
        ["一".encode(), None, b"a\xff", b"a" * 101, "二".encode()], pyarrow.binary()
    )
    path = make(tmp_path / "a.parquet", {"text": texts})
    assert contents(path, record_bytes=100) == ["一", "no text", "not UTF-8", "too long", "二"]
    losses = [each for each in found(path, record_bytes=100) if isinstance(each, records.Loss)]
    assert losses[1].where == f"{path}: row 2"
    assert "0xff at offset 1" in losses[1].detail


@pytest.mark.parametrize(
    "columns", [{"body": ["a"]}, {"text": [1]}, {"text": [["a"]]}, {"text": [{"a": "b"}]}], ids=str
)
def test_a_table_without_a_column_of_texts_is_a_loss(tmp_path: Path, columns: dict[str, Any]):
    (loss,) = found(make(tmp_path / "a.parquet", columns))
    assert isinstance(loss, records.Loss)
    assert loss.reason == "no text"
    assert "column `text`" in loss.detail


def test_a_damaged_row_group_costs_itself_only(tmp_path: Path):
    texts = [f"{number:05}" * 20 for number in range(300)]
    path = make(
        tmp_path / "a.parquet",
        {"text": texts},
        row_group_size=100,
        compression="snappy",
        use_dictionary=False,
    )
    chunk = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 400] = b"\xff" * 400
    path.write_bytes(data)
    assert contents(path) == [*texts[:100], "broken parquet", *texts[200:]]


def test_rows_are_counted_over_row_groups(tmp_path: Path):
    texts = ["a"] * 150 + [None]
    (loss,) = [
        each
        for each in found(make(tmp_path / "a.parquet", {"text": texts}, row_group_size=50))
        if isinstance(each, records.Loss)
    ]
    assert loss.where.endswith(": row 150")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1PAR1", b"no table at all"])
def test_a_file_that_is_no_table_is_a_loss(tmp_path: Path, data: bytes):
    (tmp_path / "a.parquet").write_bytes(data)
    assert contents(tmp_path / "a.parquet") == ["broken parquet"]


def test_a_table_without_rows(tmp_path: Path):
    path = make(tmp_path / "a.parquet", {"text": pyarrow.array([], pyarrow.string())})
    assert contents(path) == ["no records"]
