"""Where every array lives: one table from the meaning of an axis to an axis of the mesh.

Looking for `pjit`? It became `jax.jit` with `NamedSharding`: the train step is jitted with the
shardings made here, and the compiler places every operation and communication between devices.
The mesh is `data × fsdp × tensor`: copies of the model, shares of parameters and optimizer state,
and shares of heads, MLP and vocabulary.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jgpt2 import config
from jgpt2.errors import InputError

MESH_AXES = ("data", "fsdp", "tensor")

LOGICAL_TO_MESH: dict[str | None, str | tuple[str, ...] | None] = {
    "batch": ("data", "fsdp"),
    "layers": None,
    "positions": None,
    "embed": "fsdp",
    "heads": "tensor",
    "mlp": "tensor",
    "vocab": "tensor",
    None: None,
}
"""The table. `embed` is the width D of a matrix; vectors along D are small and stay whole."""

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
    ("attention_norm", "scale"): (None,),
    ("attention_norm", "bias"): (None,),
    ("mlp_norm", "scale"): (None,),
    ("mlp_norm", "bias"): (None,),
    ("norm", "scale"): (None,),
    ("norm", "bias"): (None,),
}
"""Meaning of each parameter's axes, by the end of its path."""


def make_mesh(mesh: config.Mesh, devices: Sequence[Any] | None = None) -> jax.sharding.Mesh:
    """The `data × fsdp × tensor` mesh over `devices` (by default all), partitioned by the compiler.

    Raises InputError when the three numbers do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    share = mesh.fsdp * mesh.tensor
    data = len(devices) // share if mesh.data is None else mesh.data
    if data * share != len(devices):
        given = f"mesh.fsdp={mesh.fsdp} x mesh.tensor={mesh.tensor}"
        if mesh.data is not None:
            given = f"mesh.data={mesh.data} x {given}"
        raise InputError(
            f"{given} does not make {len(devices)} devices; choose numbers whose product "
            f"{'divides' if mesh.data is None else 'is'} {len(devices)}."
        )
    shape = (data, mesh.fsdp, mesh.tensor)
    return jax.make_mesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)


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
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, _leaf_spec(path, leaf.ndim)), tree
    )


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
    """`x`, told to the compiler to live as the table says; `x` itself without `jax.set_mesh`."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def _leaf_spec(path: Any, ndim: int) -> P:
    if ndim == 0:
        return P()
    names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    axes = PARAM_AXES.get(names[-2:]) or PARAM_AXES.get(names[-1:])
    if axes is None or ndim - len(axes) not in (0, 1):
        raise InputError(
            f"no sharding is known for {'/'.join(names)} with {ndim} axes; add it to PARAM_AXES."
        )
    return spec(("layers", *axes) if ndim > len(axes) else axes)
