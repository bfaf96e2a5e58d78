import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from jgpt2.corpus import read
from jgpt2.errors import DamageError, InputError


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


def test_empty_texts_are_dropped_and_counted(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("", "　\n\t", "あ"), "utf-8")
    drops: Counter[str] = Counter()
    assert [record.document.text for record in read.each([path], drops=drops)] == ["あ"]
    assert drops == {"empty": 2}


def test_report_ends_at_the_total(tmp_path: Path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines("あ", "い").encode()))
    (tmp_path / "b.txt").write_text("う", "utf-8")
    reported: list[tuple[int, int]] = []
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    list(read.each([tmp_path], drops=Counter(), report=lambda *pair: reported.append(pair)))
    assert reported == sorted(reported)
    assert reported[-1] == (total, total)
    assert {pair[1] for pair in reported} == {total}


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
