"""The TPUs that can be launched, from the one table `tpu/accelerators.toml`."""

import tomllib
from dataclasses import dataclass

from jgpt2.errors import InputError
from jgpt2.launch import files

TABLE = "accelerators.toml"


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One slice of a type."""

    chip: str
    """Such as `v5e`."""
    name: str
    """The type, such as `v5e-16`."""
    topology: str
    """Chips along each axis, such as `4x4`."""
    chips: int
    hosts: int
    """VMs of a slice, hence processes."""
    chips_per_host: int
    machine: str
    """Machine type of a node on GKE."""
    gke_accelerator: str
    """Value of the node label `cloud.google.com/gke-tpu-accelerator`."""
    gcloud: str | None = None
    """What `gcloud --accelerator-type` calls it; None where there are no TPU VMs of it."""
    runtime: str | None = None
    """Software version of a TPU VM."""


def find(name: str) -> Accelerator:
    """The accelerator of a type (`v5e-16`), a shape (`v5e:4x4`) or gcloud's name (`v5litepod-16`).

    Raises InputError, with the choices, for any other.
    """
    known = everything()
    for row in known:
        if name in (row.name, f"{row.chip}:{row.topology}", row.gcloud):
            return row
    chip = max((row.chip for row in known if name.startswith(row.chip)), key=len, default=None)
    near = [row.name for row in known if chip in (None, row.chip)]
    raise InputError(f"no accelerator is called {name!r}; choose one of {', '.join(near)}.")


def everything() -> list[Accelerator]:
    """Every row of the table, in its order."""
    table = tomllib.loads(files.path(TABLE).read_text("utf-8"))
    return [
        Accelerator(
            chip=chip,
            gke_accelerator=shared["gke_accelerator"],
            runtime=shared.get("runtime"),
            **row,
        )
        for chip, shared in table.items()
        for row in shared["types"]
    ]
