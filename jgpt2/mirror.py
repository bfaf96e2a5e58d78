"""Verified copies on this machine of what lies in a bucket: datasets and token stores.

Those are read in small pieces and mapped into memory, which a bucket cannot give. A copy is named
by its fingerprint, so it is made once, for all runs and all processes of this machine.
"""

import shutil
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError

_AT_ONCE = 8
"""Files downloaded side by side."""


def local(folder: Path, *, kind: str, is_wanted: Callable[[str], bool] = lambda name: True) -> Path:
    """Where the artefact can be read: `folder` itself, or the copy of one that lies in a bucket.

    Of a copy the wanted files are there, each proven by the manifest's SHA-256 when it came.
    Raises InputError when there is no such artefact, DamageError naming a file that is missing or
    not what the manifest says.
    """
    if not storage.is_remote(folder):
        return folder
    described = manifest.read(folder, kind=kind)
    manifest.require_unchanged(folder, described)
    copy = _place(described)
    wanted = [file for file in described.files if is_wanted(file)]
    with (
        storage.locked(copy.with_name(f"{copy.name}.lock")),
        futures.ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for done in [pool.submit(_fetch, folder, copy, file, described) for file in wanted]:
            done.result()
        manifest.put(copy, described)
    return copy


def keep(built: Path, made: manifest.Manifest) -> None:
    """Takes a folder that was built here for a bucket as the copy of what is there."""
    copy = _place(made)
    copy.parent.mkdir(parents=True, exist_ok=True)
    with storage.locked(copy.with_name(f"{copy.name}.lock")):
        storage.remove_tree(copy)
        shutil.move(built, copy)


def _place(described: manifest.Manifest) -> Path:
    return storage.cache_folder() / "copies" / described.fingerprint


def _fetch(folder: Path, copy: Path, file: str, described: manifest.Manifest) -> None:
    entry: dict[str, Any] = described.files[file]
    target = copy / file
    if storage.is_of_size(target, entry["num_bytes"]):
        return
    coming = target.with_name(f"{target.name}.coming")
    try:
        try:
            storage.download(folder / file, coming)
        except FileNotFoundError as error:
            raise DamageError(
                f"{folder / file} is missing, though {folder / manifest.FILE_NAME} lists it; "
                "restore it."
            ) from error
        if storage.entry(coming) != entry:
            raise DamageError(
                f"{folder / file} does not match its SHA-256 in {folder / manifest.FILE_NAME}; "
                "restore it or build again."
            )
        coming.replace(target)
    finally:
        coming.unlink(missing_ok=True)
