"""Options of XLA for the train step, by chip: data, each proved by a compile test to be accepted.

They are given with the one compilation, never by a global environment variable: what helps one
chip is refused, or wrong, on another.
"""

from jgpt2.chips import Chip

Options = dict[str, str | bool]

_SPARSE_CORE: Options = {
    # Collectives run on the SparseCore beside the TensorCore, which goes on computing.
    "xla_tpu_enable_sparse_core_collective_offload_all_gather": "true",
    "xla_tpu_enable_sparse_core_collective_offload_reduce_scatter": "true",
    "xla_tpu_enable_sparse_core_collective_offload_all_reduce": "true",
    "xla_tpu_use_tc_device_shape_on_sc": "true",
    "xla_sc_disable_megacore_partitioning": "true",
    # No product is cut into slices as narrow as a device's share of its weight.
    "xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000",
}

_GPU: Options = {
    "xla_gpu_enable_latency_hiding_scheduler": True,
    # Queries, keys and values stay products of their own: out of one they would be copied.
    "xla_gpu_dot_merger_threshold_mb": "0",
}

OPTIONS: dict[str, Options] = {
    "v5p": _SPARSE_CORE,
    "v6e": _SPARSE_CORE,
    "a100": _GPU,
    "h100": _GPU,
    "h100-nvl": _GPU,
    "h100-pcie": _GPU,
    "h200": _GPU,
}
"""Chip -> option -> value. A chip that is not here compiles with XLA's defaults."""


def options(chip: Chip | None) -> Options | None:
    """The options for a chip; None for XLA's defaults."""
    return OPTIONS.get(chip.name) if chip is not None else None
