"""Cycles of the attention kernels on TPUs, counted in the compiler's machine code; no TPU is used.

python benchmarks/tpu_kernels.py v5e-4 v5p-8 [--head-dims 64 128] [--context 1024]

Compiles the kernels alone, forward and backward, has the compiler write its final VLIW bundles, and
counts those of one program: what stands in the loop over the grid, one cycle a bundle when nothing
stalls. Regions that a program may jump over are counted as run, and named. The rows go into
`jgpt2/plan/kernel_cycles.json`, in place of those of the same chip and kernel. Needs the extra
`tpu`, and a minute for each pair of chip and head width.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from jgpt2 import manifest
from jgpt2.plan import topology as topologies

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "jgpt2" / "plan" / "kernel_cycles.json"
LANES = 128
WIDTH, ROWS = 768, 8
DUMPS = (
    "--xla_jf_dump_to={} --xla_jf_dump_llo_text=true --xla_jf_dump_llo_html=false "
    "--xla_jf_emit_annotations=true"
)
_BUNDLE = re.compile(r"\s*0x([0-9a-f]+)\s+(?:(LB|LH|LE|PF|PB)\s*)?:\s*((?:>\s*)*)\{(.*)")
_SKIP = re.compile(r"sbr\.rel \(!?%p\w+\) target = \$region(\d+)")
_END = re.compile(r"Start/End empty region (\d+)|End region (\d+)")
_EXIT = re.compile(r"scmp\.ge\.s32\.totalorder %s\w+, (\d+) /\* loop exit test")


class Program(NamedTuple):
    """What a listing of bundles says of one kernel."""

    cycles: int
    """Bundles of the loop over the grid."""
    trips: int | None
    """Runs of the loop, those that only fill and empty the pipeline included."""
    skippable: int
    """Of the bundles, those in regions that may be jumped over and that are not the whole body."""


def main() -> None:
    """Counts the kernels on the topologies asked for and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topologies", nargs="*")
    parser.add_argument("--head-dims", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--compile", nargs=3, metavar=("TOPOLOGY", "HEAD_DIM", "CONTEXT"))
    given = parser.parse_args()
    if given.compile:
        _compile(given.compile[0], int(given.compile[1]), int(given.compile[2]))
        return
    for name in given.topologies:
        for head_dim in given.head_dims:
            rows = count(name, head_dim, given.context)
            for row in rows:
                print(json.dumps(row))
            _write(rows)


def count(name: str, head_dim: int, context: int) -> list[dict[str, Any]]:
    """The rows of the kernels for a topology's chip and a head width."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "LIBTPU_INIT_ARGS": DUMPS.format(folder),
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
        }
        asked = ["--compile", name, str(head_dim), str(context)]
        subprocess.run([sys.executable, __file__, *asked], check=True, env=environment)
        listings = sorted(Path(folder).glob("*attention_*-final_bundles.txt"))
        listings = [file for file in listings if "schedule-analysis" not in file.name]
        if not listings:
            sys.exit(f"the compiler wrote no bundles of attention kernels for {name}")
        return [_row(file, topologies.parse(name).chip.name, context) for file in listings]


def _row(file: Path, chip: str, context: int) -> dict[str, Any]:
    kernel = re.search(r"attention_[a-z]+_\d+x\d+", file.name)
    assert kernel is not None
    found = read(file.read_text("utf-8", errors="replace"))
    print(f"{kernel[0]} on {chip}: {found}", file=sys.stderr)
    return {
        "chip": chip,
        "kernel": kernel[0],
        "layout": "BTD",
        "context": context,
        "width": LANES,
        "cycles": found.cycles,
    }


def read(listing: str) -> Program:
    """The loop over the grid in a listing of final bundles.

    Exits where a kernel has loops of its own: its bundles would run more than once.
    """
    lines = [match for match in map(_BUNDLE.match, listing.splitlines()) if match]
    looped = [match for match in lines if ">" in match[3]]
    if max(match[3].count(">") for match in looped) > 1:
        sys.exit("the kernel loops inside its program: count it by hand")
    first, last = (int(match[1], 16) for match in (looped[0], looped[-1]))
    length = last - first + 1
    starts, skippable = {}, 0
    for match in looped:
        address = int(match[1], 16)
        for end in _END.finditer(match[4]):
            start = starts.pop(end[1] or end[2], address)
            if address - start < length // 2:
                skippable += address - start
        starts |= {region: address for region in _SKIP.findall(match[4])}
    exits = [int(bound) for match in looped for bound in _EXIT.findall(match[4])]
    return Program(length, max(exits, default=None), skippable)


def _compile(name: str, head_dim: int, context: int) -> None:
    """Compiles forward and backward of one layer's attention, whatever it is that dumps it."""
    devices = topologies.devices(topologies.parse(name))
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType, NamedSharding
    from jax.sharding import PartitionSpec as P

    from jgpt2.model import pallas_attention

    mesh = jax.sharding.Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    rows = jax.ShapeDtypeStruct(
        (ROWS * len(devices), context, WIDTH), jnp.bfloat16, sharding=NamedSharding(mesh, P("data"))
    )

    def attend(*qkv: jax.Array) -> jax.Array:
        return pallas_attention.attend(*qkv, WIDTH // head_dim)

    def total(*qkv: jax.Array) -> jax.Array:
        on_shards = jax.shard_map(
            attend, mesh=mesh, in_specs=P("data"), out_specs=P("data"), check_vma=False
        )
        return jnp.sum(on_shards(*qkv).astype(jnp.float32))

    with jax.set_mesh(mesh):
        jax.jit(jax.grad(total, (0, 1, 2))).lower(rows, rows, rows).compile()


def _write(rows: list[dict[str, Any]]) -> None:
    """Puts rows into the table, one a line."""
    table = json.loads(TABLE.read_text("utf-8"))
    replaced = {(row["chip"], row["kernel"]) for row in rows}
    kept = [row for row in table["kernels"] if (row["chip"], row["kernel"]) not in replaced]
    about = json.dumps(table["about"], ensure_ascii=False, indent=2).replace("\n", "\n  ")
    lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in kept + rows)
    manifest.write_text(TABLE, f'{{\n  "about": {about},\n  "kernels": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
