"""A file that grows by lines: on a disk at once, in a bucket at every sync."""

import pytest

from jgpt2 import storage
from jgpt2.train import lines


def test_on_a_disk_every_line_is_there_at_once(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text("old\n")
    growing = lines.Lines(file, "猫\n")
    growing.add("一")
    assert file.read_text("utf-8") == "猫\n一\n"
    growing.sync()
    growing.close()
    assert file.read_text("utf-8") == "猫\n一\n"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_in_a_bucket_they_are_there_after_a_sync_and_at_the_end(bucket):
    file = bucket / "metrics.jsonl"
    growing = lines.Lines(file, "猫\n")
    growing.add("一")
    assert file.read_text("utf-8") == "猫\n"
    growing.sync()
    assert file.read_text("utf-8") == "猫\n一\n"
    growing.add("二")
    growing.close()
    assert file.read_text("utf-8") == "猫\n一\n二\n"
    assert not growing._local.exists()
    assert storage.files(bucket) == ["metrics.jsonl"]


def test_a_write_that_fails_is_raised_at_the_sync(bucket, monkeypatch):
    growing = lines.Lines(bucket / "metrics.jsonl", "")
    growing.add("一")

    def refuse(file, content):
        raise OSError("the network is down")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="network"):
        patch.setattr(storage, "write_bytes", refuse)
        growing.sync()
    growing.close()
    assert (bucket / "metrics.jsonl").read_text("utf-8") == "一\n"
