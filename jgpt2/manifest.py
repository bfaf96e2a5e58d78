"""`manifest.json` beside every artefact: what it is, what it was made from, and proof of its files.

A manifest is written last, so a folder without one is unfinished. Fingerprints bind artefacts: a
token store names its dataset and tokenizer, a run names its token store, and a mismatch is refused.
"""

import dataclasses
import datetime
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jgpt2
from jgpt2 import storage
from jgpt2.errors import DamageError, InputError

FILE_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Identity of one artefact folder."""

    kind: str
    """dataset, tokenizer, tokens, run, import, export or bundle."""
    name: str
    """What users call it; not part of the fingerprint."""
    fingerprint: str
    """SHA-256 over kind, identity, parents and the content of the files; 64 hex digits."""
    parents: dict[str, str]
    """Role -> fingerprint of each artefact that this one was made from."""
    identity: dict[str, Any]
    """Settings that decide the content."""
    notes: dict[str, Any]
    """Facts that do not decide the content: counts, licences, timings."""
    files: dict[str, dict[str, Any]]
    """Path inside the folder -> {num_bytes, sha256}."""
    code_version: str
    created: str
    """UTC, ISO 8601."""


def write(
    folder: Path,
    *,
    kind: str,
    name: str,
    identity: Mapping[str, Any],
    parents: Mapping[str, str],
    files: Iterable[str] = (),
    notes: Mapping[str, Any] | None = None,
) -> Manifest:
    """Hashes `files` (paths inside `folder`) and writes the manifest, the last file of all."""
    entries = {file: storage.entry(folder / file) for file in sorted(files)}
    manifest = Manifest(
        kind=kind,
        name=name,
        fingerprint=_fingerprint(kind, identity, parents, entries),
        parents=dict(parents),
        identity=dict(identity),
        notes=dict(notes or {}),
        files=entries,
        code_version=code_version(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    put(folder, manifest)
    return manifest


def put(folder: Path, described: Manifest) -> None:
    """Writes a manifest as it is, such as that of a copy."""
    write_json(folder / FILE_NAME, vars(described))


def exists(folder: Path) -> bool:
    """Whether the artefact in `folder` is finished."""
    return (folder / FILE_NAME).is_file()


def read(folder: Path, *, kind: str | None = None) -> Manifest:
    """The manifest of a finished artefact, of the given kind (None: of any).

    Raises InputError when there is none or it is of another kind, DamageError when unreadable.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"no finished {kind or 'artefact'} at {folder}: it has no {FILE_NAME}; build it first."
        )
    try:
        manifest = Manifest(**json.loads(path.read_text("utf-8")))
        _ = [(entry["num_bytes"], entry["sha256"]) for entry in manifest.files.values()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamageError(f"{path} cannot be read ({error}); restore it or build again.") from error
    for file in manifest.files:
        if file.startswith("/") or ".." in file.split("/"):
            raise DamageError(
                f"{path} lists {file!r}, which is no path inside the folder; it was changed: do "
                "not use what lies here."
            )
    if kind is not None and manifest.kind != kind:
        raise InputError(
            f"{folder} holds a {manifest.kind}, not a {kind}; give the folder of a {kind}."
        )
    return manifest


def copy(folder: Path, target: Path, *, kind: str | None = None) -> None:
    """Copies a finished artefact: the files that its manifest lists, and the manifest last."""
    for name in (*read(folder, kind=kind).files, FILE_NAME):
        storage.write_bytes(target / name, (folder / name).read_bytes())


def verify(folder: Path, *, kind: str | None = None, part: int = 0, parts: int = 1) -> Manifest:
    """Reads the manifest and hashes every file again; DamageError names the first that differs.

    With `parts`, only every `parts`-th file from the `part`-th: several processes share the work.
    """
    manifest = read(folder, kind=kind)
    require_unchanged(folder, manifest)
    check_files(folder, manifest, list(manifest.files)[part::parts])
    return manifest


def check_files(folder: Path, described: Manifest, names: Iterable[str]) -> None:
    """Hashes some of the files of an artefact; DamageError names the first that differs."""
    for file in names:
        path = folder / file
        if not path.is_file():
            raise DamageError(
                f"{path} is missing, though {folder / FILE_NAME} lists it; restore it."
            )
        if storage.entry(path) != described.files[file]:
            raise DamageError(
                f"{path} does not match its SHA-256 in {folder / FILE_NAME}; "
                "restore it or build again."
            )


def unlisted(folder: Path, described: Manifest) -> list[str]:
    """Files of an artefact's folder that its manifest does not list, as paths inside it, sorted."""
    known = {*described.files, FILE_NAME}
    return [name for name in storage.files(folder) if name not in known]


def require_unchanged(folder: Path, described: Manifest) -> None:
    """DamageError when the manifest of a folder is not what was written."""
    content = (described.kind, described.identity, described.parents, described.files)
    if _fingerprint(*content) != described.fingerprint:
        raise DamageError(
            f"{folder / FILE_NAME} was changed after it was written: its fingerprint is not that "
            "of its content; restore it or build again."
        )


def check_sizes(folder: Path, described: Manifest) -> None:
    """DamageError when a file is missing or of another size: cheap, at every opening."""
    for file, entry in described.files.items():
        if not storage.is_of_size(folder / file, entry["num_bytes"]):
            raise DamageError(
                f"{folder / file} is missing or not of its {entry['num_bytes']} bytes; "
                f"restore it, or remove {folder} and build it again."
            )


def code_version() -> str:
    """The package version, with the commit where the package lies in a git checkout."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return jgpt2.__version__
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return jgpt2.__version__
    return f"{jgpt2.__version__}+{commit}"


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file or none."""
    storage.write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes a whole JSON document for people to read, or none."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _fingerprint(
    kind: str,
    identity: Mapping[str, Any],
    parents: Mapping[str, str],
    entries: Mapping[str, Mapping[str, Any]],
) -> str:
    content = {
        "kind": kind,
        "identity": dict(identity),
        "parents": dict(parents),
        "files": {file: entry["sha256"] for file, entry in entries.items()},
    }
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
