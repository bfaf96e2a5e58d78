import dataclasses
import gzip
import json
import subprocess

import pytest

from jgpt2.corpus import annotate, shards
from jgpt2.corpus.duplicates import minhash
from jgpt2.corpus.reading import inputs
from jgpt2.errors import DamageError


@pytest.fixture
def planned(tmp_path, tell):
    """One shard of three files, two of whose records cannot be used."""
    source = tmp_path / "原 稿"
    source.mkdir()
    for i in range(2):
        lines = [json.dumps({"text": tell(10 * i + j)}) for j in range(4)]
        (source / f"{i}.jsonl").write_text("\n".join([*lines, "{"]), "utf-8")
    (source / "本.txt").write_text(tell(99), "utf-8")
    return shards.plan(tmp_path / "文書", inputs.find([source]), annotate.Settings())


def test_a_shard_is_written_and_read(planned, tell):
    (shard,) = planned
    assert not shards.is_finished(shard)
    shards.write(shard)
    assert shards.is_finished(shard)
    places = list(shards.read_documents(shard))
    found = [item.document.text for _, _, item in places]
    assert found == [*(tell(i) for i in range(4)), *(tell(10 + i) for i in range(4)), tell(99)]
    for start, row, item in places:
        assert shards.read_at(shard, start, int(row["length"])) == item
    (table,) = shards.read_table(shard)
    assert (table["signature"] == minhash.signatures(found)).all()
    assert table["digest"].tolist() == [shards.digest(text) for text in found]
    counted, losses = shards.read_account(shard)
    assert counted.stages["read"].drops["not JSON"].documents == 2
    assert [loss["where"][-8:] for loss in losses] == ["/0.jsonl", "/1.jsonl"] or len(losses) == 2


def test_anybody_can_read_the_documents(planned):
    shards.write(planned[0])
    shown = subprocess.run(
        ["gzip", "-dc", planned[0].documents], capture_output=True, check=True
    ).stdout
    lines = [json.loads(line) for line in shown.decode().splitlines()]
    assert len(lines) == 9
    assert {"id", "text", "scores", "raw_sha256", "kind", "masks"} <= lines[0].keys()


def test_the_same_input_gives_the_same_bytes(planned, tmp_path):
    shards.write(planned[0])
    other = dataclasses.replace(planned[0], folder=tmp_path / "other")
    shards.write(other)
    assert other.key == planned[0].key
    assert other.documents.read_bytes() == planned[0].documents.read_bytes()
    assert other.table.read_bytes() == planned[0].table.read_bytes()


def test_the_key_tells_of_all_that_decides(planned, tmp_path):
    shard = planned[0]
    fast = dataclasses.replace(shard, settings=annotate.Settings(extractor="fast"))
    fewer = dataclasses.replace(shard, inputs=shard.inputs[1:])
    changed = dataclasses.replace(shard.inputs[0], stamp="other")
    touched = dataclasses.replace(shard, inputs=(changed, *shard.inputs[1:]))
    assert len({shard.key, fast.key, fewer.key, touched.key}) == 4


def test_a_finished_shard_is_not_made_again(planned):
    shards.write(planned[0])
    before = planned[0].documents.stat().st_mtime_ns
    shards.write(planned[0])
    assert planned[0].documents.stat().st_mtime_ns == before
    planned[0].table.write_bytes(b"")  # cut short: it is not finished
    assert not shards.is_finished(planned[0])
    shards.write(planned[0])
    assert shards.is_finished(planned[0])


def test_shards_of_another_plan_stay_and_are_told_of(planned, tmp_path):
    shards.write(planned[0])
    other = dataclasses.replace(planned[0], settings=annotate.Settings(obey_robots=False))
    (planned[0].folder / "メモ.json").write_text("大事", "utf-8")
    (planned[0].folder / f"{planned[0].key}.table.partial").write_bytes(b"1")
    assert shards.tidy(planned[0].folder, planned) == (0, 0)
    shards.write(other)
    before = {path.name for path in planned[0].folder.iterdir()}
    assert len(before) == 7
    files = (planned[0].documents, planned[0].table, planned[0].record)
    num_bytes = sum(path.stat().st_size for path in files)
    assert shards.tidy(planned[0].folder, [other]) == (1, num_bytes)
    assert {path.name for path in planned[0].folder.iterdir()} == before


def test_small_files_share_a_shard_and_large_ones_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 100)
    monkeypatch.setattr(shards, "SHARD_FILES", 3)
    sizes = [30, 30, 30, 30, 500, 1, 99, 1]
    given = [
        inputs.Input(path=f"{i}", num_bytes=size, stamp="", source="")
        for i, size in enumerate(sizes)
    ]
    groups = [
        [entry.num_bytes for entry in shard.inputs]
        for shard in shards.plan(tmp_path, given, annotate.Settings())
    ]
    assert groups == [[30, 30, 30], [30], [500], [1, 99], [1]]


def test_damage_is_named(planned):
    shard = planned[0]
    shards.write(shard)
    data = bytearray(shard.documents.read_bytes())
    data[200] ^= 0xFF
    shard.documents.write_bytes(data)
    with pytest.raises(DamageError, match=r"gz is damaged; .*made anew"):
        list(shards.read_documents(shard))
    table = bytearray(shard.table.read_bytes())
    table[100] ^= 1
    shard.table.write_bytes(table)
    with pytest.raises(DamageError, match=r"table is damaged; .*made anew"):
        list(shards.read_table(shard))
    shard.record.write_text("{", "utf-8")
    with pytest.raises(DamageError, match="cannot be read"):
        shards.is_finished(shard)


def test_a_member_has_no_time_in_it(planned):
    shards.write(planned[0])
    data = planned[0].documents.read_bytes()
    assert data[4:8] == b"\0\0\0\0"
    assert gzip.decompress(data).count(b"\n") == 9
