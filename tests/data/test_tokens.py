import contextlib
import errno
import json
import multiprocessing
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jgpt2 import manifest
from jgpt2.corpus import build as corpus_build
from jgpt2.corpus import dataset
from jgpt2.data import shards, tokens
from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import load, train


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name != manifest.FILE_NAME
    }


def expected(dataset_folder: Path, tokenizer_folder: Path, split: str) -> list[np.ndarray]:
    tokenizer = load.load(tokenizer_folder)
    return [
        np.append(tokenizer.encode(document.text), tokenizer.eot)
        for document in dataset.open_split(dataset_folder, split)
    ]


def open_store(folder: Path, tokenizer_folder: Path) -> tokens.TokenStore:
    return tokens.open_store(folder, tokenizer_fingerprint=load.load(tokenizer_folder).fingerprint)


def test_the_stream_is_every_document_and_its_eot(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path
):
    store = open_store(store_folder, tokenizer_folder)
    for split in dataset.SPLITS:
        stream = store.split(split)
        documents = expected(dataset_folder, tokenizer_folder, split)
        flat = np.concatenate(documents)
        assert stream.num_tokens == len(flat)
        assert np.array_equal(stream.window(0, len(flat)), flat)
        assert stream.num_documents == len(documents)
        for i, document in enumerate(documents):
            assert np.array_equal(stream.document(i), document)


def test_counts(dataset_folder: Path, store_folder: Path, stream: tokens.Tokens):
    texts = [document.text for document in dataset.open_split(dataset_folder, "train")]
    assert stream.doc_bytes.tolist() == [len(text.encode()) for text in texts]
    assert stream.doc_chars.tolist() == [len(text) for text in texts]
    assert stream.num_bytes == stream.doc_bytes.sum()
    assert stream.num_chars == stream.doc_chars.sum()
    assert stream.num_tokens == stream.num_bytes + stream.num_documents  # bytes and EOT
    made = manifest.verify(store_folder, kind="tokens")
    assert made.notes["splits"]["train"]["num_tokens"] == stream.num_tokens
    assert made.parents["dataset"] == manifest.read(dataset_folder, kind="dataset").fingerprint


def test_windows_cross_shards(stream: tokens.Tokens):
    assert len(stream.paths) > 3
    flat = stream.window(0, stream.num_tokens)
    for length in (1, 7, 2500):  # the last is longer than a shard
        for start in range(0, stream.num_tokens - length, 97):
            assert np.array_equal(stream.window(start, length), flat[start : start + length])
    starts = np.array([5, 0, stream.num_tokens - 7])
    rows = [flat[start : start + 7] for start in starts]
    assert np.array_equal(stream.windows(starts, 7), rows)


def test_positions_outside_are_index_errors(stream: tokens.Tokens):
    for start in (-1, stream.num_tokens - 3):
        with pytest.raises(IndexError):
            stream.window(start, 4)
    for i in (-1, stream.num_documents):
        with pytest.raises(IndexError):
            stream.document(i)


def test_ids_on_disk_are_flat_little_endian(stream: tokens.Tokens):
    flat = np.concatenate([np.fromfile(path, "<u2") for path in stream.paths])
    assert np.array_equal(flat, stream.window(0, stream.num_tokens))


@pytest.mark.parametrize(("vocab_size", "dtype"), [(257, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_large_vocabularies_take_four_bytes(vocab_size: int, dtype: str):
    assert shards.dtype_on_disk(vocab_size) == np.dtype(dtype)


def test_a_pickled_stream_holds_paths_not_ids(stream: tokens.Tokens):
    stream.window(0, 10)
    packed = pickle.dumps(stream)
    assert len(packed) < 3000
    assert np.array_equal(pickle.loads(packed).window(900, 800), stream.window(900, 800))


@pytest.mark.usefixtures("small_shards")
def test_workers_give_the_same_bytes(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path, tmp_path: Path
):
    made = tokens.build(dataset_folder, tokenizer_folder, tmp_path, workers=2)
    assert made.fingerprint == manifest.read(store_folder, kind="tokens").fingerprint
    assert contents(tmp_path) == contents(store_folder)


@pytest.mark.usefixtures("small_shards")
def test_progress_reaches_the_total(dataset_folder: Path, tokenizer_folder: Path, tmp_path: Path):
    told: list[tuple[int, int]] = []
    tokens.build(dataset_folder, tokenizer_folder, tmp_path, report=lambda *pair: told.append(pair))
    total = manifest.read(dataset_folder, kind="dataset").notes["num_bytes"]
    assert told == sorted(told)
    assert told[-1] == (total, total)


def test_a_finished_store_is_not_built_again(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path
):
    before = {path: path.stat().st_mtime_ns for path in store_folder.iterdir()}
    again = tokens.build(dataset_folder, tokenizer_folder, store_folder)
    assert again == manifest.read(store_folder, kind="tokens")
    assert before == {path: path.stat().st_mtime_ns for path in store_folder.iterdir()}


def resumes_to(store_folder: Path, dataset: Path, tokenizer: Path, out: Path) -> None:
    finished = {path: path.stat().st_mtime_ns for path in out.glob("*.tokens")}
    assert 0 < len(finished) < len(list(store_folder.glob("*.tokens")))
    tokens.build(dataset, tokenizer, out)
    assert contents(out) == contents(store_folder)
    assert finished == {path: path.stat().st_mtime_ns for path in finished}


@pytest.mark.usefixtures("small_shards")
def test_a_killed_build_goes_on(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path, tmp_path: Path
):
    script = (
        "import os, pathlib, signal, sys\n"
        "from jgpt2.data import shards, tokens\n"
        "shards.TEXT_BYTES = 2000\n"
        "def report(done, total): done > 4000 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "tokens.build(*map(pathlib.Path, sys.argv[1:]), report=report)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, dataset_folder, tokenizer_folder, out]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    (out / "train-00003-of-00004.tokens.partial").write_bytes(b"half")
    resumes_to(store_folder, dataset_folder, tokenizer_folder, out)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_whole_shards_and_no_process(
    dataset_folder: Path,
    tokenizer_folder: Path,
    tmp_path: Path,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    # Dozens of shards: workers finish the few that they were given before the interrupt.
    monkeypatch.setattr(shards, "TEXT_BYTES", 200)
    whole, out = tmp_path / "whole", tmp_path / "out"
    tokens.build(dataset_folder, tokenizer_folder, whole)

    def report(done: int, total: int) -> None:
        signal.raise_signal(signal.SIGINT)

    old = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, old))
    with pytest.raises(KeyboardInterrupt):
        tokens.build(dataset_folder, tokenizer_folder, out, workers=workers, report=report)
    assert multiprocessing.active_children() == []
    assert not list(out.glob("*.partial"))
    assert not manifest.exists(out)
    resumes_to(whole, dataset_folder, tokenizer_folder, out)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("cut", ["tokens", "documents"])
def test_a_shard_cut_by_a_crash_is_made_again(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path, tmp_path: Path, cut: str
):
    out = tmp_path / "out"
    shutil.copytree(store_folder, out)
    (out / manifest.FILE_NAME).unlink()
    for path in (out / f"train-00000-of-{len(list(out.glob('train*.tokens'))):05d}.{cut}",):
        path.write_bytes(path.read_bytes()[:-5])
    tokens.build(dataset_folder, tokenizer_folder, out)
    assert contents(out) == contents(store_folder)


@contextlib.contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """A limit of the system on the size of files: writing fails as it does on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.usefixtures("small_shards")
def test_a_full_disk_leaves_no_part_and_can_go_on(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path, tmp_path: Path
):
    with largest_file(1000), pytest.raises(OSError) as caught:
        tokens.build(dataset_folder, tokenizer_folder, tmp_path)
    assert caught.value.errno == errno.EFBIG
    names = sorted(path.name for path in tmp_path.iterdir())
    assert not [name for name in names if name.endswith((".partial", ".tokens"))]
    tokens.build(dataset_folder, tokenizer_folder, tmp_path)
    assert contents(tmp_path) == contents(store_folder)


def test_a_store_of_another_dataset_is_refused(
    tokenizer_folder: Path, store_folder: Path, tmp_path: Path
):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in "あいう"))
    other = corpus_build.build([tmp_path / "a.jsonl"], tmp_path / "other", name="b")
    found = manifest.read(store_folder, kind="tokens").parents["dataset"]
    rule = f"of dataset {found[:12]}.*given is {other.fingerprint[:12]}"
    with pytest.raises(InputError, match=rule):
        tokens.build(tmp_path / "other", tokenizer_folder, store_folder)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(store_folder / "test-00000-of-00001.tokens", unfinished)
    parents = manifest.read(store_folder, kind="tokens").parents
    (unfinished / "building.json").write_text(json.dumps(parents))
    with pytest.raises(InputError, match=rule):
        tokens.build(tmp_path / "other", tokenizer_folder, unfinished)


def test_a_store_of_another_tokenizer_is_refused(
    dataset_folder: Path, store_folder: Path, tmp_path: Path
):
    texts = [("s", document.text) for document in dataset.open_split(dataset_folder, "train")]
    other = train.train(texts, tmp_path / "bpe", name="bpe", kind="bpe", vocab_size=300)
    found = manifest.read(store_folder, kind="tokens").parents["tokenizer"]
    with pytest.raises(InputError, match=f"of tokenizer {found[:12]}"):
        tokens.build(dataset_folder, tmp_path / "bpe", store_folder)
    with pytest.raises(InputError, match=rf"tokenizer {found[:12]}.*{other.fingerprint[:12]}"):
        tokens.open_store(store_folder, tokenizer_fingerprint=other.fingerprint)


def test_a_folder_with_other_things_is_left_alone(
    dataset_folder: Path, tokenizer_folder: Path, tmp_path: Path
):
    (tmp_path / "日記.txt").write_text("大事")
    with pytest.raises(InputError, match=r"日記\.txt"):
        tokens.build(dataset_folder, tokenizer_folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["日記.txt"]
    with pytest.raises(InputError, match="holds a dataset, not a tokens"):
        tokens.build(dataset_folder, tokenizer_folder, dataset_folder)


def test_no_worker_is_refused(dataset_folder: Path, tokenizer_folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="workers=0"):
        tokens.build(dataset_folder, tokenizer_folder, tmp_path, workers=0)


def test_a_damaged_dataset_is_not_built_from(
    dataset_folder: Path, tokenizer_folder: Path, tmp_path: Path
):
    shutil.copytree(dataset_folder, tmp_path / "bent")
    path = tmp_path / "bent" / "documents-train.array_record-00000"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamageError, match=path.name):
        tokens.build(tmp_path / "bent", tokenizer_folder, tmp_path / "out")


def test_a_damaged_store_is_named(store_folder: Path, tokenizer_folder: Path, tmp_path: Path):
    shutil.copytree(store_folder, tmp_path / "cut")
    path = tmp_path / "cut" / "test-00000-of-00001.tokens"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DamageError, match=path.name):
        open_store(tmp_path / "cut", tokenizer_folder)
    path.unlink()
    with pytest.raises(DamageError, match=path.name):
        open_store(tmp_path / "cut", tokenizer_folder)


def test_a_flipped_bit_in_the_manifest_changes_nothing_or_is_named(
    store_folder: Path, tokenizer_folder: Path, tmp_path: Path
):
    # The number of tokens decides the order of training, that of bytes how long a run is.
    shutil.copytree(store_folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / manifest.FILE_NAME
    content = path.read_bytes()
    whole = open_store(tmp_path, tokenizer_folder)
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            opened = open_store(tmp_path, tokenizer_folder)
        except DamageError as error:
            refused += 1
            assert path.name in str(error) or "is missing or not of its" in str(error)
        except InputError as error:
            assert "holds a" in str(error) or "was made with tokenizer" in str(error)
        else:
            for split in ("train", "validation", "test"):
                assert vars(opened.split(split)) == vars(whole.split(split))
    assert refused > len(content) / 2


@pytest.mark.parametrize("column", range(3))
def test_a_changed_table_of_documents_is_named_when_a_store_is_opened(
    store_folder: Path, tokenizer_folder: Path, tmp_path: Path, column: int
):
    shutil.copytree(store_folder, tmp_path, dirs_exist_ok=True)
    path = next(tmp_path.glob("train-00000*.documents"))
    table = np.fromfile(path, "<i8")
    table[column - 3] += 1
    table.tofile(path)
    with pytest.raises(DamageError, match=rf"{path.name} does not match its SHA-256"):
        open_store(tmp_path, tokenizer_folder)


def test_missing_store_and_split_are_refused(
    store_folder: Path, tokenizer_folder: Path, tmp_path: Path
):
    with pytest.raises(InputError, match="no finished tokens"):
        open_store(tmp_path, tokenizer_folder)
    with pytest.raises(InputError, match=r"'dev'.*train, validation, test"):
        open_store(store_folder, tokenizer_folder).split("dev")


def build_and_tell(folders: tuple[Path, Path, Path], told: Path) -> None:
    dataset_folder, tokenizer_folder, out = folders
    made = []
    tokens.build(dataset_folder, tokenizer_folder, out, report=lambda done, _: made.append(done))
    with told.open("a") as file:
        file.write("built\n" if made else "found\n")


def test_of_several_processes_one_builds(
    dataset_folder: Path, tokenizer_folder: Path, store_folder: Path, tmp_path: Path
):
    spawn = multiprocessing.get_context("spawn")
    folders = (dataset_folder, tokenizer_folder, tmp_path / "tokens" / "byte")
    others = [
        spawn.Process(target=build_and_tell, args=(folders, tmp_path / "told")) for _ in range(3)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    assert sorted((tmp_path / "told").read_text().split()) == ["built", "found", "found"]
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["byte"]
    manifest.verify(folders[2], kind="tokens")
