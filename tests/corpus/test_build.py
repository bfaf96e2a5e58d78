"""From files to a dataset: what is kept, where it goes, and that nothing else decides it."""

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jgpt2 import manifest
from jgpt2.corpus import build, dataset, removals, selection
from jgpt2.errors import InputError

SPLITS = ("train", "validation", "test")


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def records(tell: Callable[..., str]) -> Callable[..., list[dict[str, Any]]]:
    def listed(number: int, source: str = "物語", first: int = 0) -> list[dict[str, Any]]:
        return [
            {"text": tell(first + i), "source": source, "license": "CC0"} for i in range(number)
        ]

    return listed


def texts(folder: Path, split: str) -> list[str]:
    return [document.text for document in dataset.open_split(folder, split)]


def everything(folder: Path) -> list[str]:
    return [text for split in SPLITS for text in texts(folder, split)]


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a dataset but those that hold a time."""
    timed = {manifest.FILE_NAME, "account.json", "report.html"}
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in timed
    }


def recipe(**fields: Any) -> build.Recipe:
    return build.Recipe(**fields)


def test_splits_hold_every_document_once(tmp_path, records):
    source, out = write(tmp_path / "a.jsonl", records(400)), tmp_path / "デー タ"
    made = build.build([source], out, name="a", recipe=recipe(validation_share=0.1, test_share=0.2))
    assert made == manifest.verify(out, kind="dataset")
    assert sorted(everything(out)) == sorted(record["text"] for record in records(400))
    assert 20 < len(texts(out, "validation")) < 60
    assert 50 < len(texts(out, "test")) < 110


def test_accounts(tmp_path, records):
    given = [*records(30), *records(20, "手紙", 30), records(1)[0], {"text": " "}]
    made = build.build([write(tmp_path / "a.jsonl", given)], tmp_path / "out", name="a")
    notes = made.notes
    assert notes["drops"] == {"no main text": 1, "exact duplicate": 1}
    assert notes["num_documents"] == 50
    assert notes["sources"]["手紙"]["num_documents"] == 20
    assert notes["licenses"]["CC0"]["num_documents"] == 50
    kept = [record["text"] for record in given[:50]]
    assert notes["num_bytes"] == sum(len(text.encode()) for text in kept)
    assert notes["num_chars"] == sum(len(text) for text in kept)
    for measure in ("num_documents", "num_bytes", "num_chars"):
        for table in ("splits", "sources", "licenses"):
            assert sum(row[measure] for row in notes[table].values()) == notes[measure]


def test_every_stage_gives_the_next_what_it_passed(tmp_path, records):
    given = [*records(30), records(1)[0], {"text": " "}, {"text": "a@b.example"}, {"x": 1}]
    given += [record | {"license": "秘"} for record in records(5, first=100)]
    chosen = selection.Choice(licenses=("CC0", "unknown"), thresholds=("min_japanese_share=0.2",))
    build.build(
        [write(tmp_path / "a.jsonl", given)],
        tmp_path / "out",
        name="a",
        recipe=recipe(choice=chosen),
    )
    stages = json.loads((tmp_path / "out" / "account.json").read_text("utf-8"))["stages"]
    assert stages["read"]["drops"]["no text"]["documents"] == 1
    names = [name for name in stages if name not in ("read", "robots", "japanese")]
    for before, after in itertools.pairwise(names):
        lost = sum(row["documents"] for row in stages[after]["drops"].values())
        assert stages[before]["documents"] == stages[after]["documents"] + lost, after
    assert stages["near-duplicate"]["documents"] == 30


def test_result_does_not_depend_on_order_and_is_the_same_bytes(tmp_path, records):
    given = records(60)
    given += [record | {"title": "写し"} for record in given[:10]]  # same texts, other titles
    near = [record["text"].replace("第", "題", 1) for record in given[20:30]]
    given += [{"text": text, "source": "物語", "license": "CC0"} for text in near]
    shuffled = random.Random(0).sample(given, len(given))
    one = write(tmp_path / "a.jsonl", given)
    two = [
        write(tmp_path / "z.jsonl", shuffled[:25]),
        write(tmp_path / "b.jsonl", shuffled[25:]),
    ]
    first = build.build([one], tmp_path / "一", name="a")
    assert first.notes["drops"] == {"exact duplicate": 10, "near-duplicate": 10}
    # In a process of its own: within one, random orders of hashing would go unseen.
    script = "import sys, pathlib; from jgpt2.corpus import build; *paths, out = sys.argv[1:]; "
    script += "build.build(paths, pathlib.Path(out), name='b')"
    subprocess.run([sys.executable, "-c", script, *two, tmp_path / "二"], check=True)
    second = manifest.read(tmp_path / "二", kind="dataset")
    assert first.fingerprint == second.fingerprint
    assert contents(tmp_path / "一") == contents(tmp_path / "二")


def test_workers_change_nothing(tmp_path, records, monkeypatch):
    monkeypatch.setattr(build.shards, "SHARD_BYTES", 3_000)
    for i in range(6):
        write(tmp_path / f"{i}.jsonl", records(12, first=10 * i))
    first = build.build([tmp_path], tmp_path / "一", name="a", workers=1)
    second = build.build(
        [tmp_path / f"{i}.jsonl" for i in range(6)], tmp_path / "二", name="a", workers=2
    )
    assert len(list((tmp_path / "二.documents").glob("*.table"))) == 6
    assert first.fingerprint == second.fingerprint
    assert contents(tmp_path / "一") == contents(tmp_path / "二")


def test_seed_changes_the_splits(tmp_path, records):
    source = write(tmp_path / "a.jsonl", records(60))
    build.build([source], tmp_path / "one", name="a", recipe=recipe(seed=0))
    build.build([source], tmp_path / "two", name="a", recipe=recipe(seed=1))
    assert texts(tmp_path / "one", "test") != texts(tmp_path / "two", "test")


HALVES = {"validation_share": 0.3, "test_share": 0.3}


def test_clusters_stay_in_one_split(tmp_path, records):
    given = [record | {"cluster": f"群{i % 12}"} for i, record in enumerate(records(120))]
    source = write(tmp_path / "a.jsonl", given)
    build.build([source], tmp_path / "out", name="a", recipe=recipe(**HALVES))
    key = {record["text"]: record["cluster"] for record in given}
    homes: dict[str, set[str]] = {}
    for split in SPLITS:
        for text in texts(tmp_path / "out", split):
            homes.setdefault(key[text], set()).add(split)
    assert len(homes) == 12
    assert all(len(splits) == 1 for splits in homes.values())
    assert {split for splits in homes.values() for split in splits} == set(SPLITS)


def test_near_duplicates_that_are_kept_stay_in_one_split(tmp_path, records):
    given = records(40)
    given += [record | {"text": record["text"] + "\n終わり。"} for record in given]
    source = write(tmp_path / "a.jsonl", given)
    kept = recipe(keep_near_duplicates=True, **HALVES)
    made = build.build([source], tmp_path / "kept", name="a", recipe=kept)
    assert made.notes["num_documents"] == 80
    for split in SPLITS:
        found = texts(tmp_path / "kept", split)
        assert {text.removesuffix("\n終わり。") for text in found} <= set(found)
        assert len(found) % 2 == 0
    dropped = build.build([source], tmp_path / "dropped", name="a", recipe=recipe(**HALVES))
    assert dropped.notes["drops"] == {"near-duplicate": 40}
    assert all(text.endswith("終わり。") for text in everything(tmp_path / "dropped"))  # longest
    alone = recipe(near_duplicates=None, **HALVES)
    made = build.build([source], tmp_path / "alone", name="a", recipe=alone)
    assert made.notes["num_documents"] == 80


def test_sites_stay_together_if_asked(tmp_path, records):
    given = [
        record | {"url": f"https://s{i % 12}.example/{i}"} for i, record in enumerate(records(120))
    ]
    source = write(tmp_path / "a.jsonl", given)
    together = recipe(keep_sites_together=True, **HALVES)
    build.build([source], tmp_path / "out", name="a", recipe=together)
    homes: dict[str, set[str]] = {}
    for split in SPLITS:
        for document in dataset.open_split(tmp_path / "out", split):
            homes.setdefault(document.url.split("/")[2], set()).add(split)
    assert len(homes) == 12
    assert all(len(splits) == 1 for splits in homes.values())


def test_a_bigger_corpus_keeps_its_test_documents(tmp_path, records):
    small = write(tmp_path / "a.jsonl", records(300))
    large = write(tmp_path / "b.jsonl", records(300) + records(300, "手紙", 300))
    build.build([small], tmp_path / "small", name="a")
    build.build([large], tmp_path / "large", name="a")
    assert set(texts(tmp_path / "small", "test")) <= set(texts(tmp_path / "large", "test"))


@pytest.mark.parametrize("number", [3, 4, 10])
def test_tiny_corpora_fill_every_split(tmp_path, records, number):
    for seed in range(5):
        out = tmp_path / f"{number}-{seed}"
        source = write(tmp_path / "a.jsonl", records(number))
        settings = recipe(seed=seed, validation_share=0.4, test_share=0.4)
        build.build([source], out, name="a", recipe=settings)
        assert min(len(texts(out, split)) for split in SPLITS) >= 1


def test_licenses_choose_and_are_counted(tmp_path, records):
    given = [
        record | {"license": ("CC-BY-4.0", "cc-by-sa-4.0", "CC0", "")[i % 4]}
        for i, record in enumerate(records(40))
    ]
    chosen = selection.Choice(licenses=("cc-by-4", "cc0"))
    source = write(tmp_path / "a.jsonl", given)
    made = build.build([source], tmp_path / "out", name="a", recipe=recipe(choice=chosen))
    assert set(made.notes["licenses"]) == {"CC-BY-4.0", "CC0"}
    assert made.notes["drops"] == {"license: cc-by-sa-4.0": 10, "license: unknown": 10}


def test_another_choice_extracts_nothing_anew(tmp_path, records):
    source = write(tmp_path / "a.jsonl", [*records(30), {"text": "abc " * 30}])
    build.build([source], tmp_path / "one", name="a")
    folder = tmp_path / "one.documents"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    strict = selection.Choice(thresholds=("min_japanese_share=0.5",))
    made = build.build(
        [source], tmp_path / "two", name="a", documents=folder, recipe=recipe(choice=strict)
    )
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert made.notes["drops"] == {"min_japanese_share": 1}
    (entry,) = (tmp_path / "two" / "left_out.jsonl").read_text("utf-8").splitlines()
    assert json.loads(entry)["reasons"] == ["min_japanese_share"]
    assert json.loads(entry)["excerpt"].startswith("abc abc")


def test_a_removed_document_and_its_copies_are_gone(tmp_path, records):
    given = [
        record | {"url": f"https://s{i}.example/{i}", "id": f"話{i}"}
        for i, record in enumerate(records(40))
    ]
    copy = given[0] | {"url": "https://elsewhere.example/写し", "id": "写し"}
    near = given[1] | {"url": "https://elsewhere.example/2", "id": "類", "text": given[1]["text"]}
    near["text"] += "\n（転載）"
    source = write(tmp_path / "a.jsonl", [*given, copy, near])
    file = tmp_path / "removals.txt"
    removals.add(file, hosts=["s0.example"], urls=["https://s1.example/1#top"], ids=["話2"])
    asked = recipe(choice=selection.Choice(removals=removals.load(file)))
    made = build.build([source], tmp_path / "out", name="a", recipe=asked)
    assert made.notes["drops"] == {"asked to be removed": 3, "copy of a removed document": 2}
    stored = b"".join(contents(tmp_path / "out").values())
    left = {d.id for split in SPLITS for d in dataset.open_split(tmp_path / "out", split)}
    assert left == {f"話{i}" for i in range(3, 40)}
    assert not any(given[i]["text"] in everything(tmp_path / "out") for i in range(3))
    assert stored and made.identity["choice"]["removals"] == removals.load(file).fingerprint


def refused(paths: list[Path], out: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        build.build(paths, out, name="a", recipe=recipe(**settings))
    assert not (out.parent / f".{out.name}.partial").exists()
    return str(caught.value)


def test_too_few_documents_are_refused(tmp_path, records):
    (tmp_path / "本.txt").write_text("吾輩は猫である。", "utf-8")
    message = refused([tmp_path / "本.txt"], tmp_path / "out")
    assert "in 1 groups" in message and "3 documents" in message
    one_cluster = [record | {"cluster": "群"} for record in records(5)]
    message = refused([write(tmp_path / "a.jsonl", one_cluster)], tmp_path / "out")
    assert "in 1 groups" in message
    assert not (tmp_path / "out").exists()


def test_empty_corpus_is_refused(tmp_path, records):
    source = write(tmp_path / "a.jsonl", [{"text": "　"}])
    message = refused([source], tmp_path / "out")
    assert "in 0 groups" in message and "1 no main text" in message
    source = write(tmp_path / "b.jsonl", records(5))
    message = refused([source], tmp_path / "out", choice=selection.Choice(licenses=("MIT",)))
    assert "5 license: CC0" in message


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5)])
def test_shares_that_leave_no_split_are_refused(tmp_path, records, shares):
    source = write(tmp_path / "a.jsonl", records(5))
    message = refused([source], tmp_path / "out", validation_share=shares[0], test_share=shares[1])
    assert f"validation_share={shares[0]}" in message


def test_settings_without_a_meaning_are_refused(tmp_path, records):
    source = write(tmp_path / "a.jsonl", records(5))
    nothing = selection.Choice(licenses=())
    assert "licenses is empty" in refused([source], tmp_path / "out", choice=nothing)
    assert "no Jaccard" in refused([source], tmp_path / "out", near_duplicates=0.0)
    with pytest.raises(InputError, match="workers=0"):
        build.build([source], tmp_path / "out", name="a", workers=0)


def test_nothing_is_overwritten(tmp_path, records):
    source = write(tmp_path / "a.jsonl", records(5))
    build.build([source], tmp_path / "out", name="a")
    before = contents(tmp_path / "out")
    assert "nothing finished is overwritten" in refused([source], tmp_path / "out")
    assert contents(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "日記.txt").write_text("大事")
    assert "not an empty folder" in refused([source], tmp_path / "other")


def test_what_cannot_be_read_is_counted_and_the_build_goes_on(tmp_path, records):
    source = write(tmp_path / "a.jsonl", records(5))
    source.write_bytes(source.read_bytes() + b"{")
    made = build.build([source], tmp_path / "out", name="a")
    assert made.notes["num_documents"] == 5
    assert made.notes["drops"] == {"not JSON": 1}
    (loss,) = json.loads((tmp_path / "out" / "account.json").read_text("utf-8"))["losses"]
    assert loss["where"].endswith("a.jsonl:6")


def test_files_of_every_kind_in_one_build(tmp_path, records, tell):
    write(tmp_path / "a.jsonl", records(5))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records(5, first=10))
    (tmp_path / "c.txt").write_bytes(tell(20).encode("cp932"))
    (tmp_path / "d.txt").write_bytes(tell(21).encode("euc_jp"))
    page = f"<html><head><title>題</title></head><body><p>{tell(22, 60)}</p></body></html>"
    (tmp_path / "e.html").write_bytes(page.encode("cp932"))
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("作品.txt", tell(23).encode("cp932"))
    made = build.build([tmp_path], tmp_path / "out", name="a")
    found = everything(tmp_path / "out")
    assert {tell(i) for i in (0, 10, 20, 21, 23)} <= set(found)
    assert made.notes["num_documents"] == 14
    assert json.loads((tmp_path / "out" / "account.json").read_text("utf-8"))["kinds"] == {
        "html": 1,
        "record": 10,
        "text": 3,
    }


def test_names_of_files_that_are_not_utf8(tmp_path, tell):
    folder = os.fsencode(tmp_path) + b"/" + "資料".encode("cp932")
    Path(os.fsdecode(folder)).mkdir()
    for i in range(4):
        Path(os.fsdecode(folder + f"/小説{i}.txt".encode("cp932"))).write_text(tell(i), "utf-8")
    Path(os.fsdecode(folder + "/表.jsonl".encode("cp932"))).write_text("{", "utf-8")
    build.build([tmp_path], tmp_path / "out", name="a")
    found = [d for split in SPLITS for d in dataset.open_split(tmp_path / "out", split)]
    assert {document.source for document in found} == {"資料"}
    assert {document.title for document in found} == {f"小説{i}" for i in range(4)}
    (loss,) = json.loads((tmp_path / "out" / "account.json").read_text("utf-8"))["losses"]
    assert loss["where"].endswith("資料/表.jsonl:1")


def test_personal_data_is_masked(tmp_path, records):
    given = records(5)
    given[0]["text"] += "\n連絡先：taro@yamada.co.jp、電話 03-1234-5678"
    build.build([write(tmp_path / "a.jsonl", given)], tmp_path / "out", name="a")
    joined = "\n".join(everything(tmp_path / "out"))
    assert "taro@" not in joined and "1234-5678" not in joined
    account = json.loads((tmp_path / "out" / "account.json").read_text("utf-8"))
    assert sum(account["masks"].values()) == 2
