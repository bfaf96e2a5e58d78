"""What collectives cost: a ring over the links between chips, and the network between slices.

Of every axis of the torus that a group of devices spans, a chip sends over one link, and over both
where the axis is a closed ring. Collectives on several axes use them at once. Nothing is said of
contention, of the time a message takes to start, or of other users of the network.
"""

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jgpt2.plan import hlo
from jgpt2.plan.topology import Topology

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
BETWEEN_SLICES_BYTES_PER_S = {"v4": 3.125e9, "v5e": 3.125e9, "v5p": 6.25e9, "v6e": 12.5e9}
"""Bytes per second and chip to other slices, one way.

v5e, v6e: 6.4 and 25.6 Tbit/s for a pod of 256 chips (Cloud TPU documentation, pages of the chips).
v5p: 200 Gbit/s for a host of 4 chips. v4 is assumed to be no better than v5e, and a chip that is
not in the table no better than v6e.
"""
_RING_FROM_2D, _RING_MULTIPLE_3D = 16, 4
"""Axes that close to a ring: of 16 chips in v5e and v6e, of multiples of 4 in v4, v5p, tpu7x."""


@dataclass(frozen=True)
class Network:
    """The links between the devices of one slice, and to the other slices."""

    topology: Topology
    places: Sequence[tuple[int, ...]]
    """Coordinates of the chip of each device of a slice, in the order of the mesh."""

    def seconds(self, kind: str, num_bytes: float, group: Sequence[int]) -> float:
        """Time of one collective among a group of devices; `num_bytes` are a device's operands."""
        size = len(group)
        if kind == "collective-permute":
            return num_bytes / self.topology.link_bytes_per_s
        if size < 2:
            return 0.0
        share = (size - 1) / size
        sent = {
            "all-gather": num_bytes * size * share,
            "all-reduce": 2 * num_bytes * share,
            "reduce-scatter": num_bytes * share,
            # Half the way round a ring on average, in both directions at once.
            "all-to-all": num_bytes * share / 2,
        }[kind]
        return sent / self._bytes_per_s(tuple(group))

    def seconds_between_slices(self, transfer: str, num_bytes: float) -> float:
        """Time of a transfer of `num_bytes` of each device among all slices."""
        slices = self.topology.slices
        share = (slices - 1) / slices
        sent = {"ALL_REDUCE": 2 * share, "REDUCE_SCATTER": share, "ALL_GATHER": slices - 1}
        chip = self.topology.chip
        per_chip = BETWEEN_SLICES_BYTES_PER_S.get(chip.name, BETWEEN_SLICES_BYTES_PER_S["v6e"])
        return num_bytes * sent.get(transfer, 1) * chip.devices / per_chip

    def _bytes_per_s(self, group: tuple[int, ...]) -> float:
        """What each device of a group sends to it over all axes that the group spans."""
        coordinates = [self.places[device % len(self.places)] for device in group]
        links = 0.0
        for extent, values in zip(
            self.topology.shape, zip(*coordinates, strict=True), strict=False
        ):
            used = set(values)
            if len(used) < 2:
                continue
            span = max(used) - min(used) + 1
            # Chips between those of the group belong to other groups, which use the same links.
            alone = len(used) / span
            links += alone * (2 if len(used) == extent and self._is_ring(extent) else 1)
        return (links or 1) * self.topology.link_bytes_per_s

    def _is_ring(self, extent: int) -> bool:
        if self.topology.chip.torus_axes == 2:
            return extent >= _RING_FROM_2D
        return extent % _RING_MULTIPLE_3D == 0


def in_order(topology: Topology) -> list[tuple[int, ...]]:
    """Places of a mesh that takes the devices row by row."""
    places = [
        tuple(index // math.prod(topology.shape[axis + 1 :]) % extent
              for axis, extent in enumerate(topology.shape))
        for index in range(math.prod(topology.shape))
    ]  # fmt: skip
    return [place for place in places for _ in range(topology.chip.devices)]


def group(instruction: hlo.Instruction, num_devices: int) -> tuple[int, ...]:
    """The first group of devices of a collective; all devices where none is printed."""
    match = re.search(r"replica_groups=(mesh\[[^\]]*\]\s*\{[^}]*\}|\[[^ ,]*\]<=\[[^\]]*\]"
                      r"(?:T\([0-9,]*\))?|\[\d+,\d+\]<=\[[^\]]*\](?:T\([0-9,]*\))?|\{\{[0-9,]*\})",
                      instruction.attributes)  # fmt: skip
    return _first_group(match[1], num_devices) if match else tuple(range(num_devices))


@functools.cache
def _first_group(printed: str, num_devices: int) -> tuple[int, ...]:
    """Of any of the three ways in which XLA prints groups.

    >>> _first_group("{{0,4", 8), _first_group("[4,2]<=[2,4]T(1,0)", 8)
    ((0, 4), (0, 4))
    >>> _first_group("mesh['data'=2,'fsdp'=4] {'fsdp'}", 8)
    (0, 1, 2, 3)
    """
    if printed.startswith("{"):
        found = tuple(int(device) for device in re.findall(r"\d+", printed))
        return found or tuple(range(num_devices))
    if printed.startswith("mesh"):
        axes, _, along = printed.partition("]")
        extents = [(name, int(size)) for name, size in re.findall(r"'(\w+)'=(\d+)", axes)]
        taken = re.findall(r"'(\w+)'", along)
        devices = [0]
        stride = math.prod(size for _, size in extents)
        for name, size in extents:
            stride //= size
            steps = range(size) if name in taken else (0,)
            devices = [device + stride * step for device in devices for step in steps]
        return tuple(devices)
    groups, _, iota = printed.partition("<=")
    size = int(re.findall(r"\d+", groups)[-1])
    dims, _, order = iota.partition("T")
    extents = [int(extent) for extent in re.findall(r"\d+", dims)]
    axes = [int(axis) for axis in re.findall(r"\d+", order)] or list(range(len(extents)))
    return tuple(_transposed_iota(extents, axes, place) for place in range(size))


def _transposed_iota(extents: Sequence[int], axes: Sequence[int], place: int) -> int:
    """Element `place` of `arange(prod(extents)).reshape(extents).transpose(axes)`, row by row."""
    value = 0
    for axis in reversed(axes):
        place, index = divmod(place, extents[axis])
        value += index * math.prod(extents[axis + 1 :])
    return value
