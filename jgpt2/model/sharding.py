"""Where every array lives: one table from the meaning of an axis to an axis of the mesh.

Looking for `pjit`? It became `jax.jit` with `NamedSharding`: the train step is jitted with the
shardings made here. The mesh is `data × fsdp × tensor`: copies of the model, shares of parameters
and optimizer state, and shares of heads, MLP and vocabulary.

Gradients over `data` and `fsdp` are made in a `shard_map`, where every exchange is written down
(`gather`, `reduce`): left to the compiler, a share of a weight became zeros, an update and an
all-reduce, and a small model thousands of permutations. `tensor` is placed by the compiler.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jgpt2 import config
from jgpt2.errors import InputError

MESH_AXES = ("data", "fsdp", "tensor")

BATCH_AXES = ("data", "fsdp")
"""What the rows of a batch are spread over."""

LOGICAL_TO_MESH: dict[str | None, str | tuple[str, ...] | None] = {
    "batch": BATCH_AXES,
    "layers": None,
    "positions": None,
    "embed": "fsdp",
    "heads": "tensor",
    "mlp": "tensor",
    "vocab": "tensor",
    None: None,
}
"""The table. `embed` is the width D of a matrix; vectors along D are small and stay whole.

Where heads, MLP and vocabulary are not shared out (`tensor` is 1), `fsdp` cuts a matrix along its
first axis instead: rows stay whole tiles of 128 lanes, which a width of 768 over 16 does not.
"""

PARAM_AXES: dict[tuple[str, ...], tuple[str | None, ...]] = {
    ("tokens",): ("vocab", "embed"),
    ("positions",): ("positions", "embed"),
    ("qkv", "kernel"): ("embed", None, "heads"),
    ("qkv", "bias"): (None, "heads"),
    ("out", "kernel"): ("heads", "embed"),
    ("out", "bias"): (None,),
    ("up", "kernel"): ("embed", "mlp"),
    ("up", "bias"): ("mlp",),
    ("down", "kernel"): ("mlp", "embed"),
    ("down", "bias"): (None,),
    # Adapters are too small to be shared out by fsdp.
    ("qkv", "lora_in"): (None, None),
    ("qkv", "lora_out"): (None, None, "heads"),
    ("out", "lora_in"): ("heads", None),
    ("out", "lora_out"): (None, None),
    ("up", "lora_in"): (None, None),
    ("up", "lora_out"): (None, "mlp"),
    ("down", "lora_in"): ("mlp", None),
    ("down", "lora_out"): (None, None),
    ("attention_norm", "scale"): (None,),
    ("attention_norm", "bias"): (None,),
    ("mlp_norm", "scale"): (None,),
    ("mlp_norm", "bias"): (None,),
    ("norm", "scale"): (None,),
    ("norm", "bias"): (None,),
}
"""Meaning of each parameter's axes, by the end of its path."""


FSDP_LIMIT = 32
"""Most devices that `mesh.fsdp=None` shares the parameters out over.

The 8.3B step on 64 chips is fastest with 32 shares, and takes 4.6 GB less of each than with 16; at
64 the compiler makes all-reduces of the gathers (docs/performance.md)."""


def make_mesh(mesh: config.Mesh, devices: Sequence[Any] | None = None) -> jax.sharding.Mesh:
    """The `data × fsdp × tensor` mesh over `devices` (by default all).

    Devices of several slices of a pod differ along `data` alone, which is what crosses the slower
    network between slices. Raises InputError when the numbers do not multiply to the devices.
    """
    devices = jax.devices() if devices is None else devices
    num_slices = len({getattr(device, "slice_index", 0) for device in devices})
    fsdp = _fsdp(mesh, len(devices) // num_slices)
    share = fsdp * mesh.tensor
    data = len(devices) // share if mesh.data is None else mesh.data
    if data * share != len(devices):
        given = f"mesh.fsdp={fsdp} x mesh.tensor={mesh.tensor}"
        if mesh.data is not None:
            given = f"mesh.data={mesh.data} x {given}"
        raise InputError(
            f"{given} does not make {len(devices)} devices; choose numbers whose product "
            f"{'divides' if mesh.data is None else 'is'} {len(devices)}."
        )
    if data % num_slices:
        raise InputError(
            f"mesh.data={data} does not divide over {num_slices} slices, which only data may "
            f"cross; choose mesh.fsdp x mesh.tensor within the {len(devices) // num_slices} "
            "devices of a slice."
        )
    return jax.sharding.Mesh(
        _arrange((data, fsdp, mesh.tensor), devices, num_slices),
        MESH_AXES,
        axis_types=(AxisType.Auto,) * 3,
    )


def _fsdp(mesh: config.Mesh, slice_devices: int) -> int:
    if mesh.fsdp is not None:
        return mesh.fsdp
    left = slice_devices // mesh.tensor // (mesh.data or 1)
    if mesh.data is not None:
        return max(left, 1)
    return math.gcd(left, FSDP_LIMIT) if left else 1


def _arrange(shape: tuple[int, int, int], devices: Sequence[Any], num_slices: int) -> np.ndarray:
    """Neighbours in the mesh are neighbours on the network."""
    if num_slices == 1:
        return mesh_utils.create_device_mesh(
            shape, devices, allow_split_physical_axes=devices[0].platform == "tpu"
        )
    data, fsdp, tensor = shape
    return mesh_utils.create_hybrid_device_mesh(
        (data // num_slices, fsdp, tensor),
        (num_slices, 1, 1),
        devices,
        allow_split_physical_axes=True,
    )


def check(model: config.Model, vocab_rows: int, sequences: int, mesh: jax.sharding.Mesh) -> None:
    """Raise InputError, with the remedy, unless every sharded axis divides over `mesh`.

    `vocab_rows` is the padded vocabulary, `sequences` the rows of one batch (or of one part of it,
    when gradients are accumulated).
    """
    tensor, fsdp = mesh.shape["tensor"], mesh.shape["fsdp"]
    rows = mesh.shape["data"] * fsdp
    if model.heads % tensor:
        raise InputError(
            f"model.heads={model.heads} does not divide over mesh.tensor={tensor}; choose a "
            f"divisor of {model.heads}, or mesh.tensor=1 and share the model out by mesh.fsdp."
        )
    for name, size, axis, parts in (
        ("model.embed_dim", model.embed_dim, "mesh.fsdp", fsdp),
        ("model.context", model.context if tensor == 1 else fsdp, "mesh.fsdp", fsdp),
        ("the padded vocabulary", vocab_rows if tensor == 1 else fsdp, "mesh.fsdp", fsdp),
        ("the MLP width", 4 * model.embed_dim, "mesh.tensor", tensor),
        ("the padded vocabulary", vocab_rows, "mesh.tensor", tensor),
        ("batch rows", sequences, "mesh.data x mesh.fsdp", rows),
    ):
        if size % parts:
            raise InputError(
                f"{name} = {size} does not divide over {axis} = {parts}; choose a multiple of "
                f"{parts}, or another mesh."
            )


def shardings(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """A NamedSharding for each leaf of parameters, or of optimizer state made of their likes.

    Leaves are known by the end of their path; scalars live on every device. Raises InputError for
    a parameter that the table does not know.
    """
    return jax.tree.map(lambda place: NamedSharding(mesh, place), specs(tree, mesh))


def placed(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """Shape, type and place of each leaf of such a tree, of arrays or of their shapes."""
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        tree,
        shardings(tree, mesh),
    )


def specs(tree: Any, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh) -> Any:
    """The partition of each leaf of the same trees."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _leaf_spec(path, leaf.ndim, mesh), tree
    )


def is_manual() -> bool:
    """Whether the code being traced is one device's own, inside a `shard_map` over the mesh."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def gather(params: Any, dtype: str) -> Any:
    """Whole matrices, in `dtype`, from each device's shares; the same tree where all is whole.

    Inside a `shard_map` only. Its gradient gives every device the sum over `fsdp` of its own share.
    """
    mesh = jax.sharding.get_abstract_mesh()

    def whole(path: Any, leaf: Array) -> Array:
        spec = _leaf_spec(path, leaf.ndim, mesh)
        if "fsdp" not in spec:
            return leaf
        leaf = leaf.astype(dtype)
        if mesh.shape["fsdp"] == 1:
            return leaf
        return jax.lax.all_gather(leaf, "fsdp", axis=spec.index("fsdp"), tiled=True)

    return jax.tree_util.tree_map_with_path(whole, params) if is_manual() else params


def reduce(grads: Any, dtype: str) -> Any:
    """Sums over all devices of their own gradients, in the shares of `gather`'s argument.

    Matrices travel in `dtype`, in which the backward pass made them; vectors in float32.
    """
    mesh = jax.sharding.get_abstract_mesh()

    def total(path: Any, grad: Array) -> Array:
        if "fsdp" not in _leaf_spec(path, grad.ndim, mesh):
            return jax.lax.psum(grad, BATCH_AXES)
        return jax.lax.psum(grad.astype(dtype), "data").astype(grad.dtype)

    return jax.tree_util.tree_map_with_path(total, grads)


def batch_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For arrays whose first axis is the batch: its rows are spread over data and fsdp."""
    return NamedSharding(mesh, spec(("batch",)))


def batch_rows(mesh: jax.sharding.Mesh, at_least: int) -> int:
    """The fewest rows, `at_least` or more, that `batch_sharding` divides evenly."""
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    return parts * math.ceil(at_least / parts)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For arrays that every device holds whole."""
    return NamedSharding(mesh, P())


def spec(axes: tuple[str | None, ...]) -> P:
    """The mesh axes for an array whose axes mean `axes`; two may not claim the same one."""
    parts = [LOGICAL_TO_MESH[axis] for axis in axes]
    claimed: dict[str, str | None] = {}
    for axis, part in zip(axes, parts, strict=True):
        for mesh_axis in (part,) if isinstance(part, str) else part or ():
            if mesh_axis in claimed:
                raise InputError(
                    f"axes {claimed[mesh_axis]!r} and {axis!r} of one array both claim mesh axis "
                    f"{mesh_axis!r}; give one of them another in LOGICAL_TO_MESH."
                )
            claimed[mesh_axis] = axis
    return P(*parts)


def constrain(x: Float[Array, "..."], axes: tuple[str | None, ...]) -> Float[Array, "..."]:
    """`x`, told to the compiler to live as the table says; `x` itself where no compiler decides."""
    if is_manual() or jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def _leaf_spec(path: Any, ndim: int, mesh: Any) -> P:
    if ndim == 0:
        return P()
    names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    axes = PARAM_AXES.get(names[-2:]) or PARAM_AXES.get(names[-1:])
    if axes is None or ndim - len(axes) not in (0, 1):
        raise InputError(
            f"no sharding is known for {'/'.join(names)} with {ndim} axes; add it to PARAM_AXES."
        )
    if mesh.shape["tensor"] == 1 and "embed" in axes:
        axes = ("embed", *(None for _ in axes[1:]))
    return spec(("layers", *axes) if ndim > len(axes) else axes)
