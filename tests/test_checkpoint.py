"""Checkpoints: what is saved comes back whole, and what is not whole is never taken for a step."""

import errno
import json
import shutil
import subprocess
import sys
import textwrap
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jgpt2 import checkpoint, config, integrity
from jgpt2.errors import DamageError, InputError
from jgpt2.model import sharding


def state_of(step, size=4):
    """A state whose every number says which step it is of."""
    params = {"kernel": jnp.full((2 * size, 8), 1.0 * step), "bias": jnp.full((size,), -1.0 * step)}
    return {"step": jnp.asarray(step), "params": params, "moments": [params, params]}


def saved(folder, scores, keep_last=2):
    with checkpoint.Checkpoints(folder, keep_last=keep_last) as checkpoints:
        for step, bits in scores.items():
            checkpoints.save(step, state_of(step), bits_per_byte=bits)
    return folder


def abstract(state, where=None):
    def described(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where or leaf.sharding)

    return jax.tree.map(described, state)


def assert_state(folder, step):
    found = checkpoint.restore(folder, step, abstract(state_of(step)))
    jax.tree.map(np.testing.assert_array_equal, found, state_of(step))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("scores", "keep_last", "kept", "best"),
    [
        ({1: None, 2: None, 3: None}, 2, [2, 3], 3),
        ({1: 3.0, 2: 2.0, 3: 2.5, 4: None}, 2, [2, 3, 4], 2),
        ({1: 2.0, 2: 3.0, 3: 4.0}, 1, [1, 3], 1),
        ({1: 4.0, 2: 3.0, 3: 2.0}, 1, [3], 3),
        ({1: None, 2: 5.0, 3: None}, 1, [2, 3], 2),
    ],
)
def test_the_last_and_the_best_stay(tmp_path, scores, keep_last, kept, best):
    folder = saved(tmp_path / "c", scores, keep_last)
    assert integrity.steps(folder) == kept
    assert names(folder) == sorted(f"{step}{end}" for step in kept for end in ("", ".json"))
    assert integrity.best_step(folder) == best
    for step in kept:
        assert_state(folder, step)


def test_what_was_kept_before_counts_when_a_run_goes_on(tmp_path):
    folder = saved(tmp_path / "c", {1: 2.0, 2: 3.0})
    saved(folder, {3: 4.0, 4: 5.0}, keep_last=1)
    assert integrity.steps(folder) == [1, 4]


def test_no_step_is_removed_before_a_later_one_is_complete(tmp_path, monkeypatch):
    folder = saved(tmp_path / "c", {1: None}, keep_last=1)

    def killed(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(integrity, "write", killed)
        saved(folder, {2: None}, keep_last=1)
    assert (folder / "2").is_dir()
    assert integrity.steps(folder) == [1]
    assert_state(folder, 1)


def test_a_record_lists_every_file(tmp_path):
    folder = saved(tmp_path / "c", {7: 1.5})
    record = json.loads((folder / "7.json").read_text("utf-8"))
    assert (record["step"], record["bits_per_byte"]) == (7, 1.5)
    root = folder / "7"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(record["files"]) == files
    assert sum(entry["num_bytes"] for entry in record["files"].values()) > 100


def test_a_save_is_of_its_moment_though_the_next_step_takes_over_the_memory(tmp_path):
    # Large enough that the save still goes on when the steps below have run.
    next_step = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    state = next_step({str(i): jnp.full((500_000,), float(i)) for i in range(6)})
    copy = jax.tree.map(lambda x: np.array(x * 1), state)
    with checkpoint.Checkpoints(tmp_path / "c", keep_last=1) as checkpoints:
        checkpoints.save(1, state, bits_per_byte=None)
        is_saving = not (tmp_path / "c" / "1").exists()  # it gets its name when it is complete
        for _ in range(4):
            last, state = state, next_step(state)
        jax.block_until_ready(state)
    assert is_saving
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(last))  # memory is handed on
    found = checkpoint.restore(tmp_path / "c", 1, abstract(state))
    jax.tree.map(np.testing.assert_array_equal, found, copy)
    assert (state["0"] == copy["0"] + 4).all()


def test_poll_records_when_the_save_is_done_and_never_waits(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "c", keep_last=1) as checkpoints:
        checkpoints.poll()
        held = threading.Event()
        checkpoints._recorder.submit(held.wait)
        checkpoints.save(1, state_of(1), bits_per_byte=None)
        checkpoints.poll()
        assert integrity.steps(tmp_path / "c") == []
        held.set()
        checkpoints.finish()
        assert integrity.steps(tmp_path / "c") == [1]


def test_parameters_alone_equal_those_of_the_whole(tmp_path):
    folder = saved(tmp_path / "c", {1: None, 2: None})
    found = checkpoint.restore_params(folder, 2, abstract(state_of(2)["params"]))
    jax.tree.map(np.testing.assert_array_equal, found, state_of(2)["params"])


def test_a_state_comes_back_on_another_mesh(tmp_path):
    one = sharding.make_mesh(config.Mesh(data=8))
    other = sharding.make_mesh(config.Mesh(data=2, fsdp=2, tensor=2))
    value = np.arange(64, dtype=np.float32).reshape(8, 8)
    state = {"kernel": jax.device_put(value, NamedSharding(one, PartitionSpec("data")))}
    with checkpoint.Checkpoints(tmp_path / "c", keep_last=1) as checkpoints:
        checkpoints.save(1, state, bits_per_byte=None)
    where = NamedSharding(other, PartitionSpec("tensor", "fsdp"))
    found = checkpoint.restore(tmp_path / "c", 1, abstract(state, where))["kernel"]
    assert found.sharding == where != state["kernel"].sharding
    assert found.addressable_shards[0].data.shape == (4, 4)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("read", [checkpoint.restore, checkpoint.restore_params])
def test_a_flipped_bit_is_damage(tmp_path, read):
    folder = saved(tmp_path / "c", {1: None, 2: None})
    path = next((folder / "2" / "default").glob("**/d/*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamageError) as refused:
        read(folder, 2, None)
    assert str(refused.value) == (
        f"{path} is damaged: it does not match the record {folder / '2.json'}; restore the file, "
        "or use another step (training sets this one aside and goes on from the step before)."
    )
    assert_state(folder, 1)


def test_a_missing_file_is_damage(tmp_path):
    folder = saved(tmp_path / "c", {1: None})
    path = folder / "1" / "default" / "_METADATA"
    path.unlink()
    with pytest.raises(DamageError, match="_METADATA is missing: it does not match the record"):
        integrity.verify(folder, 1)


def test_a_record_that_cannot_be_read_is_damage(tmp_path):
    folder = saved(tmp_path / "c", {1: None})
    (folder / "1.json").write_text("{")
    for read in (lambda: integrity.verify(folder, 1), lambda: integrity.best_step(folder)):
        with pytest.raises(DamageError, match=r"1\.json cannot be read .*; restore the file"):
            read()


def test_an_unknown_step_lists_the_complete_ones(tmp_path):
    folder = saved(tmp_path / "c", {1: None, 2: None})
    (folder / "1.json").unlink()
    for step in (1, 9):
        with pytest.raises(InputError) as refused:
            checkpoint.restore(folder, step, None)
        message = f"no checkpoint of step {step} in {folder}; complete steps: 2."
        assert str(refused.value) == message
    with pytest.raises(InputError, match="complete steps: none"):
        integrity.verify(tmp_path, 1)


def test_the_next_start_removes_what_a_kill_left_and_nothing_else(tmp_path):
    folder = saved(tmp_path / "c", {1: None, 2: None, 3: None}, keep_last=3)
    (folder / "2.json").unlink()  # killed before the record was written
    (folder / "3.json").unlink()  # killed while an old step was removed
    (folder / "4.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    (folder / "1-copy").mkdir()
    (folder / "notes.json").write_text("{}")
    assert integrity.steps(folder) == [1]
    saved(folder, {2: None})
    assert names(folder) == ["1", "1-copy", "1.json", "2", "2.json", "notes.json"]
    assert_state(folder, 2)


def test_a_disk_without_room_is_refused_before_the_save(tmp_path, monkeypatch):
    folder = saved(tmp_path / "c", {1: None})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500))
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state_of(2)))
    with pytest.raises(OSError) as refused:
        saved(folder, {2: None})
    assert refused.value.errno == errno.ENOSPC
    assert refused.value.filename == str(folder)
    assert refused.value.strerror == f"a checkpoint takes {num_bytes} bytes, 500 are free"
    assert names(folder) == ["1", "1.json"]
    assert_state(folder, 1)


def test_a_disk_that_does_not_say_its_size_is_tried(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(total=0, free=0))
    assert_state(saved(tmp_path / "c", {1: None}), 1)


def test_a_disk_that_fills_up_during_the_save(tmp_path):
    # A limit on the size of files is what an ordinary user can have in place of a full disk.
    folder = saved(tmp_path / "c", {1: None})
    code = """
        import logging, resource, sys
        from pathlib import Path
        import jax.numpy as jnp
        import numpy as np
        from jgpt2 import checkpoint

        draw = np.random.default_rng(0)  # random numbers cannot be compressed
        state = {str(i): jnp.asarray(draw.standard_normal(20_000)) for i in range(4)}
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            with checkpoint.Checkpoints(Path(sys.argv[1]), keep_last=2) as checkpoints:
                checkpoints.save(2, state, bits_per_byte=None)
        except OSError as error:
            print(error.errno, error.filename, error.strerror)
        # One of the writes is raised; asyncio tells of the others when they are collected.
        logger = logging.getLogger("asyncio")
        logger.error("Future exception was never retrieved")
        logger.error("something else")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG} {folder} File too large\n"
    assert "absl" not in done.stderr
    assert "never retrieved" not in done.stderr
    assert "something else" in done.stderr
    assert names(folder) == ["1", "1.json"]
    assert_state(folder, 1)


def test_an_interrupt_does_not_wait_for_the_save(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "finish", lambda self: pytest.fail("waited"))
        with checkpoint.Checkpoints(tmp_path / "c", keep_last=2):
            raise KeyboardInterrupt
