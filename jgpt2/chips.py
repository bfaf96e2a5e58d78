"""Accelerators: what their makers state, and the clock of their compiler's cycles."""

from typing import NamedTuple


class Chip(NamedTuple):
    """One kind of accelerator."""

    name: str
    device_kind: str
    peak_flops: float
    clock_hz: float
    hbm_bytes: float
    hbm_bytes_per_s: float
    ici_bytes_per_s: float
    torus_axes: int
    devices_per_chip: int


CHIPS = (
    Chip("v4", "TPU v4", 275e12, 1.05e9, 32e9, 1228e9, 4.5e10, 3, 1),
    Chip("v5e", "TPU v5 lite", 197e12, 1.5e9, 16e9, 819e9, 4.5e10, 2, 1),
    Chip("v5p", "TPU v5", 459e12, 1.75e9, 95e9, 2765e9, 9.0e10, 3, 1),
    Chip("v6e", "TPU v6 lite", 918e12, 1.75e9, 32e9, 1640e9, 9.0e10, 2, 1),
    Chip("tpu7x", "TPU7x", 2307e12, 1.75e9, 192e9, 7380e9, 1.0e11, 3, 2),
)
