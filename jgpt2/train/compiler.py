"""Options of XLA for the train step, by chip: data, each proved by a compile test to be accepted.

They are given with the one compilation, never by a global environment variable: what helps one
chip is refused, or wrong, on another.
"""

from jgpt2.chips import Chip

_SPARSE_CORE = {
    # Collectives run on the SparseCore beside the TensorCore, which goes on computing.
    "xla_tpu_enable_sparse_core_collective_offload_all_gather": "true",
    "xla_tpu_enable_sparse_core_collective_offload_reduce_scatter": "true",
    "xla_tpu_enable_sparse_core_collective_offload_all_reduce": "true",
    "xla_tpu_use_tc_device_shape_on_sc": "true",
    "xla_sc_disable_megacore_partitioning": "true",
    # No product is cut into slices as narrow as a device's share of its weight.
    "xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000",
}

OPTIONS: dict[str, dict[str, str]] = {"v5p": _SPARSE_CORE, "v6e": _SPARSE_CORE}
"""Chip -> option -> value. A chip that is not here compiles with XLA's defaults."""


def options(chip: Chip | None) -> dict[str, str] | None:
    """The options for a chip; None for XLA's defaults."""
    return OPTIONS.get(chip.name) if chip is not None else None
