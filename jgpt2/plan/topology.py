"""Topologies by Google's names: which chips a run would have, and their devices for the compiler.

A name is an accelerator type (`v5e-16`, `v4-8`) or a chip and its shape (`v5e:4x4`); `2xv5e-256`
is two slices. The types of v4 and v5p count TensorCores, two a chip; all others count chips.
"""

import math
import os
import re
from dataclasses import dataclass
from typing import Any

from jgpt2 import chips
from jgpt2.errors import InputError

_FLAT = {1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16)}
_FLAT |= {256: (16, 16)}
_CUBIC = {4: (2, 2, 1), 8: (2, 2, 2), 16: (2, 2, 4), 32: (2, 4, 4), 64: (4, 4, 4), 128: (4, 4, 8)}
_CUBIC |= {256: (4, 8, 8), 512: (8, 8, 8), 1024: (8, 8, 16), 2048: (8, 16, 16)}
"""Number of chips -> the shape that Google gives a slice of so many, on a torus of 2 or 3 axes."""
_COUNTS_CORES = ("v4", "v5p")
_ALIASES = {"v5litepod": "v5e", "v7x": "tpu7x"}
_NAME = re.compile(r"(?:(\d+)x)?([a-z]\w*)(?:-(\d+)|:(\d+(?:x\d+)*))")
_MEGACORE = {
    "chip_config_name": "megacore",
    "chips_per_host_bounds": (2, 2, 1),
    "num_slices": 1,
}
"""Without these libtpu lists each core of a v4 as a device of its own."""
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # no machine of Google's is asked what it is
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # a second process may compile
    # What libtpu else looks for, and complains of on stderr; they describe no topology asked for.
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


@dataclass(frozen=True)
class Topology:
    """Chips in one slice or several equal ones."""

    chip: chips.Chip
    shape: tuple[int, ...]
    """Chips along each axis of a slice."""
    slices: int = 1

    @property
    def num_chips(self) -> int:
        """Chips of all slices."""
        return self.slices * math.prod(self.shape)

    @property
    def num_devices(self) -> int:
        """Devices that JAX lists for them."""
        return self.num_chips * self.chip.devices

    @property
    def peak_flops(self) -> float:
        """Of one device: dense bf16 FLOP/s."""
        return self.chip.peak_flops / self.chip.devices

    @property
    def hbm_bytes(self) -> int:
        """Memory of one device."""
        return int(self.chip.hbm_bytes / self.chip.devices)

    @property
    def hbm_bytes_per_s(self) -> float:
        """Bandwidth of the memory of one device."""
        return self.chip.hbm_bytes_per_s / self.chip.devices

    @property
    def link_bytes_per_s(self) -> float:
        """What one device sends over one link, one way, when all of its chip send."""
        assert self.chip.ici_bytes_per_s is not None  # `parse` gives TPUs alone
        return self.chip.ici_bytes_per_s / self.chip.devices

    @property
    def clock_hz(self) -> float:
        """What cycles of the compiler are divided by."""
        assert self.chip.clock_hz is not None
        return self.chip.clock_hz

    @property
    def name(self) -> str:
        """The name by shape, which says everything: `2xv5e:16x16`."""
        shape = "x".join(map(str, self.shape))
        return f"{f'{self.slices}x' if self.slices > 1 else ''}{self.chip.name}:{shape}"


def parse(name: str) -> Topology:
    """The topology of a name.

    >>> parse("v5e-16").shape, parse("2xv5e:16x16").num_chips
    ((4, 4), 512)
    >>> parse("v4-8").num_chips, parse("v5p-128").shape
    (4, (4, 4, 4))

    Raises InputError, with what exists, for any other.
    """
    match = _NAME.fullmatch(name.lower())
    known = {chip.name: chip for chip in chips.CHIPS if chip.torus_axes}
    kind = match and _ALIASES.get(match[2], match[2])
    if not match or kind not in known:
        raise InputError(
            f"no topology is called {name!r}; give a type such as v5e-16 or a shape such as "
            f"v5e:4x4, 2xv5e-256 for two slices; chips: {', '.join(known)}."
        )
    chip, slices = known[kind], int(match[1] or 1)
    shape = _shape_of_type(name, chip, int(match[3])) if match[3] else _shape(name, chip, match[4])
    if slices < 1:
        raise InputError(f"{name} has no slice; leave out the number, or give 1 or more.")
    return Topology(chip, shape, slices)


def _shape_of_type(name: str, chip: chips.Chip, count: int) -> tuple[int, ...]:
    per_chip = chip.cores if chip.name in _COUNTS_CORES else 1
    shapes = {number * per_chip: shape for number, shape in _shapes(chip).items()}
    if count not in shapes:
        types = ", ".join(f"{chip.name}-{number}" for number in shapes)
        unit = "TensorCores, two a chip" if per_chip > 1 else "chips"
        raise InputError(
            f"there is no {name}: {chip.name} types count {unit}; choose one of {types}, or give "
            f"a shape such as {chip.name}:{'x'.join(map(str, shapes[max(shapes)]))}."
        )
    return shapes[count]


def _shapes(chip: chips.Chip) -> dict[int, tuple[int, ...]]:
    return _FLAT if chip.torus_axes == 2 else _CUBIC


def _shape(name: str, chip: chips.Chip, given: str) -> tuple[int, ...]:
    shape = tuple(map(int, given.split("x")))
    axes = chip.torus_axes or 0
    if len(shape) != axes or min(shape) < 1:
        raise InputError(
            f"{name} does not have the {axes} axes of a {chip.name} slice; give a shape "
            f"such as {chip.name}:{'x'.join(['4'] * axes)}."
        )
    return shape


def devices(topology: Topology) -> list[Any]:
    """The devices of a topology, for a mesh to compile for; no TPU is needed.

    Raises InputError when the TPU compiler is not installed, or does not know the shape.
    """
    require_compiler(topology)
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    import jax
    from jax.experimental import topologies

    options: dict[str, Any] = dict(_MEGACORE) if topology.chip.name == "v4" else {}
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    one_slice = Topology(topology.chip, topology.shape).name
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=one_slice, **options)
    except (RuntimeError, ValueError) as error:
        raise InputError(_why_not(topology, str(error))) from error
    found = described.devices
    if len(found) != topology.num_devices:
        raise InputError(
            f"{topology.name}: libtpu {version()} lists {len(found)} devices, where "
            f"{topology.num_devices} are expected; use the libtpu that jax {jax.__version__} asks "
            "for: uv sync --extra tpu."
        )
    return found


def require_compiler(topology: Topology) -> None:
    """InputError, naming the extra, when the TPU compiler is not installed."""
    if version() is None:
        raise InputError(
            f"to compile for {topology.name} the TPU compiler is needed, and libtpu is not "
            "installed; install the extra `tpu`: uv sync --extra tpu (it needs no TPU)."
        )


def _why_not(topology: Topology, said: str) -> str:
    shapes = ", ".join("x".join(map(str, shape)) for shape in _shapes(topology.chip).values())
    return (
        f"libtpu {version()} does not know {topology.name} ({' '.join(said.split())[:200]}); "
        f"choose one of the shapes {shapes}."
    )


def version() -> str | None:
    """Version of the TPU compiler; None where it is not installed."""
    import importlib.metadata

    try:
        return importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        return None
