"""Copies of what lies in a bucket: proven, made once, and by one process at a time."""

import multiprocessing

import pytest

from jgpt2 import manifest, mirror, storage
from jgpt2.errors import DamageError, InputError


@pytest.fixture
def artefact(bucket, tmp_path):
    """A dataset of three files in a bucket."""
    built = tmp_path / "built"
    names = ("documents-train", "documents-test", "features.json")
    for name in names:
        storage.write_bytes(built / name, f"{name} 猫".encode())
    manifest.write(built, kind="dataset", name="ja", identity={}, parents={}, files=names, notes={})
    storage.publish(built, bucket / "ja", last=manifest.FILE_NAME)
    return bucket / "ja"


def test_a_local_folder_is_its_own_copy(tmp_path):
    assert mirror.local(tmp_path, kind="dataset") == tmp_path


def test_a_copy_is_whole_and_made_once(artefact, monkeypatch):
    copy = mirror.local(artefact, kind="dataset")
    fingerprint = manifest.read(artefact).fingerprint
    assert copy == storage.cache_folder() / "copies" / fingerprint
    assert manifest.verify(copy, kind="dataset") == manifest.read(artefact)
    monkeypatch.setattr(storage, "download", None)
    assert mirror.local(artefact, kind="dataset") == copy


def test_only_what_is_wanted_comes(artefact):
    copy = mirror.local(artefact, kind="dataset", is_wanted=lambda file: "train" not in file)
    assert storage.files(copy) == ["documents-test", "features.json", "manifest.json"]
    mirror.local(artefact, kind="dataset")
    manifest.verify(copy)


def test_a_file_of_another_size_comes_again(artefact):
    copy = mirror.local(artefact, kind="dataset")
    (copy / "documents-test").write_bytes(b"short")
    mirror.local(artefact, kind="dataset")
    manifest.verify(copy)


def test_damage_in_the_bucket_is_named_and_not_kept(artefact):
    file = artefact / "documents-test"
    content = bytearray(file.read_bytes())
    content[3] ^= 4
    storage.write_bytes(file, bytes(content))
    with pytest.raises(DamageError, match=r"gs://.*documents-test does not match its SHA-256"):
        mirror.local(artefact, kind="dataset")
    file.unlink()
    with pytest.raises(DamageError, match=r"gs://.*documents-test is missing, though gs://"):
        mirror.local(artefact, kind="dataset")
    (copy,) = (storage.cache_folder() / "copies").iterdir()
    assert "documents-test" not in " ".join(storage.files(copy))


def test_a_changed_manifest_is_damage(artefact):
    path = artefact / manifest.FILE_NAME
    storage.write_bytes(path, path.read_bytes().replace(b'"dataset"', b'"datasat"'))
    with pytest.raises(InputError, match="holds a datasat, not a dataset"):
        mirror.local(artefact, kind="dataset")
    with pytest.raises(DamageError, match=r"manifest\.json was changed after it was written"):
        mirror.local(artefact, kind="datasat")


def test_nothing_there_is_said(bucket):
    with pytest.raises(InputError, match="no finished dataset at gs://"):
        mirror.local(bucket / "none", kind="dataset")


def copy_it(folder):
    mirror.local(folder, kind="dataset")


def test_processes_of_one_machine_share_a_copy(artefact):
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=copy_it, args=(artefact,)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    (copy,) = (storage.cache_folder() / "copies").iterdir()
    manifest.verify(copy)
