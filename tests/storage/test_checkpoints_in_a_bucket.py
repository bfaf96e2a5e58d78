"""Checkpoints in a bucket: the same promises as on a disk, and the same answers to damage."""

import os
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import checkpoint, integrity, storage
from jgpt2.errors import DamageError, InputError


def state_of(step):
    params = {"kernel": jnp.full((16, 8), 1.0 * step), "bias": jnp.full((4,), -1.0 * step)}
    return {"step": jnp.asarray(step), "params": params}


def save(folder, scores, keep_last=2):
    with checkpoint.Checkpoints(folder, keep_last=keep_last) as checkpoints:
        for step, bits in scores.items():
            checkpoints.save(step, state_of(step), bits_per_byte=bits)


def abstract():
    return jax.eval_shape(lambda: state_of(1)) | {}


def placed():
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), abstract()
    )


def assert_restored(folder, step, **options):
    found = checkpoint.restore_newest(folder, placed(), **options)
    assert found is not None
    assert found[0] == step
    jax.tree.map(np.testing.assert_array_equal, found[1], state_of(step))


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    storage.write_bytes(file, bytes(content))


def test_the_last_and_the_best_stay_and_come_back(bucket):
    save(bucket, {1: 2.0, 2: 3.0, 3: 4.0}, keep_last=1)
    assert integrity.steps(bucket) == [1, 3]
    assert sorted(entry.name for entry in bucket.iterdir()) == ["1", "1.json", "3", "3.json"]
    assert integrity.best_step(bucket) == 1
    assert_restored(bucket, 3)
    whole = checkpoint.restore(bucket, 1, placed())
    jax.tree.map(np.testing.assert_array_equal, whole, state_of(1))
    params = checkpoint.restore_params(bucket, 3, placed()["params"])
    jax.tree.map(np.testing.assert_array_equal, params, state_of(3)["params"])
    with pytest.raises(InputError, match=r"no checkpoint of step 2 in gs://.*steps: 1, 3"):
        integrity.verify(bucket, 2)


def test_every_kind_of_damage_is_found_and_set_aside(bucket):
    save(bucket, {1: None})
    files = storage.files(bucket / "1")
    assert len(files) > 5
    for damage in ("flipped", "missing"):
        for name in files:
            file = bucket / "1" / name
            before = file.read_bytes()
            if not before and damage == "flipped":
                continue
            flip(file) if damage == "flipped" else file.unlink()
            with pytest.raises(DamageError) as found:
                integrity.verify(bucket, 1)
            assert str(file) in str(found.value)
            storage.write_bytes(file, before)
    integrity.verify(bucket, 1)


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_training_goes_on_from_the_step_before_a_damaged_one(bucket, damage):
    save(bucket, {1: None, 2: None})
    file = next(bucket / "2" / name for name in storage.files(bucket / "2") if "/d/" in f"/{name}")
    flip(file) if damage == "flipped" else file.unlink()
    with pytest.raises(DamageError, match="does not match the record gs://"):
        assert_restored(bucket, 1, strict=True)
    said = []
    assert_restored(bucket, 1, say=said.append)
    (told,) = said
    assert str(file) in told and f"Step 2 is set aside as {bucket / '2.damaged'}" in told
    names = sorted(entry.name for entry in bucket.iterdir())
    assert names == ["1", "1.json", "2.damaged", "2.damaged.json"]
    assert integrity.names_set_aside(bucket) == ["2.damaged"]
    save(bucket, {2: None})
    assert_restored(bucket, 2)


def test_a_changed_record_is_damage(bucket):
    save(bucket, {1: None, 2: None})
    record = integrity.record_path(bucket, 2)
    storage.write_bytes(record, record.read_bytes().replace(b'"step": 2', b'"step": 3'))
    assert_restored(bucket, 1)


def test_a_stray_step_without_a_record_does_not_count_and_goes(bucket):
    save(bucket, {1: None})
    storage.write_bytes(bucket / "9" / "default" / "x", b"")
    storage.write_bytes(bucket / "somebody's.txt", b"")
    assert integrity.steps(bucket) == [1]
    assert_restored(bucket, 1)
    save(bucket, {2: None})
    names = sorted(entry.name for entry in bucket.iterdir())
    assert names == ["1", "1.json", "2", "2.json", "somebody's.txt"]


def test_a_kill_during_a_save_leaves_the_step_before(bucket):
    """A process saves step 1, and is killed when the first object of step 2 is there."""
    save(bucket, {1: None})
    code = textwrap.dedent("""
        import sys, threading, jax.numpy as jnp
        from jgpt2 import checkpoint, integrity, storage
        folder = storage.path(sys.argv[1])
        integrity.write = lambda *arguments: threading.Event().wait()
        state = {"step": jnp.asarray(2), "params": {"kernel": jnp.ones((512, 512))}}
        checkpoints = checkpoint.Checkpoints(folder, keep_last=2)
        checkpoints.save(2, state, bits_per_byte=None)
        print("saving", flush=True)
        threading.Event().wait()
    """)
    command = [sys.executable, "-c", code, str(bucket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saving:
        assert saving.stdout is not None
        assert saving.stdout.readline() == "saving\n"
        os.kill(saving.pid, signal.SIGKILL)
    assert integrity.steps(bucket) == [1]
    assert_restored(bucket, 1)
    save(bucket, {2: None})
    assert_restored(bucket, 2)
    names = sorted(entry.name for entry in bucket.iterdir())
    assert names == ["1", "1.json", "2", "2.json"]
