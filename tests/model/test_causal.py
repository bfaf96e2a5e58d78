"""Every kernel of attention gives what the formula gives, forward and backward."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import config
from jgpt2.model import causal, pallas_attention, sharding, sizes, tuning

# Largest absolute difference. float32: sums in another order over up to 384 keys. bfloat16: two
# roundings of 2^-8 to values below 4.
TOLERANCE = {"float32": 5e-6, "bfloat16": 4 * 2**-7}
SHAPES = [
    # batch, positions, heads, head width
    (2, 128, 2, 64),
    (1, 384, 2, 64),  # three blocks of 128
    (1, 512, 1, 128),  # two blocks of 256
    (2, 128, 4, 32),
    (1, 128, 3, 64),  # the last group of lanes is half full, as with GPT-2 XL's 25 heads
]


def run(kernel, heads, q, k, v, do):
    """The mix and its gradients by q, k and v."""
    mixed, pull_back = jax.vjp(
        functools.partial(causal.attend, heads=heads, kernel=kernel), q, k, v
    )
    return mixed, *pull_back(do)


def drawn(shape, dtype):
    batch, positions, heads, head_dim = shape
    keys = jax.random.split(jax.random.key(0), 4)
    size = (batch, positions, heads * head_dim)
    return [jax.random.normal(key, size, dtype) for key in keys]


def assert_equal_to_plain(kernel, shape, dtype):
    arrays = drawn(shape, dtype)
    expected = run("plain", shape[2], *arrays)
    found = run(kernel, shape[2], *arrays)
    for ours, plain in zip(found, expected, strict=True):
        assert ours.dtype == plain.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(ours, np.float32), np.asarray(plain, np.float32), atol=TOLERANCE[dtype]
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pallas_equals_plain(shape, dtype):
    assert_equal_to_plain("pallas", shape, dtype)


@pytest.mark.parametrize("shape", [(1, 128, 2, 64), (1, 256, 1, 128)])
def test_splash_equals_plain(shape):
    assert_equal_to_plain("splash", shape, "float32")


def test_the_kernels_are_really_used():
    arrays = drawn(SHAPES[0], "float32")

    def program(kernel):
        return str(jax.make_jaxpr(functools.partial(run, kernel, 2))(*arrays))

    assert "attention_forward_128x64" in program("pallas")
    assert "attention_backward_128x64" in program("pallas")
    assert "splash" in program("splash")
    assert "pallas" not in program("plain")


@pytest.mark.parametrize("kernel", ["plain", "pallas", "splash"])
def test_no_gradient_reaches_a_later_position(kernel):
    q, k, v, _ = drawn((1, 128, 1, 64), "float32")

    def at(place, k, v):
        return causal.attend(q, k, v, heads=1, kernel=kernel)[0, place].sum()

    for place in (0, 63, 126):
        for grad in jax.grad(at, argnums=(1, 2))(place, k, v):
            assert not np.asarray(grad)[0, place + 1 :].any()
        assert np.asarray(jax.grad(at, argnums=2)(place, k, v))[0, : place + 1].any(axis=-1).all()


def test_kernels_run_on_every_device_of_a_mesh():
    arrays = drawn((8, 128, 2, 64), "float32")
    expected = run("plain", 2, *arrays)
    mesh = sharding.make_mesh(config.Mesh(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        found = jax.jit(functools.partial(run, "pallas", 2))(*arrays)
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, plain, atol=TOLERANCE["float32"])


@pytest.mark.parametrize(
    ("model", "positions", "fits"),
    [
        (sizes.SMALL, 1024, True),
        (sizes.XL, 1024, True),
        (sizes.MEGATRON_8B, 1024, True),
        (sizes.SMALL, 1000, False),
        (sizes.SMALL, 4096, False),
        (dataclasses.replace(sizes.SMALL, heads=16), 1024, False),
    ],
)
def test_what_the_kernels_take(model, positions, fits):
    assert pallas_attention.fits(positions, model.embed_dim, model.heads) is fits


@pytest.mark.parametrize(
    ("device_kind", "changes", "positions", "kernel"),
    [
        ("TPU v5 lite", {}, 1024, "pallas"),
        ("TPU v5 lite", {"heads": 16}, 1024, "splash"),
        ("TPU v5 lite", {}, 1000, "plain"),
        ("TPU v5 lite", {"attention": "plain"}, 1024, "plain"),
        ("NVIDIA H200", {}, 1024, "cudnn"),
        ("NVIDIA H200", {"compute_dtype": "float32"}, 1024, "plain"),
    ],
)
def test_the_devices_of_the_mesh_decide(device_kind, changes, positions, kernel):
    platform = "tpu" if device_kind.startswith("TPU") else "gpu"
    device = jax.sharding.AbstractDevice(device_kind, None, platform)
    mesh = jax.sharding.AbstractMesh((4,), ("data",), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        assert tuning.attention(dataclasses.replace(sizes.SMALL, **changes), positions) == kernel


def test_without_a_mesh_the_code_is_for_a_cpu():
    assert tuning.platform() == "cpu"
    assert jnp.zeros(()).device.platform == "cpu"
