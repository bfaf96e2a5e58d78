"""The accelerators we know, one row each: peak arithmetic, clock, memory, links.

Training states its utilisation by this table, `jgpt2 plan` its estimates, `jgpt2 benchmark` both.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator; all rates are the vendor's nominal ones, per chip."""

    name: str
    """Short name, as in `v5e-16`."""
    device_kinds: tuple[str, ...]
    """What JAX calls a device of it, or how such a name starts."""
    peak_flops: float
    """Dense bf16 FLOP/s."""
    hbm_bytes: float
    """Memory."""
    hbm_bytes_per_s: float
    """Bandwidth of the memory."""
    devices: int = 1
    """JAX devices that one chip shows as."""
    clock_hz: float | None = None
    """Clock of the TensorCore: what the compiler's cycles are divided by."""
    cores: int = 1
    """TensorCores that work on one device's program together."""
    ici_bytes_per_s: float | None = None
    """One way of one link between neighbouring chips."""
    torus_axes: int | None = None
    """Dimensions of the network between chips."""


# TPUs: Google Cloud's page of each version ("TPU v4", "TPU v5e", "TPU v5p", "TPU v6e", "TPU7x"), of
# which links are the aggregate bandwidth over two directions of 2 or 3 axes; clocks are of the
# compiler's cost model, at which its own matrix products reach 86-92 % of the peak.
# GPUs: NVIDIA's data sheets, dense bf16; SXM boards if not named.
CHIPS = (
    Chip(
        name="v4",
        device_kinds=("TPU v4",),
        peak_flops=275e12,
        hbm_bytes=32e9,
        hbm_bytes_per_s=1228e9,
        clock_hz=1.05e9,
        cores=2,
        ici_bytes_per_s=45e9,
        torus_axes=3,
    ),
    Chip(
        name="v5e",
        device_kinds=("TPU v5 lite", "TPU v5e"),
        peak_flops=197e12,
        hbm_bytes=16e9,
        hbm_bytes_per_s=819e9,
        clock_hz=1.5e9,
        ici_bytes_per_s=45e9,
        torus_axes=2,
    ),
    Chip(
        name="v5p",
        device_kinds=("TPU v5", "TPU v5p"),
        peak_flops=459e12,
        hbm_bytes=95e9,
        hbm_bytes_per_s=2765e9,
        clock_hz=1.75e9,
        cores=2,
        ici_bytes_per_s=90e9,
        torus_axes=3,
    ),
    Chip(
        name="v6e",
        device_kinds=("TPU v6 lite", "TPU v6e"),
        peak_flops=918e12,
        hbm_bytes=32e9,
        hbm_bytes_per_s=1640e9,
        clock_hz=1.75e9,
        ici_bytes_per_s=90e9,
        torus_axes=2,
    ),
    Chip(
        name="tpu7x",
        device_kinds=("TPU7x",),
        peak_flops=2307e12,
        hbm_bytes=192e9,
        hbm_bytes_per_s=7380e9,
        devices=2,
        clock_hz=2.2e9,
        ici_bytes_per_s=100e9,
        torus_axes=3,
    ),
    Chip(
        name="a100",
        device_kinds=("NVIDIA A100",),
        peak_flops=312e12,
        hbm_bytes=80e9,
        hbm_bytes_per_s=2039e9,
    ),
    Chip(
        name="h100",
        device_kinds=("NVIDIA H100",),
        peak_flops=989e12,
        hbm_bytes=80e9,
        hbm_bytes_per_s=3350e9,
    ),
    Chip(
        name="h100-nvl",
        device_kinds=("NVIDIA H100 NVL",),
        peak_flops=835e12,
        hbm_bytes=94e9,
        hbm_bytes_per_s=3900e9,
    ),
    Chip(
        name="h100-pcie",
        device_kinds=("NVIDIA H100 PCIe",),
        peak_flops=756e12,
        hbm_bytes=80e9,
        hbm_bytes_per_s=2000e9,
    ),
    Chip(
        name="h200",
        device_kinds=("NVIDIA H200",),
        peak_flops=989e12,
        hbm_bytes=141e9,
        hbm_bytes_per_s=4800e9,
    ),
)


def by_device_kind(device_kind: str) -> Chip | None:
    """The chip behind a JAX device, or None where none is known (a CPU, another accelerator).

    >>> by_device_kind("TPU v5 lite").name, by_device_kind("TPU v5").name
    ('v5e', 'v5p')
    >>> by_device_kind("NVIDIA H100 80GB HBM3").name, by_device_kind("NVIDIA A100-SXM4-80GB").name
    ('h100', 'a100')
    >>> by_device_kind("cpu") is None
    True
    """
    known = {
        kind: chip
        for chip in CHIPS
        for kind in chip.device_kinds
        if f"{device_kind} ".startswith((f"{kind} ", f"{kind}-"))
    }
    return known[max(known, key=len)] if known else None


def peak_flops(device_kind: str) -> float | None:
    """Peak bf16 FLOP/s of one JAX device, or None where no figure is known.

    >>> peak_flops("TPU v5 lite")
    197000000000000.0
    """
    chip = by_device_kind(device_kind)
    return None if chip is None else chip.peak_flops / chip.devices
