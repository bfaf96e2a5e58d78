import dataclasses
import json
import re

import pytest

import jgpt2
from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0.bin").write_bytes(b"\x00\x01\x02\x03")
    (tmp_path / "語彙.txt").write_text("猫\n犬\n", "utf-8")
    return tmp_path


def write(folder, **changes):
    given = {
        "kind": "tokens",
        "name": "sample",
        "identity": {"dtype": "uint16", "share": 0.1},
        "parents": {"dataset": "a" * 64},
        "files": ["語彙.txt", "shards/0.bin"],
        "notes": {"num_tokens": 2},
    }
    return manifest.write(folder, **given | changes)


def edit(folder, **changes):
    path = folder / manifest.FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def test_what_is_written_is_read_and_verified(folder):
    assert not manifest.exists(folder)
    written = write(folder)
    assert manifest.exists(folder)
    assert manifest.read(folder, kind="tokens") == written
    assert manifest.verify(folder, kind="tokens") == written
    assert manifest.verify(folder) == written  # of any kind
    assert list(written.files) == ["shards/0.bin", "語彙.txt"]
    assert written.files["shards/0.bin"] == {
        "num_bytes": 4,
        "sha256": "054edec1d0211f624fed0cbca9d4f9400b0e491c43742af2c5b0abebf0c990d8",
    }  # sha256sum of the four bytes
    assert written.code_version.startswith(jgpt2.__version__)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", written.created)


def test_the_record_is_readable_utf8(folder):
    write(folder, name="標本")
    text = (folder / manifest.FILE_NAME).read_text("utf-8")
    assert "標本" in text and "語彙.txt" in text and text.endswith("}\n")


def test_the_fingerprint_is_of_the_content_alone(folder):
    first = write(folder).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert write(folder, name="other", notes=None).fingerprint == first
    assert write(folder, files=["shards/0.bin", "語彙.txt"]).fingerprint == first
    others = [
        write(folder, kind="dataset"),
        write(folder, identity={"dtype": "uint32", "share": 0.1}),
        write(folder, parents={"dataset": "b" * 64}),
        write(folder, parents={"tokenizer": "a" * 64}),
        write(folder, files=["語彙.txt"]),
    ]
    (folder / "語彙.txt").write_text("猫\n鳥\n", "utf-8")
    others.append(write(folder))
    fingerprints = {first, *(other.fingerprint for other in others)}
    assert len(fingerprints) == 1 + len(others)


@pytest.mark.parametrize("position", range(4))
def test_a_flipped_byte_is_damage_and_named(folder, position):
    write(folder)
    path = folder / "shards" / "0.bin"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamageError, match=r"shards/0\.bin does not match its SHA-256 .* restore"):
        manifest.verify(folder, kind="tokens")


def test_a_file_cut_short_is_damage(folder):
    write(folder)
    (folder / "語彙.txt").write_text("猫\n", "utf-8")
    with pytest.raises(DamageError, match=r"語彙\.txt does not match"):
        manifest.verify(folder, kind="tokens")


def test_a_missing_file_is_damage_and_named(folder):
    write(folder)
    (folder / "語彙.txt").unlink()
    with pytest.raises(DamageError, match=r"語彙\.txt is missing, though .* lists it; restore it"):
        manifest.verify(folder, kind="tokens")


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {}},
        {"parents": {"dataset": "b" * 64}},
        {"files": {}},
        {"fingerprint": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_changed_by_hand_is_damage(folder, change):
    write(folder)
    edit(folder, **change)
    with pytest.raises(DamageError, match="was changed after it was written"):
        manifest.verify(folder, kind="tokens")


def test_name_and_notes_may_be_changed_by_hand(folder):
    write(folder)
    edit(folder, name="renamed", notes={"licence": "CC0"})
    assert manifest.verify(folder, kind="tokens").name == "renamed"


def test_without_a_manifest_the_artefact_is_unfinished(tmp_path):
    with pytest.raises(InputError, match=r"no finished run at .*: it has no manifest\.json; build"):
        manifest.read(tmp_path, kind="run")
    with pytest.raises(InputError, match="no finished artefact at"):
        manifest.verify(tmp_path)


def test_another_kind_is_refused(folder):
    write(folder)
    with pytest.raises(InputError, match="holds a tokens, not a run; give the folder of a run"):
        manifest.read(folder, kind="run")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"{}", b'{"kind": "tokens"}', b"\xff\xfe{}", b'{"extra": 1}'],
)
def test_an_unreadable_manifest_is_damage(folder, content):
    write(folder)
    (folder / manifest.FILE_NAME).write_bytes(content)
    with pytest.raises(DamageError, match=r"manifest\.json cannot be read .*; restore it or build"):
        manifest.read(folder, kind="tokens")


@pytest.mark.parametrize("entry", [{"num_bytez": 4, "sha256": "0"}, {"num_bytes": 4}, 4])
def test_a_manifest_with_an_unreadable_entry_is_damage(folder, entry):
    write(folder)
    edit(folder, files={"shards/0.bin": entry})
    with pytest.raises(DamageError, match=r"manifest\.json cannot be read .*; restore it or build"):
        manifest.read(folder, kind="tokens")


def test_an_unlisted_file_does_not_matter(folder):
    write(folder)
    (folder / "more.txt").write_text("", "utf-8")
    manifest.verify(folder, kind="tokens")


def test_a_listed_file_that_is_not_there_leaves_no_manifest(folder):
    with pytest.raises(FileNotFoundError, match=r"absent\.bin"):
        write(folder, files=["absent.bin"])
    assert not manifest.exists(folder)


def test_a_manifest_is_a_value(folder):
    written = write(folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        written.name = "other"  # type: ignore[misc]


def test_write_text_makes_folders_and_replaces_whole_files(tmp_path):
    path = tmp_path / "a" / "b" / "page.html"
    manifest.write_text(path, "長い文章" * 1000)
    manifest.write_text(path, "短い")
    assert path.read_bytes() == "短い".encode()
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_write_text_keeps_the_old_file_where_the_new_cannot_be_encoded(tmp_path):
    path = tmp_path / "page.html"
    manifest.write_text(path, "古い")
    with pytest.raises(UnicodeEncodeError):
        manifest.write_text(path, "新しい" + "\ud800")
    assert path.read_text("utf-8") == "古い"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_write_text_leaves_nothing_where_a_folder_is_in_the_way(tmp_path):
    (tmp_path / "page.html" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="page"):
        manifest.write_text(tmp_path / "page.html", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html" / "inside").is_dir()


def test_write_text_touches_nothing_where_its_temporary_name_is_taken_by_a_folder(tmp_path):
    manifest.write_text(tmp_path / "page.html", "古い")
    (tmp_path / "page.html.partial").mkdir()
    with pytest.raises(OSError, match="partial"):
        manifest.write_text(tmp_path / "page.html", "新しい")
    assert (tmp_path / "page.html").read_text("utf-8") == "古い"


def test_outside_a_checkout_the_code_version_is_that_of_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "jgpt2" / "manifest.py"))
    assert manifest.code_version() == jgpt2.__version__


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "shards/../../secret", ".."])
def test_a_file_outside_of_the_folder_is_refused_by_name(folder, name):
    files = write(folder).files
    edit(folder, files=files | {name: {"num_bytes": 1, "sha256": ""}})
    with pytest.raises(DamageError) as refused:
        manifest.read(folder)
    assert f"lists {name!r}, which is no path inside the folder" in str(refused.value)


def test_a_copy_has_the_same_files_and_the_same_manifest(folder, tmp_path):
    written = write(folder)
    (folder / "other").write_text("not listed", "utf-8")
    manifest.copy(folder, tmp_path / "写し", kind="tokens")
    assert manifest.verify(tmp_path / "写し") == written
    assert not (tmp_path / "写し" / "other").exists()
    with pytest.raises(InputError, match="holds a tokens, not a run"):
        manifest.copy(folder, tmp_path / "other copy", kind="run")
