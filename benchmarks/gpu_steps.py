"""The training step compiled for a GPU without one: its kernels, and the bytes that they move.

    python benchmarks/gpu_steps.py [--rows 32]

XLA's GPU compiler takes a description of the chip in place of the chip. What it cannot do so is
choose among kernels by trying them: products go to cuBLAS, attention to cuDNN, and neither is
timed here. Everything else is bound by memory, so what counts is how often an array is read and
written: for each kernel its operands and results once, and the time that takes at the memory's
peak, which is a lower bound. Needs the extra `gpu`, no GPU, and half a minute of a core a size.
Writes `results/gpu_steps.json`.
"""

import argparse
import collections
import os
from typing import Any

os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "XLA_FLAGS": "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false",
}

import jax
import machine
from jax.experimental import topologies

from jgpt2 import chips, config
from jgpt2.model import sharding, sizes
from jgpt2.plan import hlo
from jgpt2.train import program

CHIP = chips.by_device_kind("NVIDIA H200")
assert CHIP is not None
# NVIDIA's data sheet of the H200 and the limits of compute capability 9.0 (CUDA C++ Programming
# Guide, table of technical specifications), in the form that XLA reads.
DESCRIPTION = """
gpu_device_info {
  name: "NVIDIA H200" device_vendor: "NVIDIA Corporation" device_address_bits: 64
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 threads_per_warp: 32
  threads_per_block_limit: 1024 threads_per_core_limit: 2048
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 l2_cache_size: 52428800
  memory_bandwidth: 4800000000000 device_memory_size: 151397597184
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.10.0" cub_version: "3.1.2"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200"
"""
VOCAB = 50304
SIZES = ("117M", "345M")
_NO_KERNEL = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast", "opt-barrier"}


def main() -> None:
    """Compiles each size and writes what its kernels move."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32, help="rows of 1024 tokens")
    args = parser.parse_args()
    device = topologies.get_topology_desc(
        platform="cuda", target_config=DESCRIPTION, topology="1x1x1"
    ).devices[0]
    assert chips.by_device_kind(device.device_kind) == CHIP
    result: dict[str, Any] = {
        "what": "bytes that the kernels of a training step read and write, each operand and each "
        "result once; compiled without a GPU, nothing was run",
        "chip": CHIP.name,
        "rows": args.rows,
        "machine": machine.describe(["jax", "jaxlib", "flax", "optax"]),
        "sizes": {},
    }
    for name in SIZES:
        result["sizes"][name] = moved = _moved(_compiled(name, args.rows, device))
        print(f"{name}: {moved['temporary_gb']} GB beside the state")
        for kind, sums in moved["kinds"].items():
            print(f"  {kind}: {sums}")
    print(machine.save("gpu_steps", result))


def _compiled(name: str, rows: int, device: Any) -> jax.stages.Compiled:
    experiment = config.Experiment(
        name=name,
        model=sizes.by_name(name)[1],
        batch=config.Batch(sequences=rows),
        budget=config.Budget(steps=1000),
    )
    mesh = sharding.make_mesh(config.Mesh(), [device])
    return program.build(experiment, vocab_size=VOCAB, num_steps=1000, mesh=mesh).lower().compile()


def _moved(compiled: jax.stages.Compiled) -> dict[str, Any]:
    """Kernels and bytes by kind, and of the rest the results that cost most."""
    entry = hlo.parse(compiled.as_text() or "").entry
    kernels: dict[str, int] = collections.Counter()
    num_bytes: dict[str, int] = collections.Counter()
    largest: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for line in entry.instructions:
        if line.opcode in _NO_KERNEL:
            continue
        kind, moved = _kind(line), line.num_bytes + entry.operand_bytes(line)
        kernels[kind] += 1
        num_bytes[kind] += moved
        if kind == "other":
            row = largest[" ".join(f"{a.dtype}{list(a.dims)}" for a in line.arrays)]
            row[0] += 1
            row[1] += moved
    ranked = sorted(largest.items(), key=lambda item: -item[1][1])[:12]
    return {
        "temporary_gb": round(compiled.memory_analysis().temp_size_in_bytes / 1e9, 2),
        "kinds": {kind: _row(kernels[kind], num_bytes[kind]) for kind in sorted(kernels)},
        "largest_of_other": [{"results": name, **_row(*counts)} for name, counts in ranked],
    }


def _row(kernels: int, num_bytes: int) -> dict[str, Any]:
    at_peak_ms = round(num_bytes / CHIP.hbm_bytes_per_s * 1e3, 2)
    return {"kernels": kernels, "gb": round(num_bytes / 1e9, 2), "ms_at_peak": at_peak_ms}


def _kind(line: hlo.Instruction) -> str:
    if "cublas" in line.attributes:
        return "products"
    return "attention" if "cudnn" in line.attributes else "other"


if __name__ == "__main__":
    main()
