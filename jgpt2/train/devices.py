"""Peak matrix throughput by device kind, so that utilisation (MFU) can be stated."""

PEAK_FLOPS = {
    # Dense bf16 FLOP/s per JAX device, from the vendors' product pages; SXM boards if not named.
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak bf16 FLOP/s of one device, or None where no figure is known (a CPU, another chip).

    >>> peak_flops("NVIDIA H100 80GB HBM3")
    989000000000000.0
    >>> peak_flops("NVIDIA A100-SXM4-80GB")
    312000000000000.0
    >>> peak_flops("cpu") is None
    True
    """
    known = [name for name in PEAK_FLOPS if f"{device_kind} ".startswith((f"{name} ", f"{name}-"))]
    return PEAK_FLOPS[max(known, key=len)] if known else None
