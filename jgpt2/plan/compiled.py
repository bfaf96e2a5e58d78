"""The train step of an experiment, compiled for a topology: program text and memory, kept on disk.

It is the step that `jgpt2 train` runs, made by `jgpt2.train.program`. A compile takes minutes, so
what it gave is kept under the user's cache folder and a repeated plan answers at once.
"""

import dataclasses
import gzip
import hashlib
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import jgpt2
from jgpt2 import config
from jgpt2.plan import apart
from jgpt2.plan import topology as topologies
from jgpt2.plan.topology import Topology

_OUT_OF_MEMORY = re.compile(
    r"\(([\d.]+)([KMGT])\) exceeds available HBM \(([\d.]+)([KMGT])\)"
    r"|Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm"
)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SOURCES = ("config.py", "chips.py", "model", "train")
"""Files and folders of the package that decide what is compiled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """What the compiler gave for one device of a topology."""

    hlo: str
    """The scheduled program; empty where it does not fit."""
    mesh: dict[str, int]
    """Axis -> devices along it."""
    places: list[list[int]]
    """Coordinates of the chip of each device of the first slice, in the order of the mesh."""
    memory: dict[str, int]
    """Bytes: `arguments`, `outputs`, `aliased`, `temporaries`, `code` by the compiler; and of the
    arguments `parameters`, `optimizer_state` and `batch`, without the padding of their layout."""
    needed_bytes: int | None
    """Of a program that does not fit, what it needs."""
    available_bytes: int | None
    """Of a program that does not fit, what there is."""
    compile_s: float
    versions: dict[str, str]
    """Of jax and libtpu."""

    @property
    def fits(self) -> bool:
        """Whether the program fits into memory."""
        return self.needed_bytes is None


def compiled(
    experiment: config.Experiment,
    *,
    vocab_size: int,
    num_steps: int,
    topology: Topology,
    cache: Path | None,
) -> Compiled:
    """The compiled step; from `cache` if it is there, else compiled and kept there."""
    path = None if cache is None else cache / f"{_key(experiment, vocab_size, topology)}.json.gz"
    if path is not None and path.is_file():
        return Compiled(**json.loads(gzip.decompress(path.read_bytes())))
    topologies.require_compiler(topology)
    given = apart.compile_step(
        experiment, vocab_size=vocab_size, num_steps=num_steps, topology=topology
    )
    made = Compiled(**given)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(gzip.compress(json.dumps(dataclasses.asdict(made)).encode(), mtime=0))
        partial.replace(path)
    return made


def is_kept(
    experiment: config.Experiment, vocab_size: int, topology: Topology, cache: Path
) -> bool:
    """Whether `compiled` would answer at once."""
    return (cache / f"{_key(experiment, vocab_size, topology)}.json.gz").is_file()


def cache_folder() -> Path:
    """Where compiled plans are kept unless another folder is given."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "jgpt2" / "plan"


def compile_here(
    experiment: config.Experiment, *, vocab_size: int, num_steps: int, topology: Topology
) -> Compiled:
    """The compiled step, made in this process."""
    devices = topologies.devices(topology)
    import jax

    from jgpt2.model import sharding
    from jgpt2.train import program

    mesh = sharding.make_mesh(experiment.mesh, devices)
    started_s = time.monotonic()
    built = program.build(experiment, vocab_size=vocab_size, num_steps=num_steps, mesh=mesh)
    memory = {
        "parameters": _bytes_per_device(built.abstract_state.params),
        "optimizer_state": _bytes_per_device(built.abstract_state.opt_state),
        "batch": _bytes_per_device(built.abstract_rows),
    }
    needed = available = None
    text = ""
    try:
        step = built.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        needed, available = _out_of_memory(error)
    else:
        text = step.as_text() or ""
        memory |= _memory(step.memory_analysis())
    return Compiled(
        hlo=text,
        mesh=dict(mesh.shape),
        places=_places(mesh, topology),
        memory=memory,
        needed_bytes=needed,
        available_bytes=available,
        compile_s=time.monotonic() - started_s,
        versions=_versions(),
    )


def _places(mesh: Any, topology: Topology) -> list[list[int]]:
    axes = len(topology.shape)
    per_slice = topology.num_devices // topology.slices
    return [list(device.coords)[:axes] for device in mesh.devices.flat][:per_slice]


def _memory(analysis: Any) -> dict[str, int]:
    return {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes,
        "aliased": analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "code": analysis.generated_code_size_in_bytes,
    }


def _bytes_per_device(tree: Any) -> int:
    import jax

    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _out_of_memory(error: Exception) -> tuple[int, int]:
    """Bytes needed and available, of the compiler's refusal; any other refusal is raised again."""
    match = _OUT_OF_MEMORY.search(str(error))
    if not match:
        raise error
    needed, needed_unit, available, available_unit = (group for group in match.groups() if group)
    return (
        int(float(needed) * _UNITS[needed_unit]),
        int(float(available) * _UNITS[available_unit]),
    )


def _key(experiment: config.Experiment, vocab_size: int, topology: Topology) -> str:
    """Of all that decides the program; the budget and the names do not."""
    parts = ("seed", "model", "optimizer", "schedule", "batch", "mesh")
    identity = {
        "experiment": {name: value for name, value in dataclasses.asdict(experiment).items()
                       if name in parts},
        "vocab_size": vocab_size,
        "topology": topology.name,
        "versions": _versions(),
        "sources": _digest_of_sources(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _versions() -> dict[str, str]:
    import importlib.metadata

    return {
        "jax": importlib.metadata.version("jax"),
        "libtpu": topologies.version() or "none",
    }


def _digest_of_sources() -> str:
    package = Path(jgpt2.__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        files = [package / name] if name.endswith(".py") else sorted((package / name).rglob("*.py"))
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()
