import contextlib
import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jgpt2 import manifest
from jgpt2.corpus import build, dataset
from jgpt2.errors import InputError

SPLITS = ("train", "validation", "test")


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text(text, "utf-8")
    return path


def records(number: int, source: str = "物語") -> list[dict[str, Any]]:
    return [
        {
            "text": f"{source}の第{i}話。" + "山路を登る。" * (i % 7),
            "source": source,
            "license": "CC0",
        }
        for i in range(number)
    ]


def texts(folder: Path, split: str) -> list[str]:
    return [document.text for document in dataset.open_split(folder, split)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name != manifest.FILE_NAME
    }


def test_splits_hold_every_document_once(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(400))
    made = build.build(
        [source], tmp_path / "デー タ", name="a", validation_share=0.1, test_share=0.2
    )
    assert made == manifest.verify(tmp_path / "デー タ", kind="dataset")
    found = {split: texts(tmp_path / "デー タ", split) for split in SPLITS}
    everything = [text for split in SPLITS for text in found[split]]
    assert sorted(everything) == sorted(record["text"] for record in records(400))
    assert 20 < len(found["validation"]) < 60
    assert 50 < len(found["test"]) < 110


def test_accounts(tmp_path: Path):
    given = [*records(30), *records(20, "手紙"), records(1)[0], {"text": " "}]
    made = build.build([write(tmp_path / "a.jsonl", given)], tmp_path / "out", name="a")
    notes = made.notes
    assert notes["drops"] == {"duplicate": 1, "empty": 1}
    assert notes["num_documents"] == 50
    assert notes["sources"]["手紙"]["num_documents"] == 20
    assert notes["licenses"]["CC0"]["num_documents"] == 50
    kept = [record["text"] for record in given[:50]]
    assert notes["num_bytes"] == sum(len(text.encode()) for text in kept)
    assert notes["num_chars"] == sum(len(text) for text in kept)
    for measure in ("num_documents", "num_bytes", "num_chars"):
        for table in ("splits", "sources", "licenses"):
            assert sum(row[measure] for row in notes[table].values()) == notes[measure]


def test_result_does_not_depend_on_order_and_is_the_same_bytes(tmp_path: Path):
    given = records(60)
    given += [record | {"title": "写し"} for record in given[:10]]  # same texts, other titles
    shuffled = random.Random(0).sample(given, len(given))
    one = write(tmp_path / "a.jsonl", given)
    two = [
        write(tmp_path / "z.jsonl", shuffled[:25]),
        write(tmp_path / "b.jsonl", shuffled[25:]),
    ]
    first = build.build([one], tmp_path / "一", name="a")
    # In a process of its own: within one, random orders of hashing would go unseen.
    script = "import sys, pathlib; from jgpt2.corpus import build; *paths, out = sys.argv[1:]; "
    script += "build.build([pathlib.Path(p) for p in paths], pathlib.Path(out), name='b')"
    subprocess.run([sys.executable, "-c", script, *two, tmp_path / "二"], check=True)
    second = manifest.read(tmp_path / "二", kind="dataset")
    assert first.fingerprint == second.fingerprint
    assert contents(tmp_path / "一") == contents(tmp_path / "二")


def test_seed_changes_the_splits(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(60))
    build.build([source], tmp_path / "one", name="a", seed=0)
    build.build([source], tmp_path / "two", name="a", seed=1)
    assert texts(tmp_path / "one", "test") != texts(tmp_path / "two", "test")


def test_clusters_stay_in_one_split(tmp_path: Path):
    given = [record | {"cluster": f"群{i % 12}"} for i, record in enumerate(records(120))]
    spaced = [{"text": f"改 行{i}\n、違い"} for i in range(40)]
    spaced += [{"text": f"改行{i}、\n\n違　い"} for i in range(40)]
    source = write(tmp_path / "a.jsonl", given + spaced)
    build.build([source], tmp_path / "out", name="a", validation_share=0.3, test_share=0.3)
    key = {record["text"]: record["cluster"] for record in given}
    homes: dict[str, set[str]] = {}
    for split in SPLITS:
        for text in texts(tmp_path / "out", split):
            homes.setdefault(key.get(text, "".join(text.split())), set()).add(split)
    assert len(homes) == 52
    assert all(len(splits) == 1 for splits in homes.values())
    assert {split for splits in homes.values() for split in splits} == set(SPLITS)


def test_a_bigger_corpus_keeps_its_test_documents(tmp_path: Path):
    small = write(tmp_path / "a.jsonl", records(300))
    large = write(tmp_path / "b.jsonl", records(300) + records(300, "手紙"))
    build.build([small], tmp_path / "small", name="a")
    build.build([large], tmp_path / "large", name="a")
    assert set(texts(tmp_path / "small", "test")) <= set(texts(tmp_path / "large", "test"))


@pytest.mark.parametrize("number", [3, 4, 10])
def test_tiny_corpora_fill_every_split(tmp_path: Path, number: int):
    for seed in range(5):
        out = tmp_path / f"{number}-{seed}"
        source = write(tmp_path / "a.jsonl", records(number))
        build.build([source], out, name="a", seed=seed, validation_share=0.4, test_share=0.4)
        assert min(len(texts(out, split)) for split in SPLITS) >= 1


def test_licenses_choose_and_are_counted(tmp_path: Path):
    given = [
        record | {"license": ("CC-BY-4.0", "cc-by-sa-4.0", "CC0", "")[i % 4]}
        for i, record in enumerate(records(40))
    ]
    made = build.build(
        [write(tmp_path / "a.jsonl", given)],
        tmp_path / "out",
        name="a",
        licenses=("cc-by-4", "cc0"),
    )
    assert set(made.notes["licenses"]) == {"CC-BY-4.0", "CC0"}
    assert made.notes["drops"] == {"license: cc-by-sa-4.0": 10, "license: unknown": 10}


def refused(paths: list[Path], out: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        build.build(paths, out, name="a", **settings)
    assert not (out.parent / f".{out.name}.partial").exists()
    return str(caught.value)


def test_too_few_documents_are_refused(tmp_path: Path):
    (tmp_path / "本.txt").write_text("吾輩は猫である。", "utf-8")
    message = refused([tmp_path / "本.txt"], tmp_path / "out")
    assert "1 usable documents" in message and "3 documents" in message
    one_cluster = [record | {"cluster": "群"} for record in records(5)]
    message = refused([write(tmp_path / "a.jsonl", one_cluster)], tmp_path / "out")
    assert "5 usable documents in 1 clusters" in message
    assert not (tmp_path / "out").exists()


def test_empty_corpus_is_refused(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", [{"text": "　"}])
    message = refused([source], tmp_path / "out")
    assert "0 usable documents" in message and "1 empty" in message
    message = refused(
        [write(tmp_path / "b.jsonl", records(5))], tmp_path / "out", licenses=("MIT",)
    )
    assert "5 license: CC0" in message


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5)])
def test_shares_that_leave_no_split_are_refused(tmp_path: Path, shares: tuple[float, float]):
    source = write(tmp_path / "a.jsonl", records(5))
    message = refused([source], tmp_path / "out", validation_share=shares[0], test_share=shares[1])
    assert f"validation_share={shares[0]}" in message


def test_no_licenses_are_refused(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(5))
    assert "licenses is empty" in refused([source], tmp_path / "out", licenses=())


def test_nothing_is_overwritten(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(5))
    build.build([source], tmp_path / "out", name="a")
    before = contents(tmp_path / "out")
    assert "nothing finished is overwritten" in refused([source], tmp_path / "out")
    assert contents(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "日記.txt").write_text("大事")
    assert "not an empty folder" in refused([source], tmp_path / "other")


def test_bad_input_leaves_nothing(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(5))
    source.write_bytes(source.read_bytes() + b"{")
    assert "a.jsonl:6" in refused([source], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_killed_build_leaves_no_dataset_and_the_next_cleans_up(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", records(50))
    script = (
        "import os, pathlib, signal, sys\n"
        "from jgpt2.corpus import build\n"
        "def report(done, total):\n"
        "    if done == total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.build([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]), name='a',"
        " report=report)\n"
    )
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", script, source, out], env=os.environ)
    assert ended.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial", "a.jsonl"]
    build.build([source], out, name="a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]


@contextlib.contextmanager
def largest_file(num_bytes: int):
    """A limit of the system on the size of files: writing fails as it does on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("limit", [3_000, 10_000, 100_000])  # the spool, its index, the dataset
def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path: Path, limit: int):
    source = write(tmp_path / "a.jsonl", records(100))
    with largest_file(limit), pytest.raises(OSError) as caught:
        build.build([source], tmp_path / "out", name="a")
    assert caught.value.errno in (errno.EFBIG, errno.EIO)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
