import io
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, read

TEXT = "　山路を登りながら、こう考えた。\r\n".encode("cp932")


def make(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def found(path: Path, **limits: int) -> list[records.Raw | records.Loss]:
    (input,) = inputs.find([path])
    return list(read.each(input, limits=inputs.Limits(**limits)))


def raws(path: Path, **limits: int) -> list[records.Raw]:
    return [each for each in found(path, **limits) if isinstance(each, records.Raw)]


def reasons(path: Path, **limits: int) -> list[str]:
    """Reasons of losses, "" for a record."""
    return [getattr(each, "reason", "") for each in found(path, **limits)]


def test_members_of_known_kind(tmp_path: Path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in "一二").encode()
    folder = tmp_path / "青空"
    folder.mkdir()
    path = make(
        folder / "a.zip", {"草枕.txt": TEXT, "頁/b.HTM": b"<p>", "dir/": b"", "c.jsonl": lines}
    )
    text, page, first, second = raws(path)
    assert (text.content, text.kind, text.title, text.source) == (TEXT, "text", "草枕", "青空")
    assert (page.content, page.kind) == (b"<p>", "html")
    assert (first.content, second.content, first.kind) == ("一", "二", "record")
    assert len(found(path)) == 4


def test_a_bad_line_in_a_member_says_where(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"x.jsonl": b'{"text": "a"}\n{"text": \n'})
    _, loss = found(path)
    assert isinstance(loss, records.Loss)
    assert (loss.reason, loss.where) == ("not JSON", f"{path}: x.jsonl:2")


@pytest.mark.parametrize("encoding", ["cp932", "utf-8"])
def test_names_without_the_flag_for_utf8(tmp_path: Path, encoding: str):
    name = "吾輩は猫である.txt".encode(encoding)
    stand_in = "x" * (len(name) - 4) + ".txt"
    path = make(tmp_path / "a.zip", {stand_in: TEXT})
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name))
    (raw,) = raws(path)
    assert raw.title == "吾輩は猫である"


def test_a_name_of_300_bytes(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"長" * 100 + ".txt": TEXT})
    assert [raw.title for raw in raws(path)] == ["長" * 100]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_both_read(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", b"1")
        file.writestr("a.txt", b"2")
    assert [raw.content for raw in raws(tmp_path / "a.zip")] == [b"1", b"2"]


@pytest.mark.parametrize(
    "name", ["../a.txt", "x/../../a.txt", "/etc/a.txt", "C:/a.txt", "C:\\a.txt", "..\\a.txt"]
)
def test_names_that_lead_out_of_a_folder_are_losses(tmp_path: Path, name: str):
    path = make(tmp_path / "a.zip", {name: TEXT, "b.txt": TEXT})
    assert reasons(path) == ["unsafe name in zip", ""]


def test_other_members_are_losses(tmp_path: Path):
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr("inner.zip", b"PK")
        file.writestr("x.jsonl.gz", b"")
        file.writestr("絵.png", b"")
    assert reasons(tmp_path / "a.zip") == [
        "link in zip",
        "archive in zip",
        "archive in zip",
        "member of another kind",
    ]


def test_an_encrypted_member_is_a_loss(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"a.txt": TEXT, "b.txt": TEXT})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # general purpose flag, bit 0
    path.write_bytes(data)
    assert reasons(path) == ["encrypted zip", ""]


def test_a_wrong_checksum_is_a_loss(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"a.txt": TEXT, "b.txt": TEXT}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(TEXT, TEXT.replace(b",", b";")[:-1] + b"x", 1))
    assert reasons(path) == ["broken zip", ""]


def test_a_file_that_is_no_zip_is_a_loss(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    assert reasons(tmp_path / "a.zip") == ["broken zip"]


def test_a_zip_bomb_by_ratio_is_cut_off(tmp_path: Path):
    bomb = b"0" * (30 << 20)
    path = make(tmp_path / "a.zip", {"a.txt": bomb, "b.html": bomb, "c.jsonl": bomb, "d.txt": TEXT})
    assert reasons(path) == ["zip bomb", "zip bomb", "zip bomb", ""]


def test_a_size_in_the_header_is_not_believed(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"a.txt": b"0" * (30 << 20)})
    data = path.read_bytes().replace(struct.pack("<I", 30 << 20), struct.pack("<I", 100))
    path.write_bytes(data)
    assert reasons(path) == ["broken zip"]


def test_real_pages_are_no_bombs(tmp_path: Path):
    page = b"<tr><td class='cell'>&nbsp;</td></tr>\n" * 100_000
    page += os.urandom(len(page) // 60)  # repetitive HTML packs about 50 to 1
    path = make(tmp_path / "a.zip", {"a.html": page})
    assert len(page) / path.stat().st_size > 40
    assert reasons(path) == [""]


def test_a_zip_that_unpacks_to_too_much_ends_there(tmp_path: Path):
    path = make(tmp_path / "a.zip", {f"{number}.txt": b"a" * 1000 for number in range(10)})
    assert reasons(path, zip_bytes=4500) == ["", "", "", "", "zip bomb"]


def test_a_zip_of_too_many_members_ends_there(tmp_path: Path):
    path = make(tmp_path / "a.zip", {f"{number}.txt": b"a" for number in range(10)})
    assert reasons(path, zip_members=3) == ["", "", "", "zip of too many members"]


def test_a_list_of_members_that_is_too_long_is_refused(tmp_path: Path):
    path = make(tmp_path / "a.zip", {"a.txt": TEXT})
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    padding = b"\0" * (17 << 20)
    size = struct.pack("<I", struct.unpack_from("<I", data, end + 12)[0] + len(padding))
    path.write_bytes(data[:end] + padding + data[end : end + 12] + size + data[end + 16 :])
    assert reasons(path) == ["broken zip"]


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path / "a.zip", {"../up.txt": TEXT, "a.txt": TEXT, "sub/b.html": TEXT})
    before = sorted(tmp_path.parent.rglob("*"))
    found(path)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_members_are_read_from_a_url(tmp_path: Path):
    import fsspec

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", TEXT)
    fsspec.filesystem("memory").pipe("/zips/a.zip", packed.getvalue())
    (input,) = inputs.find(["memory://zips/a.zip"])
    assert [each.content for each in read.each(input) if isinstance(each, records.Raw)] == [TEXT]


def test_zips_of_aozora_bunko(raw_data: Path):
    texts = raws_of(raw_data / "aozora")
    assert len(texts) == 40
    assert all("底本" in text.decode("cp932") for text in texts)


def raws_of(folder: Path) -> list[bytes]:
    return [
        each.content
        for input in inputs.find([folder])
        for each in read.each(input)
        if isinstance(each, records.Raw) and isinstance(each.content, bytes)
    ]
