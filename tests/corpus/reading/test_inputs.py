import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from jgpt2.corpus.reading import inputs
from jgpt2.errors import InputError


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")


def test_folders_are_sorted_without_hidden_files_and_links(tmp_path: Path):
    wanted = ["a/z.HTML", "b.txt", "b.warc.gz", "c d/長い.parquet", "e.zip"]
    make(tmp_path, *wanted, ".hidden.txt", ".git/x.txt", "f.png", "g.tar.gz")
    (tmp_path / "link.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe.jsonl")  # would wait for a writer
    found = inputs.find([tmp_path])
    assert [each.path for each in found] == [str(tmp_path / name) for name in wanted]


def test_a_file_given_twice_is_found_once(tmp_path: Path):
    make(tmp_path, "a.txt", "b.txt")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    found = inputs.find([tmp_path / "b.txt", str(tmp_path), tmp_path / "link.txt"])
    assert [Path(each.path).name for each in found] == ["b.txt", "a.txt"]


@pytest.mark.parametrize("name", list(inputs.READERS))
def test_every_kind_is_found_by_its_suffix(tmp_path: Path, name: str):
    make(tmp_path, f"x{name}", f"Y{name.upper()}")
    assert len(inputs.find([tmp_path])) == 2
    assert inputs.suffix(f"x.1{name}") == name


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("新聞.jsonl.gz", "新聞"),
        ("wiki.2024.jsonl", "wiki.2024"),
        ("rows.parquet", "rows"),
        ("a.txt", "棚"),
        ("a.html", "棚"),
        ("a.warc.gz", "棚"),
        ("a.zip", "棚"),
    ],
)
def test_sources(tmp_path: Path, name: str, source: str):
    make(tmp_path, f"棚/{name}")
    assert [each.source for each in inputs.find([tmp_path])] == [source]


def test_the_stamp_changes_with_the_content(tmp_path: Path):
    make(tmp_path, "a.txt")
    (before,) = inputs.find([tmp_path])
    assert inputs.find([tmp_path]) == [before]
    (tmp_path / "a.txt").write_text("other", "utf-8")
    (after,) = inputs.find([tmp_path])
    assert after.stamp != before.stamp
    assert (before.num_bytes, after.num_bytes) == (5, 5)


def check_refused(path: str | Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        inputs.find([path])
    for part in parts:
        assert part in str(caught.value)


def test_missing_unknown_and_empty_paths(tmp_path: Path):
    check_refused(tmp_path / "無い", "無い", "check the path")
    make(tmp_path, "a.docx")
    check_refused(tmp_path / "a.docx", "a.docx", ".warc.gz", ".jsonl")
    check_refused(tmp_path, "folder", ".warc.gz", ".jsonl")
    with pytest.raises(InputError, match="no input files"):
        inputs.find([])


def test_a_name_longer_than_a_disk_takes_is_its_error(tmp_path: Path):
    with pytest.raises(OSError, match="too long"):
        inputs.find([tmp_path / ("長" * 100 + ".txt")])


def test_a_shorter_list_of_suffixes(tmp_path: Path):
    make(tmp_path, "a.txt", "b.html")
    assert len(inputs.find([tmp_path], suffixes=(".txt",))) == 1
    with pytest.raises(InputError, match=r"end in one of \.txt\."):
        inputs.find([tmp_path / "b.html"], suffixes=(".txt",))


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    for name in ("a.jsonl", "下/b.warc.gz", "下/c.png", "下/.d.txt", ".e/f.txt"):
        system.pipe(f"/bucket/{name}", name.encode())
    yield system
    system.rm("/bucket", recursive=True)


def test_urls_of_files_folders_and_patterns(bucket: fsspec.AbstractFileSystem):
    one, two = "memory:///bucket/a.jsonl", "memory:///bucket/下/b.warc.gz"
    assert [each.path for each in inputs.find(["memory://bucket"])] == [one, two]
    assert [each.path for each in inputs.find(["memory://bucket/a.jsonl"])] == [one]
    assert [each.path for each in inputs.find(["memory://bucket/*/*"])] == [two]
    assert [each.path for each in inputs.find([one, "memory://bucket/*.jsonl"])] == [one]
    sources = [each.source for each in inputs.find(["memory://bucket"])]
    assert sources == ["a", "下"]
    with inputs.open_binary(two) as file:
        assert file.read() == "下/b.warc.gz".encode()


def test_the_stamp_of_a_url_changes_with_the_content(bucket: fsspec.AbstractFileSystem):
    url = "memory://bucket/a.jsonl"
    before = inputs.find([url])
    assert inputs.find([url]) == before
    bucket.pipe("/bucket/a.jsonl", b"a.jsonx")
    assert inputs.find([url])[0].stamp != before[0].stamp


def test_urls_that_stand_for_nothing(bucket: fsspec.AbstractFileSystem):
    check_refused("memory://bucket/無い", "無い", "check the URL")
    check_refused("memory://bucket/下/c.png", "c.png", "known kind")
    check_refused("memory://bucket/*.docx", "*.docx", "give another folder")
    check_refused("nothing://bucket/a", "nothing://bucket/a", "unknown protocol", "gs://")


@pytest.mark.parametrize(("url", "package"), [("gs://b/a.txt", "gcsfs"), ("s3://b/a.txt", "s3fs")])
def test_a_file_system_that_is_not_installed_names_the_extra(url: str, package: str):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    extra = {"gcsfs": "gcs", "s3fs": "s3"}[package]
    check_refused(url, url, f"jgpt2[{extra}]")
