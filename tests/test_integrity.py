"""The record of a step: no change of any file, nor of the record, goes unnoticed."""

import json
import random

import pytest

from jgpt2 import checkpoint, integrity
from jgpt2.errors import DamageError, InputError

FILES = {"default/d/0a1b": bytes(range(256)), "_METADATA": b"{}", "名前": "名".encode()}


@pytest.fixture
def step(tmp_path):
    """step(number, **fields): writes the files and the record of a step; the folder."""

    def written(number=3, **fields):
        for name, content in FILES.items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        given = {"bits_per_byte": 2.5, "fingerprints": {"config": "c" * 64}, "code_version": "1"}
        files = integrity.hash_files(tmp_path, number)
        record = integrity.Record(step=number, files=files, **given | fields)
        integrity.write(tmp_path, record)
        return tmp_path

    return written


def test_a_record_reads_back_and_its_files_verify(step):
    folder = step()
    record = integrity.read(folder, 3)
    assert set(record.files) == set(FILES)
    assert record.num_bytes == sum(map(len, FILES.values()))
    integrity.verify(folder, 3)


def test_shares_of_several_processes_are_all_files_once(step):
    folder = step()
    shares = [integrity.hash_files(folder, 3, part=part, parts=2) for part in range(2)]
    assert shares[0] | shares[1] == integrity.hash_files(folder, 3)
    assert not shares[0].keys() & shares[1].keys()
    (folder / "3" / "_METADATA").write_bytes(b"[]")
    refused = 0
    for part in range(2):
        try:
            integrity.verify(folder, 3, part=part, parts=2)
        except DamageError:
            refused += 1
    assert refused == 1


@pytest.mark.parametrize("name", [*FILES, "3.json"])
def test_every_flipped_bit_is_found(step, name):
    folder = step()
    path = folder / ("3.json" if name == "3.json" else f"3/{name}")
    content = path.read_bytes()
    bits = range(8 * len(content))
    for bit in random.Random(0).sample(bits, min(len(bits), 300)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        if name == "3.json" and _same_json(bytes(changed), content):
            continue  # white space between the fields
        with pytest.raises(DamageError, match=path.name):
            integrity.verify(folder, 3)
    path.write_bytes(content)
    integrity.verify(folder, 3)


def _same_json(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"step": 3}'])
def test_a_record_that_is_no_record_is_damage(step, damage):
    folder = step()
    (folder / "3.json").write_text(damage)
    with pytest.raises(DamageError, match=r"3\.json cannot be read"):
        integrity.read(folder, 3)
    assert integrity.readable_steps(folder) == []


def test_a_record_under_another_steps_name_is_damage(step):
    folder = step()
    (folder / "9.json").write_bytes((folder / "3.json").read_bytes())
    with pytest.raises(DamageError, match=r"9\.json was changed after it was written"):
        integrity.read(folder, 9)


def test_the_best_step_is_that_of_the_lowest_score_among_those_asked_for(step):
    for number, bits in ((1, 3.0), (2, 2.0), (3, None)):
        folder = step(number, bits_per_byte=bits)
    assert integrity.best_step(folder) == 2
    assert integrity.best_step(folder, [1, 3]) == 1
    assert integrity.best_step(folder, [3]) == 3


def test_a_step_of_another_run_is_named_by_its_role(step):
    folder = step()
    integrity.require_same_run(folder, 3, {"config": "c" * 64})
    with pytest.raises(DamageError) as refused:
        integrity.require_same_run(folder, 3, {"config": "c" * 64, "tokenizer": "d" * 64})
    assert str(refused.value) == (
        f"{folder / '3.json'} is of another run: its tokenizer has fingerprint None, this run's "
        "has dddddddddddd; move it and its folder away."
    )


def test_a_step_set_aside_counts_no_more_and_nothing_is_overwritten(step):
    for name in ("3.damaged", "3.damaged-2"):
        folder = step()
        assert integrity.set_aside(folder, 3) == folder / name
        assert (folder / name / "_METADATA").read_bytes() == b"{}"
        assert integrity.steps(folder) == []
    step()
    integrity.set_aside(folder, 3, "rewound")
    assert integrity.names_set_aside(folder) == ["3.damaged", "3.damaged-2", "3.rewound"]
    assert integrity.unrecorded(folder) == []


def test_a_record_whose_folder_is_gone_is_damage_and_can_be_set_aside(step):
    folder = step()
    (folder / "3").rename(folder / "elsewhere")
    with pytest.raises(DamageError, match="is missing"):
        integrity.verify(folder, 3)
    integrity.set_aside(folder, 3)
    assert integrity.steps(folder) == []


def test_a_step_that_does_not_exist_is_refused_with_those_that_do(step):
    folder = step()
    with pytest.raises(InputError, match=r"no checkpoint of step 4 in .*; complete steps: 3"):
        integrity.verify(folder, 4)


def test_the_fingerprint_of_arrays_is_of_names_shapes_and_types():
    import numpy as np

    tree = {"a": np.zeros((2, 3), np.float32), "b": [np.zeros(4, np.int32)]}
    same = {"a": np.ones((2, 3), np.float32), "b": [np.ones(4, np.int32)]}
    assert checkpoint.tree_fingerprint(tree) == checkpoint.tree_fingerprint(same)
    for other in (
        tree | {"a": np.zeros((3, 2), np.float32)},
        tree | {"a": np.zeros((2, 3), np.float16)},
        {"c": tree["a"], "b": tree["b"]},
    ):
        assert checkpoint.tree_fingerprint(tree) != checkpoint.tree_fingerprint(other)
