import dataclasses
import shutil
import threading
from concurrent import futures

import numpy as np
import pytest

from jgpt2 import manifest
from jgpt2.corpus import build, dataset
from jgpt2.errors import DamageError, InputError
from jgpt2.processes import Group
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import inputs


def test_gathers_what_belongs_together(change, places, gathered):
    store = inputs.store_path(places.datasets / "stories", "byte")
    assert {name: one.folder for name, one in gathered.stores.items()} == {"stories": store}
    assert gathered.tokenizer_folder == places.tokenizers / "byte"
    parents = manifest.read(store, kind="tokens").parents
    assert parents["tokenizer"] == gathered.tokenizer.fingerprint
    assert parents["dataset"] == manifest.read(places.datasets / "stories").fingerprint


def test_the_store_is_built_once_with_a_report(change, tmp_path, places):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stories").symlink_to(places.datasets / "stories")
    own = dataclasses.replace(places, datasets=tmp_path / "data")
    tokenizer_train.train([], tmp_path / "tokenizers" / "other", name="other", kind="byte")
    own = dataclasses.replace(own, tokenizers=tmp_path / "tokenizers")
    reports = []
    inputs.gather(change(tokenizer="other"), own, report=lambda *given: reports.append(given))
    total = manifest.read(places.datasets / "stories").notes["num_bytes"]
    assert reports[-1] == (total, total)
    reports.clear()
    inputs.gather(change(tokenizer="other"), own, report=lambda *given: reports.append(given))
    assert reports == []


def test_validation_is_whole_documents_in_order_within_the_bytes(change, places):
    documents = list(dataset.open_split(places.datasets / "stories", "validation"))
    sizes = np.cumsum([document.num_bytes for document in documents])
    assert len(documents) > 3
    for max_bytes, expected in (
        (1, 1),  # the first one always
        (int(sizes[1]), 2),
        (int(sizes[2]) - 1, 2),
        (10**9, len(documents)),
        (None, len(documents)),
    ):
        found = inputs.gather(change(evaluation={"max_bytes": max_bytes}), places).validation
        assert [scorable.id for scorable in found] == [one.id for one in documents[:expected]]


def test_a_dataset_that_lost_its_manifest_is_damaged(change, places, tmp_path):
    shutil.copytree(places.datasets / "stories", tmp_path / "stories")
    (tmp_path / "stories" / "manifest.json").unlink()
    own = dataclasses.replace(places, datasets=tmp_path)
    with pytest.raises(DamageError, match=r"stories/manifest\.json is missing"):
        inputs.gather(change(), own)


def test_a_missing_dataset_lists_what_is_there(change, places, tmp_path):
    with pytest.raises(InputError) as refused:
        inputs.gather(change(dataset="novels"), places)
    assert str(refused.value) == (
        f"no dataset 'novels' in {places.datasets} (found: poems, stories); build one with `jgpt2 "
        "corpus build`, or choose with --dataset and --datasets."
    )
    with pytest.raises(InputError, match=r"no dataset 'stories' in .* \(which holds none\); build"):
        inputs.gather(change(), inputs.Places(datasets=tmp_path / "none"))


def test_a_folder_that_is_no_dataset_is_refused(change, places, tmp_path):
    tokenizer_train.train([], tmp_path / "stories", name="stories", kind="byte")
    with pytest.raises(InputError, match="holds a tokenizer, not a dataset"):
        inputs.gather(change(), dataclasses.replace(places, datasets=tmp_path))


def test_an_unknown_tokenizer_lists_the_choices(change, places, tmp_path):
    with pytest.raises(InputError, match=r"no tokenizer 'sp-8k' in .*; choose one of byte\."):
        inputs.gather(change(tokenizer="sp-8k"), places)
    with pytest.raises(InputError, match="which holds none; make one with `jgpt2 tokenizer train`"):
        inputs.gather(change(), dataclasses.replace(places, tokenizers=tmp_path))


def test_a_mixture_has_a_store_of_each_dataset_and_one_report(change, places, tmp_path):
    own = dataclasses.replace(places, tokenizers=tmp_path)
    tokenizer_train.train([], tmp_path / "third", name="third", kind="byte")
    mixed = change(dataset={"stories": 2, "poems": 1}, tokenizer="third")
    reports = []
    gathered = inputs.gather(mixed, own, report=lambda *given: reports.append(given))
    assert list(gathered.stores) == ["poems", "stories"]  # in the order of names
    for name, store in gathered.stores.items():
        assert store.folder == inputs.store_path(places.datasets / name, "third")
        assert gathered.parents[f"tokens {name}"] == store.manifest.fingerprint
    sizes = [
        manifest.read(places.datasets / name).notes["num_bytes"] for name in ("poems", "stories")
    ]
    assert reports[-1] == (sum(sizes), sum(sizes))
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert {total for _, total in reports} == {sum(sizes)}


def test_validation_is_shared_out_by_weight(change, places):
    def found(dataset_config, max_bytes):
        mixed = change(dataset=dataset_config, evaluation={"max_bytes": max_bytes})
        ids = {scorable.id for scorable in inputs.gather(mixed, places).validation}
        return {name: [each for each in own if each in ids] for name, own in own_ids.items()}

    own_ids = {
        name: [each.id for each in dataset.open_split(places.datasets / name, "validation")]
        for name in ("stories", "poems")
    }
    alone = {name: found(name, 90)[name] for name in own_ids}
    assert all(len(ids) < len(own_ids[name]) for name, ids in alone.items())
    assert found({"stories": 1, "poems": 1}, 180) == alone
    # 3/4 of 120 bytes are the 90 of before, 1/4 of 360 as well
    assert found({"stories": 3, "poems": 1}, 120)["stories"] == alone["stories"]
    assert found({"stories": 3, "poems": 1}, 360)["poems"] == alone["poems"]
    assert found({"stories": 0.2}, 90)["stories"] == alone["stories"]
    assert found({"stories": 9, "poems": 1}, None) == own_ids
    assert [len(ids) for ids in found({"stories": 9, "poems": 1}, 1).values()] == [1, 1]


def test_a_missing_dataset_of_a_mixture_is_named(change, places):
    with pytest.raises(InputError, match=r"no dataset 'novels' in .* \(found: poems, stories\)"):
        inputs.gather(change(dataset={"stories": 1, "novels": 1}), places)


def test_a_store_of_another_dataset_is_refused_by_name(change, places, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("春はあけぼの。\n", "utf-8")
    for name in ("夏は夜", "秋は夕暮れ", "冬はつとめて"):
        (tmp_path / f"{name}.txt").write_text(f"{name}。", "utf-8")
    build.build(sorted(tmp_path.glob("*.txt")), tmp_path / "data" / "stories", name="stories")
    store = inputs.store_path(places.datasets / "stories", "byte")
    moved = inputs.store_path(tmp_path / "data" / "stories", "byte")
    moved.parent.mkdir()
    moved.symlink_to(store)
    with pytest.raises(InputError, match=r"the token store at .* is of dataset .* but the dataset"):
        inputs.gather(change(), dataclasses.replace(places, datasets=tmp_path / "data"))


class Threads(Group):
    """Processes that are threads here, and meet."""

    def __init__(self, meeting, index):
        super().__init__(index=index, count=meeting.parties)
        self._meeting = meeting

    def exchange(self, name, value, *, timeout_s=600):
        self._meeting.wait(60)
        return [value] * self.count


def test_of_processes_that_share_a_disk_the_first_builds_the_stores(change, places, tmp_path):
    shared = dataclasses.replace(places, datasets=tmp_path / "data")
    shutil.copytree(places.datasets, shared.datasets, ignore=shutil.ignore_patterns("tokens"))
    meeting, reports = threading.Barrier(2), []

    def gather(index):
        def report(done, total):
            reports.append(index)

        group = Threads(meeting, index)
        return inputs.gather(change(), shared, report=report, group=group).parents

    with futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(gather, range(2))
    assert first == second
    assert set(reports) == {0}
