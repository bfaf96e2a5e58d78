import bz2
import errno
import gzip
import hashlib
import io
import json
import os
import random
import threading
from pathlib import Path

import fsspec
import pytest

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, read
from jgpt2.errors import DamageError, InputError


def zstd(data: bytes) -> bytes:
    from fastwarc import ZstdWriter

    packed = io.BytesIO()
    with ZstdWriter(packed) as writer:
        writer.write(data)
    return packed.getvalue()


def lines(*texts: str, **fields: object) -> str:
    return "".join(json.dumps({"text": text} | fields) + "\n" for text in texts)


def test_jsonl_takes_known_fields_and_ignores_others(tmp_path: Path):
    path = tmp_path / "青空.jsonl"
    record = {
        "id": 17,
        "url": "https://example.jp/",
        "source": "青空文庫",
        "license": "CC0-1.0",
        "title": "草枕",
        "text": "山路を登りながら、\r\n𠮷",
        "author": "夏目漱石",
    }
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n\n", "utf-8")
    (document,) = read.documents([path])
    assert document.id == "17"
    assert document.text == "山路を登りながら、\r\n𠮷"
    assert (document.source, document.license, document.title) == ("青空文庫", "CC0-1.0", "草枕")
    assert document.num_bytes == len(document.text.encode())


def test_defaults_of_missing_fields(tmp_path: Path):
    path = tmp_path / "news.jsonl.gz"
    path.write_bytes(gzip.compress(lines("一", "二", "一", title=None).encode()))
    first, second, third = read.documents([path])
    assert first.source == "news"
    assert (first.url, first.license, first.title) == ("", "", "")
    assert first.id == third.id != second.id


def test_txt_is_one_document(tmp_path: Path):
    folder = tmp_path / "手紙 集"
    folder.mkdir()
    (folder / "一通目.txt").write_bytes(b"\xef\xbb\xbf" + "拝啓\r\n敬具\r\n".encode())
    (document,) = read.documents([folder])
    assert (document.title, document.source) == ("一通目", "手紙 集")
    assert document.text == "拝啓\n敬具\n"


def test_byte_order_mark_of_jsonl_is_skipped(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines("あ").encode())
    assert [document.text for document in read.documents([path])] == ["あ"]


def test_folders_are_sorted_without_hidden_files_and_links(tmp_path: Path):
    for name in ("b.txt", "a/z.txt", "c.jsonl", ".hidden.txt", ".git/x.txt", "d.html"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(lines(name) if name.endswith("jsonl") else name, "utf-8")
    (tmp_path / "link.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    texts = [document.text for document in read.documents([tmp_path])]
    assert texts == ["a/z.txt", "b.txt", "c.jsonl"]


def test_a_file_given_twice_is_read_once(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("あ", "utf-8")
    assert len(list(read.documents([path, tmp_path, tmp_path / "." / "a.txt"]))) == 1


def test_empty_texts_are_left_out(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("", "　\n\t", "あ"), "utf-8")
    assert [document.text for document in read.documents([path])] == ["あ"]


def test_a_file_without_records_gives_no_documents(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(b"\n \n")
    (tmp_path / "b.txt").write_bytes(b"")
    assert list(read.documents([tmp_path])) == []


def check_refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read.documents([path]))
    for part in parts:
        assert part in str(caught.value)


def test_not_utf8_names_the_byte(tmp_path: Path):
    path = tmp_path / "sjis.txt"
    path.write_bytes(b"abc" + "日本語".encode("cp932"))
    check_refused(path, str(path), "0x93 at offset 3", "iconv -f cp932")
    path = tmp_path / "bom.txt"
    path.write_bytes(b"\xef\xbb\xbfabc\xff")
    check_refused(path, "0xff at offset 6")


def test_not_utf8_in_a_later_line(tmp_path: Path):
    first = lines("あ").encode()
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(first + b'{"text": "\xa4\xa2"}\n'))
    check_refused(path, f"offset {len(first) + 10} of its content")


def test_bad_json_names_the_line(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("あ") + '{"text": "い"\n', "utf-8")
    check_refused(path, f"{path}:2", "not JSON")


@pytest.mark.parametrize("line", ['{"title": "あ"}', '"あ"', '{"text": 3}', '{"text": null}'])
def test_a_line_without_text_is_refused(tmp_path: Path, line: str):
    path = tmp_path / "a.jsonl"
    path.write_text(line, "utf-8")
    check_refused(path, f"{path}:1", "has no text")


def test_a_field_of_another_type_is_refused(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("あ", license=["MIT"]), "utf-8")
    check_refused(path, f"{path}:1", "license", "['MIT']")


@pytest.mark.parametrize("field", ["text", "title"])
def test_lone_surrogate_is_refused(tmp_path: Path, field: str):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("い") + lines("い", **{field: "あ\ud83d"}), "utf-8")
    check_refused(path, f"{path}:2", r"\ud83d at character 1", field)


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\ud842\\udfb7"}', "utf-8")
    assert [document.text for document in read.documents([path])] == ["𠮷"]


def test_missing_unknown_and_empty_paths(tmp_path: Path):
    check_refused(tmp_path / "無い", "無い", "check the path")
    (tmp_path / "a.html").write_text("<p>")
    check_refused(tmp_path / "a.html", "a.html", ".jsonl, .jsonl.gz, .txt")
    check_refused(tmp_path, "folder", ".jsonl, .jsonl.gz, .txt")
    with pytest.raises(InputError, match="no input files"):
        list(read.documents([]))


@pytest.mark.parametrize("broken", ["cut", "bent", "plain"])
def test_broken_gzip_is_damage(tmp_path: Path, broken: str):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(lines(*(str(i) for i in range(1000))).encode())
    bent = whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]
    path.write_bytes({"cut": whole[:-20], "bent": bent, "plain": b"text"}[broken])
    with pytest.raises((DamageError, InputError), match=r"a\.jsonl\.gz") as caught:
        list(read.documents([path]))
    if broken != "bent":  # a bent byte may also unpack to what is not UTF-8
        assert isinstance(caught.value, DamageError)


def found(path: Path, **limits: int) -> list[records.Raw | records.Loss]:
    (input,) = inputs.find([path])
    return list(read.each(input, limits=inputs.Limits(**limits)))


def contents(path: Path, **limits: int) -> list[str | bytes]:
    """Contents of records, and reasons of losses in their place."""
    return [
        each.content if isinstance(each, records.Raw) else each.reason
        for each in found(path, **limits)
    ]


def test_each_goes_on_after_bad_lines(tmp_path: Path):
    path = tmp_path / "混在.jsonl"
    path.write_bytes(
        lines("一").encode()
        + b'{"text": "\xa4\xa2"}\n'
        + b'{"text": \n'
        + lines("あ\ud83d").encode()
        + b"\n\xe3\x80\x80\n[]\n"
        + lines("二").encode()
    )
    assert contents(path) == [
        "一",
        "not UTF-8",
        "not JSON",
        "unpaired surrogate",
        "no text",
        "二",
    ]
    assert [each.where for each in found(path) if isinstance(each, records.Loss)] == [
        f"{path}:{number}" for number in (2, 3, 4, 7)
    ]


def test_each_gives_the_cluster_and_all_fields(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    names = ("id", "url", "source", "license", "title", "cluster")
    path.write_text(lines("一", **{name: f"{name}の値" for name in names}), "utf-8")
    (raw,) = found(path)
    assert isinstance(raw, records.Raw)
    assert (raw.kind, raw.content) == ("record", "一")
    assert all(getattr(raw, name) == f"{name}の値" for name in names)


def test_deep_json_and_huge_numbers_are_not_json(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 200_000 + "\n" + '{"text": ' + "9" * 5000 + "}\n" + lines("一"), "utf-8")
    assert contents(path) == ["not JSON", "not JSON", "一"]


@pytest.mark.parametrize("num_bytes", [99, 100, 101, 600_000])
def test_a_line_is_as_long_as_the_limit_at_most(tmp_path: Path, num_bytes: int):
    path = tmp_path / "a.jsonl"
    long = b'{"text": "' + b"a" * (num_bytes - 13) + b'"}\n'
    assert len(long) == num_bytes
    path.write_bytes(long + lines("次").encode())
    first, second = contents(path, record_bytes=100)
    assert (first == "too long") == (num_bytes > 100)
    assert second == "次"


def test_offsets_count_lines_that_were_too_long(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a" * 500 + b"\n\xff\n")
    _, loss = found(path, record_bytes=100)
    assert isinstance(loss, records.Loss)
    assert "0xff at offset 501" in loss.detail


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", PACK)
def test_packed_lines(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](lines("一", "二").encode()))
    assert contents(path) == ["一", "二"]


@pytest.mark.parametrize("suffix", PACK)
def test_lines_before_damage_are_kept(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.jsonl{suffix}"
    texts = [hashlib.sha256(bytes([number % 251])).hexdigest() * 40 for number in range(600)]
    whole = b"".join(PACK[suffix](line.encode()) for line in map(lines, texts[:-1]))
    last = PACK[suffix](lines(texts[-1]).encode())
    path.write_bytes(whole + last[: len(last) // 2])
    *kept, loss = contents(path)
    assert kept == texts[: len(kept)]
    assert len(kept) >= len(texts) - 200
    assert str(loss).startswith("broken ")


def test_each_takes_whole_files_as_bytes(tmp_path: Path):
    folder = tmp_path / "手紙 集"
    folder.mkdir()
    page = "<p>拝啓</p>".encode("cp932")
    (folder / "頁.HTML").write_bytes(page)
    (folder / "文.txt").write_bytes(b"\xef\xbb\xbfa\r\n\xff")
    text, html = [each for input in inputs.find([folder]) for each in read.each(input)]
    assert (html.content, html.kind, html.source) == (page, "html", "手紙 集")
    assert (text.content, text.kind) == (b"\xef\xbb\xbfa\r\n\xff", "text")
    assert text.title == "文"


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_a_file_is_as_long_as_the_limit_at_most(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"a" * 100)
    limits = {"record_bytes": 100, "text_bytes": 100}
    assert contents(tmp_path / name, **limits) == [b"a" * 100]
    (tmp_path / name).write_bytes(b"a" * 101)
    assert contents(tmp_path / name, **limits) == ["too long"]


def test_a_file_without_records_is_a_loss(tmp_path: Path):
    for name in ("a.jsonl", "b.warc", "c.wet.gz"):
        (tmp_path / name).write_bytes(b"")
        assert contents(tmp_path / name) == ["no records"]


@pytest.mark.parametrize("name", ["管.jsonl", "管.txt"])
def test_named_pipes(tmp_path: Path, name: str):
    pipe = tmp_path / name
    os.mkfifo(pipe)
    data = lines("雨").encode() if name.endswith("l") else "雨".encode()
    thread = threading.Thread(target=pipe.write_bytes, args=[data])
    thread.start()
    assert [document.text for document in read.documents([pipe])] == ["雨"]
    thread.join()


def test_failures_of_the_disk_are_raised(tmp_path: Path):
    for name in ("a.jsonl", "a.jsonl.gz", "a.warc.gz", "a.zip", "a.txt", "a.parquet"):
        input = inputs.Input(path=str(tmp_path / name), num_bytes=0, stamp="", source="")
        with pytest.raises(FileNotFoundError):
            list(read.each(input))


class Failing(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 1000:
            raise OSError(errno.EIO, "input/output error")
        return super().read(1000 if size is None or size < 0 else min(size, 1000))


class FailingSystem(fsspec.AbstractFileSystem):
    """A file system that gives the first 1000 bytes of the one file it has."""

    protocol = "failing"
    data = b""

    def _open(self, path: str, mode: str = "rb", **_: object) -> Failing:
        return Failing(self.data)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.warc.gz", "a.zip"])
def test_a_disk_that_fails_while_reading_is_no_loss(name: str):
    data = random.Random(1).randbytes(100_000)
    plain = (json.dumps({"text": data.hex()}) + "\n").encode()
    FailingSystem.data = {
        "a.jsonl": plain,
        "a.jsonl.gz": gzip.compress(plain),
        "a.jsonl.zst": zstd(plain),
        "a.warc.gz": gzip.compress(b"WARC/1.0\r\nContent-Length: 200000\r\n\r\n" + plain),
        "a.zip": plain,
    }[name]
    fsspec.register_implementation("failing", FailingSystem, clobber=True)
    input = inputs.Input(path=f"failing://{name}", num_bytes=0, stamp="", source="")
    with pytest.raises(OSError, match="input/output error"):
        list(read.each(input))
