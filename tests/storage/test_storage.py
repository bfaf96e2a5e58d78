import hashlib
import multiprocessing
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jgpt2 import doctor, storage
from jgpt2.errors import InputError


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path):
    """A folder that is not there yet, on a disk and in a bucket."""
    if request.param == "disk":
        return tmp_path / "港 の朝"
    return request.getfixturevalue("bucket")


def test_what_is_written_is_read(place):
    file = place / "a b" / "猫.json"
    assert not file.exists()
    assert storage.files(place) == []
    storage.write_bytes(file, "吾輩".encode())
    storage.write_bytes(file, "猫".encode())
    assert file.read_text("utf-8") == "猫"
    assert storage.num_bytes(file) == 3
    assert storage.is_of_size(file, 3)
    assert not storage.is_of_size(file, 4)
    assert not storage.is_of_size(place / "none", 0)
    assert storage.entry(file) == {
        "num_bytes": 3,
        "sha256": hashlib.sha256("猫".encode()).hexdigest(),
    }
    assert storage.files(place) == ["a b/猫.json"]
    assert storage.absolute(file) == file
    with pytest.raises(FileNotFoundError):
        storage.num_bytes(place / "none")
    assert storage.modified_s(place / "none") is None
    assert abs(storage.modified_s(file) - time.time()) < 60


def test_a_large_file_is_hashed_in_pieces(place, monkeypatch):
    monkeypatch.setattr(storage, "_BLOCK_BYTES", 2**16)
    content = bytes(range(256)) * 1024
    storage.write_bytes(place / "large", content)
    assert storage.entry(place / "large") == {
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_trees_are_renamed_and_removed(place):
    for name in ("7/default/d/0", "7/empty", "70/x"):
        storage.write_bytes(place / name, b"" if name == "7/empty" else name.encode())
    storage.rename_tree(place / "7", place / "7.damaged")
    assert storage.files(place) == ["7.damaged/default/d/0", "7.damaged/empty", "70/x"]
    assert (place / "7.damaged" / "default" / "d" / "0").read_bytes() == b"7/default/d/0"
    storage.rename(place / "70" / "x", place / "70" / "y")
    assert storage.files(place / "70") == ["y"]
    storage.remove_tree(place / "7.damaged")
    storage.remove_tree(place / "7.damaged")
    assert storage.files(place) == ["70/y"]


def test_text_is_appended(place):
    storage.write_bytes(place / "other", b"")
    for line in ("一\n", "二\n"):
        storage.append(place / "events.jsonl", line)
    assert (place / "events.jsonl").read_text("utf-8") == "一\n二\n"


def test_what_was_built_takes_its_place(place):
    built = storage.scratch(place / "ja", ".ja.partial")
    assert not storage.is_remote(built)
    storage.write_bytes(built / "sub" / "a", b"1")
    storage.write_bytes(built / "manifest.json", b"{}")
    storage.publish(built, place / "ja", last="manifest.json")
    assert storage.files(place) == ["ja/manifest.json", "ja/sub/a"]
    assert not built.exists()
    storage.write_bytes(built / "b", b"2")
    storage.fill(built, place / "ja", last="b")
    assert storage.files(place) == ["ja/b", "ja/manifest.json", "ja/sub/a"]


def test_the_last_file_is_uploaded_last(bucket, tmp_path, monkeypatch):
    order = []
    put = storage._put
    monkeypatch.setattr(
        storage,
        "_put",
        lambda built, target, names: (order.append(names), put(built, target, names)),
    )
    for name in ("a", "manifest.json", "z"):
        storage.write_bytes(tmp_path / "built" / name, b"1")
    storage.upload(tmp_path / "built", bucket, last="manifest.json")
    assert order == [["a", "z"], ["manifest.json"]]


def test_a_download_is_whole_or_not_there(bucket, tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.download(bucket / "none", tmp_path / "copy" / "none")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_path_in_a_bucket_stays_one(bucket):
    assert storage.path(str(bucket)) == bucket
    assert str(pickle.loads(pickle.dumps(bucket / "x"))) == f"{bucket}/x"
    assert storage.is_remote(bucket.parent)
    assert storage.free_bytes(bucket) is None


def test_another_process_is_seen(bucket):
    """Listings are not remembered: checkpoints are written by others."""
    storage.write_bytes(bucket / "1", b"")
    assert storage.files(bucket) == ["1"]
    code = "import sys; from jgpt2 import storage; "
    code += "storage.write_bytes(storage.path(sys.argv[1]) / '2', b'')"
    subprocess.run([sys.executable, "-c", code, str(bucket)], check=True)
    assert storage.files(bucket) == ["1", "2"]
    assert sorted(entry.name for entry in bucket.iterdir()) == ["1", "2"]
    assert (bucket / "2").is_file()


def test_local_paths_need_no_library_of_buckets():
    code = (
        "import sys; from jgpt2 import storage; storage.path('data/ja'); "
        "print({'etils', 'fsspec', 'gcsfs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("s3://b/runs", r"Orbax takes no s3:// path\); give a local folder or gs://BUCKET"),
        ("ftp://b/runs", "unknown scheme ftp://; give a local path or gs://BUCKET/FOLDER"),
        ("gs://b/a[1]", r"holds '\[', which the tools for buckets take for a pattern"),
        ("gs://", "gs:// names no bucket; give gs://BUCKET/FOLDER"),
    ],
)
def test_other_addresses_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        storage.path(given)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"gcsfs is not installed; install jgpt2\[gcs\]"):
        storage.path("gs://b/x")


def test_a_missing_bucket_is_named(bucket):
    nowhere = storage.path("gs://nowhere/run")
    with pytest.raises(InputError, match=r"there is no bucket 'nowhere' .* make it, or check"):
        storage.write_bytes(nowhere / "config.json", b"{}")


def test_a_denied_write_says_how_to_log_in(bucket, monkeypatch):
    class Denying:
        def pipe_file(self, path, content):
            raise OSError(f"Forbidden: {path}")

    monkeypatch.setattr(storage, "_bucket", Denying)
    with pytest.raises(InputError, match="gcloud auth application-default login"):
        storage.write_bytes(bucket / "x", b"")


def test_a_folder_on_this_machine_can_be_required(bucket, tmp_path):
    storage.require_local(tmp_path, "--out")
    with pytest.raises(InputError, match="--out must be on this machine, but gs://"):
        storage.require_local(bucket, "--out")


def hold(lock: Path, log: Path, seconds: float) -> None:
    with storage.locked(lock):
        with log.open("a") as file:
            file.write("in\n")
        time.sleep(seconds)
        with log.open("a") as file:
            file.write("out\n")


def test_one_process_holds_a_lock_at_a_time(tmp_path):
    lock, log = tmp_path / "a.lock", tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=hold, args=(lock, log, 0.2)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    assert log.read_text().split() == ["in", "out"] * 3
    assert not lock.exists()


def test_a_killed_process_leaves_a_lock_that_opens(tmp_path):
    lock, log = tmp_path / "a.lock", tmp_path / "log"
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(lock, log, 600))
    other.start()
    while not log.exists():
        time.sleep(0.05)
    other.kill()
    other.join()
    assert lock.exists()
    hold(lock, log, 0)
    assert not lock.exists()


def test_the_doctor_tries_a_bucket(bucket):
    storage.write_bytes(bucket / "data", b"1")
    found = doctor._writes(bucket)
    assert (found.is_well, found.what) == (True, "yes"), found
    assert storage.files(bucket) == ["data"]
    assert not doctor._writes(storage.path("gs://nowhere/x")).is_well
