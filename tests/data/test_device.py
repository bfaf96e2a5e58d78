import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jgpt2.data import device, loader, mixture
from jgpt2.tokenizer import load

SHAPE = (16, 9)


def sharding(spec: PartitionSpec) -> NamedSharding:
    axes = (AxisType.Auto,) * 3
    mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=axes)
    return NamedSharding(mesh, spec)


SPECS = [
    PartitionSpec(("data", "fsdp")),
    PartitionSpec("data"),
    PartitionSpec(),
    PartitionSpec("data", None),
]


@pytest.mark.parametrize("spec", SPECS)
def test_devices_hold_their_rows_and_each_slice_is_made_once(spec: PartitionSpec):
    whole = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    asked: list[slice] = []

    def rows_for(rows: slice) -> np.ndarray:
        asked.append(rows)
        return whole[rows]

    placed = device.place(rows_for, SHAPE, sharding(spec))
    assert np.array_equal(placed, whole)
    assert placed.sharding == sharding(spec)
    spans = [(rows.start, rows.stop) for rows in asked]
    assert len(spans) == len(set(spans))
    for shard in placed.addressable_shards:
        assert np.array_equal(shard.data, whole[shard.index])


def test_local_rows_are_all_rows_of_one_process():
    assert device.local_rows(SHAPE, sharding(SPECS[0])) == slice(0, 16)


@pytest.mark.parametrize("spec", SPECS)
def test_the_batch_of_a_step_is_the_loaders(text: mixture.Mixture, spec: PartitionSpec):
    settings = {"context": 8, "sequences": 16, "seed": 0, "step": 5}
    rows = loader.batch(text, **settings)
    assert np.array_equal(device.batch(text, **settings, sharding=sharding(spec)), rows)
    assert np.array_equal(device.place_local(rows, SHAPE, sharding(spec)), rows)


PROCESS = """
import os, pathlib, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jgpt2.data import device, loader, mixture, tokens
index = int(sys.argv[1])
jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=index)
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
placement = NamedSharding(mesh, PartitionSpec("data"))
folder, fingerprint = pathlib.Path(sys.argv[3]), sys.argv[4]
stream = tokens.open_store(folder, tokenizer_fingerprint=fingerprint).split("train")
text = mixture.Mixture((mixture.Part("a", stream, 2), mixture.Part("b", stream, 1)))
settings = dict(context=8, sequences=16, seed=0)
own = device.local_rows((16, 9), placement)
assert own == slice(8 * index, 8 * index + 8)
step, rows = next(loader.batches(text, **settings, first_step=5, rows=own))
whole = loader.batch(text, **settings, step=5)
for placed in (
    device.place_local(rows, (16, 9), placement),
    device.batch(text, **settings, step=5, sharding=placement),
):
    assert placed.shape == (16, 9)
    for shard in placed.addressable_shards:
        assert np.array_equal(shard.data, whole[shard.index])
"""


@pytest.mark.slow
def test_two_processes_hold_one_batch(store_folder: Path, tokenizer_folder: Path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    arguments = [address, store_folder, load.load(tokenizer_folder).fingerprint]
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(index), *arguments])
        for index in range(2)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
