"""Eight devices give what one gives, and every array really is where the table says."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import gpt2, loss, sharding, sizes

MESHES = [(8, 1, 1), (2, 4, 1), (2, 2, 2)]
TOLERANCE = 1e-5


def mesh_of(data, fsdp, tensor):
    return sharding.make_mesh(config.Mesh(data=data, fsdp=fsdp, tensor=tensor))


def shard_shape(array):
    return array.addressable_shards[0].data.shape


@pytest.fixture(scope="module")
def one_device(tiny, made, rows):
    results = {}
    for scan_layers in (False, True):
        graphdef, params = made(tiny(scan_layers=scan_layers))

        def mean_loss(params, rows, graphdef=graphdef):
            return loss.next_token_nll(nnx.merge(graphdef, params), rows).mean()

        step = jax.value_and_grad(mean_loss)
        results[scan_layers] = (step, params, jax.jit(step)(params, rows))
    return results


@pytest.mark.parametrize(
    ("shape", "scan_layers"), [*((shape, False) for shape in MESHES), (MESHES[-1], True)]
)
def test_eight_devices_equal_one(one_device, rows, shape, scan_layers):
    step, params, (expected, expected_grads) = one_device[scan_layers]
    mesh = mesh_of(*shape)
    data, fsdp, tensor = shape
    places, rows_place = sharding.shardings(params, mesh), sharding.batch_sharding(mesh)
    params = jax.device_put(params, places)
    rows = jax.device_put(rows, rows_place)
    up_kernel = params["blocks"]["mlp"] if scan_layers else params["blocks"][1]["mlp"]
    up_kernel = up_kernel["up"]["kernel"]
    assert shard_shape(up_kernel)[-2:] == (32 // fsdp, 128 // tensor)
    tokens_shape = (384 // fsdp, 32) if tensor == 1 else (384 // tensor, 32 // fsdp)
    assert shard_shape(params["tokens"]) == tokens_shape
    assert shard_shape(rows) == (8 // (data * fsdp), 17)
    assert len(up_kernel.sharding.device_set) == 8

    with jax.set_mesh(mesh):
        value, grads = jax.jit(
            step,
            in_shardings=(places, rows_place),
            out_shardings=(NamedSharding(mesh, P()), places),
        )(params, rows)
    assert grads["tokens"].sharding == places["tokens"]
    assert shard_shape(grads["tokens"]) == tokens_shape
    np.testing.assert_allclose(value, expected, atol=TOLERANCE)
    jax.tree.map(
        lambda grad, other: np.testing.assert_allclose(grad, other, atol=TOLERANCE),
        grads,
        expected_grads,
    )


def test_parameters_are_drawn_where_they_live_with_the_same_numbers(tiny, made, vocab_size):
    _, expected = made(tiny())
    places = sharding.shardings(gpt2.abstract(tiny(), vocab_size)[1], mesh_of(2, 2, 2))
    params = jax.jit(lambda: gpt2.create(tiny(), vocab_size, seed=0)[1], out_shardings=places)()
    assert params["tokens"].sharding == places["tokens"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), params, expected)


def test_activations_keep_their_rows_on_their_devices(tiny, made):
    mesh = mesh_of(2, 4, 1)
    graphdef, params = made(tiny())
    places = sharding.shardings(params, mesh)

    def hidden(params, ids_BT):
        return nnx.merge(graphdef, params)(ids_BT)

    ids_BT = jax.device_put(np.zeros((8, 16), np.int32), sharding.batch_sharding(mesh))
    with jax.set_mesh(mesh):
        hidden_BTD = jax.jit(hidden)(jax.device_put(params, places), ids_BT)
    assert shard_shape(hidden_BTD) == (1, 16, 32)


def test_optimizer_state_lives_where_its_parameters_live(tiny, vocab_size):
    mesh = mesh_of(2, 2, 2)
    for scan_layers in (False, True):
        _, params = gpt2.abstract(tiny(scan_layers=scan_layers), vocab_size)
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
        state = jax.eval_shape(optimizer.init, params)
        places = sharding.shardings(state, mesh)
        param_places = sharding.shardings(params, mesh)
        moments = [part for part in jax.tree.leaves(places, is_leaf=_is_adam) if _is_adam(part)]
        assert len(moments) == 1
        assert moments[0].mu == param_places
        assert moments[0].nu == param_places
        assert moments[0].count.spec == P()
        assert param_places["tokens"].spec == P("tensor", "fsdp")


def _is_adam(part):
    return isinstance(part, optax.ScaleByAdamState)


def test_the_mesh_has_auto_axes_and_takes_the_devices_that_are_left():
    mesh = sharding.make_mesh(config.Mesh(fsdp=2, tensor=2))
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}
    assert mesh.axis_types == (AxisType.Auto,) * 3
    one = sharding.make_mesh(config.Mesh(), devices=jax.devices()[:1])
    assert dict(one.shape) == {"data": 1, "fsdp": 1, "tensor": 1}


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (config.Mesh(data=3), r"mesh.data=3 x mesh.fsdp=1 x mesh.tensor=1 does not make 8 devices"),
        (config.Mesh(fsdp=3), r"mesh.fsdp=3 x mesh.tensor=1 .* whose product divides 8"),
        (config.Mesh(data=4, tensor=4), r"choose numbers whose product is 8"),
    ],
)
def test_a_mesh_that_does_not_match_the_devices_is_refused(mesh, message):
    with pytest.raises(InputError, match=message):
        sharding.make_mesh(mesh)


@pytest.mark.parametrize(
    ("changes", "rows", "shape", "message"),
    [
        ({"heads": 1}, 8, (1, 1, 8), "model.heads=1 does not divide over mesh.tensor=8; choose"),
        ({"embed_dim": 36}, 8, (1, 8, 1), "model.embed_dim = 36 .* mesh.fsdp = 8"),
        ({}, 12, (2, 4, 1), "batch rows = 12 .* mesh.data x mesh.fsdp = 8; choose a multiple of 8"),
    ],
)
def test_what_does_not_divide_is_refused_with_the_remedy(tiny, changes, rows, shape, message):
    with pytest.raises(InputError, match=message):
        sharding.check(tiny(**changes), 384, rows, mesh_of(*shape))


def test_a_vocabulary_that_does_not_divide_is_refused(tiny):
    with pytest.raises(InputError, match=r"the padded vocabulary = 129 .* mesh.tensor = 2"):
        sharding.check(tiny(), 129, 8, mesh_of(2, 2, 2))


def test_the_25_heads_of_xl_get_a_way_out():
    message = (
        "model.heads=25 does not divide over mesh.tensor=2; .* divisor of 25, or mesh.tensor=1"
    )
    with pytest.raises(InputError, match=message):
        sharding.check(sizes.XL, 50_304, 8, mesh_of(2, 2, 2))
    sharding.check(sizes.XL, 50_304, 8, mesh_of(2, 4, 1))


def test_two_axes_of_one_array_may_not_claim_one_mesh_axis():
    with pytest.raises(InputError, match=r"'heads' and 'mlp' .* both claim mesh axis 'tensor'"):
        sharding.spec(("heads", "mlp"))


def test_a_parameter_that_the_table_does_not_know_is_refused():
    leaf = jax.ShapeDtypeStruct((2, 2), "float32")
    with pytest.raises(InputError, match="no sharding is known for rotary/angles with 2 axes"):
        sharding.shardings({"rotary": {"angles": leaf}}, mesh_of(8, 1, 1))
