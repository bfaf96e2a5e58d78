import json

from jgpt2.evaluate import baseline, bits, suite

SCORES = [
    bits.DocumentScore("a1", "aozora", 100.0, 10.0, 30, 10, 12),
    bits.DocumentScore("w1", "web", 50.0, 5.0, 20, 10, 10),
    bits.DocumentScore("a2", "aozora", 60.0, 6.0, 20, 8, 8),
]
SUBJECT = {
    "model": "c0ffee",
    "tokenizer": "deca",
    "step": 250,
    "stride": 128,
    "evaluated": "data/ja:test",
}


def test_the_record_says_what_was_measured_how_and_by_source():
    record = json.loads(json.dumps(suite.record(SCORES, **SUBJECT)))
    assert record.items() >= SUBJECT.items()
    assert record["num_documents"] == 3
    assert record["bits_per_byte"] == 210 / 70
    assert record["by_source"]["aozora"]["bits_per_byte"] == 160 / 50
    assert record["by_source"]["web"]["bits_per_char"] == 50 / 10
    assert record["xz"] is None
    assert "documents" not in record


def test_rows_by_document_are_added_when_asked_for():
    record = suite.record(SCORES, **SUBJECT, with_documents=True)
    assert record["documents"][1] == {
        "id": "w1",
        "source": "web",
        "bits": 50.0,
        "eot_bits": 5.0,
        "num_bytes": 20,
        "num_chars": 10,
        "num_tokens": 10,
        "is_restored": True,
    }


def test_the_table_has_a_row_by_source_and_one_for_all():
    columns, rows = suite.table(suite.record(SCORES, **SUBJECT))
    assert rows == [
        ("aozora", 2, 50, 3.2, 160 / 18, 2.5),
        ("web", 1, 20, 2.5, 5.0, 2.0),
        ("all", 3, 70, 3.0, 7.5, 70 / 30),
    ]
    assert columns == suite.COLUMNS[:6]  # no heading of xz, which was not asked for


def test_the_bar_stands_beside_the_model():
    xz = baseline.Sizes(
        overall=baseline.Compressed(3, 70, 35),
        by_source={"aozora": baseline.Compressed(2, 50, 20), "web": baseline.Compressed(1, 20, 25)},
    )
    record = json.loads(json.dumps(suite.record(SCORES, **SUBJECT, xz=xz)))
    assert record["xz"]["bits_per_byte"] == 4.0
    columns, rows = suite.table(record)
    assert columns[-1] == "xz bits/byte"
    assert [row[-1] for row in rows] == [3.2, 10.0, 4.0]
