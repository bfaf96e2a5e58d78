import time

from jgpt2.corpus import annotate, shards, tracking
from jgpt2.corpus.reading import inputs


def test_shards_in_work_count_as_far_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "_INTERVAL_S", 0.01)
    given = [inputs.Input(path=f"{i}", num_bytes=100, stamp="", source="") for i in range(3)]
    planned = [shards.Shard(tmp_path, (entry,), annotate.Settings()) for entry in given]
    told = []

    def wait_for(done):
        until_s = time.monotonic() + 10
        while (done, 300) not in told:
            assert time.monotonic() < until_s, told
            time.sleep(0.01)

    with tracking.followed(planned, lambda *given: told.append(given)):
        wait_for(0)
        planned[0].record.write_text("{}")
        wait_for(100)
        planned[1].position.write_text("40")
        wait_for(140)
        planned[1].position.write_text("1000")  # more than there is: a file that was read twice
        wait_for(200)
        planned[2].position.write_text("")
        planned[1].record.write_text("{}")
        planned[1].position.unlink()
        planned[2].record.write_text("{}")
    assert told[-1] == (300, 300)
    assert told == sorted(told)


def test_nobody_listens(tmp_path):
    with tracking.followed([], None):
        pass


def test_a_worker_notes_how_far_it_is(tmp_path, monkeypatch, tell):
    monkeypatch.setattr(shards.time, "monotonic", iter(range(100_000)).__next__)
    (tmp_path / "a.txt").write_text(tell(1), "utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "雨"}\n' * 4, "utf-8")
    (shard,) = shards.plan(tmp_path / "d", inputs.find([tmp_path]), annotate.Settings())
    noted = []
    write_text = type(shard.position).write_text

    def note(path, text, *rest):
        if path == shard.position:
            noted.append(int(text))
        return write_text(path, text, *rest)

    monkeypatch.setattr(type(shard.position), "write_text", note)
    shards.write(shard)
    assert noted == sorted(noted)
    assert 0 < noted[-1] <= shard.num_bytes
    assert not shard.position.exists()
