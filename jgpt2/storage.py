"""Where artefacts lie, on this machine or in a bucket, and what differs between the two.

Paths in a bucket are `etils.epath.Path`, which has the methods of `pathlib.Path` and is typed as
one here. Its import, and that of the file system behind it, waits for the first `gs://` path.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jgpt2 import failure
from jgpt2.errors import InputError

BUCKET = "gs://"
_PARTIAL = ".partial"
_PATTERN = frozenset("*?[")
_BLOCK_BYTES = 16 * 2**20
"""Of a file in a bucket, read at once."""


def path(given: str | Path) -> Path:
    """The path that a user typed: a local one, or one in a Google Cloud Storage bucket.

    Raises InputError for any other address, and where the extra `gcs` is not installed.
    """
    text = str(given)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme == "s3":
        raise InputError(
            f"{text} is in an S3 bucket, where checkpoints cannot be written (Orbax takes no "
            "s3:// path); give a local folder or gs://BUCKET/FOLDER, and copy with `aws s3 sync`. "
            "`jgpt2 corpus build` reads raw text from s3://."
        )
    if scheme != "gs":
        raise InputError(
            f"{text} is of the unknown scheme {scheme}://; give a local path or gs://BUCKET/FOLDER."
        )
    if not rest.strip("/"):
        raise InputError(f"{text} names no bucket; give gs://BUCKET/FOLDER.")
    if found := sorted(_PATTERN.intersection(rest)):
        raise InputError(
            f"{text} holds {found[0]!r}, which the tools for buckets take for a pattern; choose a "
            "name without it."
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise InputError(
            f"{text} cannot be opened here: gcsfs is not installed; install jgpt2[gcs]."
        )
    from etils import epath

    _bucket()  # before the first path makes one with its own settings
    place: Any = epath.Path(text)
    return place


def is_remote(place: Path) -> bool:
    """Whether it lies in a bucket."""
    return str(place).startswith(BUCKET)


def require_local(place: Path, what: str) -> None:
    """InputError when it lies in a bucket; `what` names its flag and what is made there."""
    if is_remote(place):
        raise InputError(f"{what} must be on this machine, but {place} is in a bucket.")


def absolute(place: Path) -> Path:
    """The path from the root; one in a bucket is that already."""
    return place if is_remote(place) else place.resolve()


def num_bytes(file: Path) -> int:
    """Size of a file. Raises FileNotFoundError when there is none."""
    return _bucket().info(str(file))["size"] if is_remote(file) else file.stat().st_size


def is_of_size(file: Path, size: int) -> bool:
    """Whether the file is there and has that many bytes."""
    try:
        return file.is_file() and num_bytes(file) == size
    except FileNotFoundError:  # removed in between
        return False


def entry(file: Path) -> dict[str, Any]:
    """{num_bytes, sha256} of a file's content, read in pieces."""
    if is_remote(file):
        opened: Any = _bucket().open(str(file), "rb", block_size=_BLOCK_BYTES)
    else:
        opened = file.open("rb")
    with opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return {"num_bytes": opened.tell(), "sha256": digest}


def files(folder: Path) -> list[str]:
    """All files below a folder, as paths inside it, sorted; none when there is no such folder."""
    if not is_remote(folder):
        found = (file for file in folder.rglob("*") if file.is_file())
        return sorted(file.relative_to(folder).as_posix() for file in found)
    root = _inner(folder)
    return sorted(name.removeprefix(f"{root}/") for name in _bucket().find(root))


def write_bytes(file: Path, content: bytes) -> None:
    """Writes a whole file or none; a reader finds the old one or the new one.

    On a disk to a temporary name beside it, then renamed; an object in a bucket appears whole.
    """
    if is_remote(file):
        with _explained(file):
            _bucket().pipe_file(_inner(file), content)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + _PARTIAL)
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Removes a folder and all in it, if it is there."""
    if is_remote(folder):
        with contextlib.suppress(FileNotFoundError):
            _bucket().rm(_inner(folder), recursive=True)
    elif folder.exists():
        shutil.rmtree(folder)


def rename_tree(folder: Path, target: Path) -> None:
    """Gives a folder another name. In a bucket each object is copied, then all are removed.

    Killed in between, a bucket holds both: the folder whole, its copy in part.
    """
    if not is_remote(folder):
        folder.rename(target)
        return
    for name in files(folder):
        _bucket().cp_file(f"{_inner(folder)}/{name}", f"{_inner(target)}/{name}")
    remove_tree(folder)


def rename(file: Path, target: Path) -> None:
    """Gives a file another name, in place of what has it."""
    if not is_remote(file):
        file.replace(target)
        return
    _bucket().cp_file(_inner(file), _inner(target))
    _bucket().rm_file(_inner(file))


def append(file: Path, text: str) -> None:
    """Adds text to a file of a few lines, made if need be; in a bucket it is written anew."""
    if is_remote(file):
        known = file.read_bytes() if file.is_file() else b""
        write_bytes(file, known + text.encode())
    else:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)


def modified_s(file: Path) -> float | None:
    """When a file was written last, in seconds since the epoch; None when there is none."""
    if not file.is_file():
        return None
    status: Any = file.stat()
    return float(status.mtime) if is_remote(file) else status.st_mtime


def publish(built: Path, target: Path, *, last: str) -> None:
    """Moves a folder that was built on this machine to its place; file `last` comes last.

    On a disk it is renamed, and replaces an empty folder. In a bucket it is complete once `last`,
    such as its manifest, is there.
    """
    if not is_remote(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        built.replace(target)
        return
    upload(built, target, last=last)
    shutil.rmtree(built)


def fill(built: Path, target: Path, *, last: str) -> None:
    """Moves what is in a local folder into another, of whatever place; file `last` comes last."""
    if is_remote(target):
        upload(built, target, last=last)
        return
    for entry in sorted(built.iterdir(), key=lambda entry: entry.name == last):
        entry.replace(target / entry.name)


def upload(built: Path, target: Path, *, last: str) -> None:
    """Copies the files of a local folder into a bucket, `last` after all others."""
    names = files(built)
    assert last in names
    for batch in ([name for name in names if name != last], [last]):
        _put(built, target, batch)


def copy_files(built: Path, target: Path) -> None:
    """Copies the files of a local folder into a bucket, in any order."""
    _put(built, target, files(built))


def download(file: Path, target: Path) -> None:
    """Copies a file from a bucket to this machine: whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + _PARTIAL)
    try:
        _bucket().get_file(_inner(file), str(partial))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int | None:
    """Free space for a folder; None in a bucket and on file systems that do not tell."""
    if is_remote(folder):
        return None
    disk = shutil.disk_usage(folder)
    return disk.free if disk.total else None


def cache_folder() -> Path:
    """The user's cache folder of this project: `$XDG_CACHE_HOME/jgpt2`, or `~/.cache/jgpt2`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jgpt2"


def scratch(target: Path, name: str) -> Path:
    """The local path where what becomes `target` is built: `name` beside it.

    For a bucket it lies in the user's cache folder, under a hash of the address: the same command
    finds what it left when it was stopped.
    """
    if not is_remote(target):
        return target.with_name(name)
    address = hashlib.sha256(str(target.parent).encode()).hexdigest()[:16]
    folder = cache_folder() / "building" / address
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


@contextlib.contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A new folder on this machine, which becomes `out` in the end; gone when something fails.

    Raises InputError where `out` exists.
    """
    if out.exists():
        raise InputError(f"{out} exists; give a folder that does not, for nothing is overwritten.")
    draft = out.with_name(f".{out.name}.draft")
    remove_tree(draft)  # of one that was killed
    draft.mkdir(parents=True)
    try:
        yield draft
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the lock `file`, on this machine, against other processes; it is gone afterwards.

    The lock of a process that was killed holds nobody up.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The one that held it before has removed it: then this is a lock that nobody else sees.
            if not _is_open_at(lock.fileno(), file):
                continue
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


def _is_open_at(descriptor: int, file: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == file.stat().st_ino
    except FileNotFoundError:
        return False


def _put(built: Path, target: Path, names: list[str]) -> None:
    with _explained(target):
        _bucket().put(
            [str(built / name) for name in names], [f"{_inner(target)}/{name}" for name in names]
        )


def _inner(place: Path) -> str:
    """BUCKET/FOLDER/FILE, as the file system of the bucket takes it."""
    return str(place).removeprefix(BUCKET)


def _bucket() -> Any:
    """The file system of buckets, which asks anew at every listing: others write there too."""
    import fsspec
    from fsspec import config

    # It raises what it logs with a traceback, and that is told once (`jgpt2.failure`).
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    return fsspec.filesystem("gcs", finalize_on_close=True)  # the very one that epath takes


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Says of a failed write what the user can do."""
    try:
        yield
    except FileNotFoundError as error:
        bucket = _inner(target).split("/", 1)[0]
        raise InputError(
            f"{target} cannot be written: there is no bucket {bucket!r} ({error}); make it, or "
            "check its name."
        ) from error
    except OSError as error:
        if not any(word in str(error) for word in ("Forbidden", "401", "403")):
            raise
        raise InputError(
            f"{target} cannot be written: {failure.denied(error, 'storage.objects.create')}"
        ) from error
