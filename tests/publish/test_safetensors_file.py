"""The reader of safetensors: what the library writes is read, and no header is believed."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jgpt2.errors import DamageError
from jgpt2.publish.formats import hf, safetensors_file

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def whole(header, num_bytes=24, length=None):
    """A file's bytes: header length, header, and zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + bytes(num_bytes)


@pytest.fixture
def refused(tmp_path):
    def refuse(content):
        path = tmp_path / "重み 一.safetensors"
        path.write_bytes(content)
        with pytest.raises(DamageError) as error:
            safetensors_file.read(path)
        assert str(path) in str(error.value)
        assert str(error.value).endswith(".")
        return str(error.value)

    return refuse


def test_what_the_library_writes_is_read_from_the_file_itself(tmp_path):
    path = tmp_path / "重み 一.safetensors"
    random = np.random.default_rng(0)
    tensors = {
        "b.weight": random.normal(size=(3, 5)).astype(np.float32),
        "a.half": random.normal(size=(7,)).astype(np.float16),
        "a.brain": random.normal(size=(2, 1, 3)).astype(jnp.bfloat16),
        "a.mask": np.tri(3, dtype=np.bool_),
        "a.scalar": np.asarray(-1e4, np.float32),
    }
    save_file(tensors, path, metadata={"format": "pt"})
    read = safetensors_file.read(path)
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].shape == tensor.shape
        assert not read[name].flags.writeable and not read[name].flags.owndata
    assert read["a.brain"].dtype == jnp.bfloat16


def test_a_header_may_be_padded_and_list_tensors_in_any_order(tmp_path):
    late = {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]}
    text = json.dumps({"late": late, "early": TENSOR}).encode() + b"   "
    (tmp_path / "x").write_bytes(whole(text, 28))
    assert list(safetensors_file.read(tmp_path / "x")) == ["late", "early"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes hold no header length"),
        (b"\x01" * 7, "7 bytes hold no header length"),
        (whole({}, 0, length=3), "a header of 3 bytes in a file of 10"),
        (whole({}, 0, length=2**64 - 1), "a header of 18,446,744,073,709,551,615 bytes"),
        (whole(b"[" * 100_000, 0), "its header is not JSON"),
        (whole(b"\xff\xfe", 0), "its header is not JSON"),
        (whole(b"{} {}", 0), "its header is not JSON"),
        (whole(b'{"w": %s}' % (b"9" * 5000), 0), "its header is not JSON"),
        (whole([TENSOR]), "its header is a JSON list"),
        (whole(b'{"w": {}, "w": {}}'), "has 'w' twice"),
        (whole(b'{"w": {"dtype": "F32", "dtype": "F16"}}'), "has 'dtype' twice"),
        (whole({}, 24), "the header ends at byte 0, the file at byte 24"),
    ],
    ids=range(12),
)
def test_a_header_that_is_none_is_refused(refused, content, why):
    assert why in refused(content)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\\b", "", "a b", "a\nb", "..", "重み", ".w"]
)
def test_names_that_are_paths_are_refused(refused, name):
    assert f"{name!r} is no name of a tensor" in refused(whole({name: TENSOR}))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dtype": "I64"}, "holds w as 'I64'; what is read is F32, F16, BF16"),
        ({"dtype": 4}, "holds w as 4"),
        ({"dtype": ["F32"]}, "holds w as"),
        ({"shape": [2, -3]}, "w has shape [2, -3]"),
        ({"shape": [0, 3]}, "w has shape [0, 3]"),
        ({"shape": [2, 3.0]}, "w has shape [2, 3.0]"),
        ({"shape": [2, True]}, "w has shape [2, True]"),
        ({"shape": "23"}, "w has shape '23'"),
        ({"shape": [1] * 9}, "w has shape"),
        ({"shape": [2**63, 2]}, "w has shape"),
        ({"shape": [2**62, 2**62]}, "does not take bytes [0, 24]"),  # overflows 64 bits to zero
        ({"shape": [2, 4]}, "w, F32 of shape [2, 4], does not take bytes [0, 24]"),
        ({"dtype": "F16"}, "w, F16 of shape [2, 3], does not take bytes [0, 24]"),
        ({"data_offsets": [24, 0]}, "w has data_offsets [24, 0]"),
        ({"data_offsets": [-24, 0]}, "w has data_offsets [-24, 0]"),
        ({"data_offsets": [0, 24, 48]}, "w has data_offsets"),
        ({"data_offsets": [0, None]}, "w has data_offsets"),
        ({"data_offsets": [4, 28]}, "w at bytes 4 to 28 leaves a gap after the header"),
        ({"stride": 2}, "w is not described by data_offsets, dtype, shape"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_by_name(refused, changes, why):
    assert why in refused(whole({"w": TENSOR | changes}))


def test_an_entry_that_is_no_object_is_refused(refused):
    assert "w is not described by" in refused(whole({"w": [1]}))


@pytest.mark.parametrize(
    ("first", "second", "num_bytes", "why"),
    [
        (0, 20, 44, "b at bytes 20 to 44 overlaps a"),
        (0, 0, 24, "b at bytes 0 to 24 overlaps a"),
        (0, 28, 52, "b at bytes 28 to 52 leaves a gap after a"),
        (0, 24, 40, "b ends at byte 48, the file at byte 40"),
        (0, 24, 49, "b ends at byte 48, the file at byte 49"),
        (0, 2**62, 48, "leaves a gap after a"),
    ],
)
def test_tensors_fill_the_file_once(refused, first, second, num_bytes, why):
    header = {
        "a": TENSOR | {"data_offsets": [first, first + 24]},
        "b": TENSOR | {"data_offsets": [second, second + 24]},
    }
    assert why in refused(whole(header, num_bytes))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamageError, match="w is missing"):
        safetensors_file.read(tmp_path / "w")


@pytest.fixture
def sharded(tmp_path):
    """Two files, and an index of what it is given."""
    for number in (1, 2):
        save_file({f"t{number}": np.ones(2, np.float32)}, tmp_path / f"{number}.safetensors")

    def write(weight_map):
        index = weight_map if isinstance(weight_map, bytes) else json.dumps(weight_map).encode()
        (tmp_path / hf.INDEX).write_bytes(index)
        return tmp_path

    return write


def test_files_and_their_index_are_read(sharded):
    folder = sharded({"weight_map": {"t1": "1.safetensors", "t2": "2.safetensors"}})
    assert sorted(hf.read_tensors(folder)) == ["t1", "t2"]


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is a JSON list"),
        ({}, "has no weight_map"),
        ({"weight_map": {}}, "has no weight_map"),
        ({"weight_map": ["1.safetensors"]}, "has no weight_map"),
        (b'{"weight_map": {"t1": "1.safetensors", "t1": "2.safetensors"}}', "has 't1' twice"),
        ({"weight_map": {"t1": "3.safetensors"}}, "3.safetensors is missing"),
        ({"weight_map": {"t1": "2.safetensors"}}, "do not agree on where t1 is"),
        (
            {"weight_map": {"t1": "1.safetensors", "t2": "1.safetensors"}},
            "do not agree on where t2 is",
        ),
        *(
            ({"weight_map": {"t1": file}}, f"has t1 in {file!r}, which is no name")
            for file in (
                *("../1.safetensors", "/etc/passwd", "a/1.safetensors", "..\\1.safetensors"),
                *("..", "", "pytorch_model.bin", "1.safetensors\n", 1, None),
            )
        ),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(sharded, index, why):
    with pytest.raises(DamageError, match=re.escape(why)):
        hf.read_tensors(sharded(index))


def test_a_tensor_in_a_file_that_the_index_does_not_give_it_is_refused(sharded, tmp_path):
    folder = sharded({"weight_map": {"t1": "1.safetensors", "t2": "2.safetensors"}})
    more = {"t2": np.ones(2, np.float32), "t1": np.zeros(2, np.float32)}
    save_file(more, tmp_path / "2.safetensors")
    with pytest.raises(DamageError, match="do not agree on where t1 is"):
        hf.read_tensors(folder)
