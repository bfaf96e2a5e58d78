"""The files of `tpu/` that a launch needs: beside the package in a checkout, in it in a wheel."""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "tpu"
_CHECKOUT = Path(__file__).parents[2] / "tpu"


def path(name: str) -> Path:
    """Where the file of `tpu/` lies."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_file() else _CHECKOUT / name
