"""A stage for one partner: the export, an agreement to fill in, and proof of every byte.

`SHA256SUMS` lists every file but itself, `manifest.json` every file but itself and SHA256SUMS: a
change anywhere, in either of them too, is found from the folder alone.
"""

import dataclasses
import datetime
import hashlib
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.release import ledger, stages
from jgpt2.publish.release import policy as policies

MODEL = "model"
SUMS = "SHA256SUMS"
RECORD = "bundle.json"
_PAGES = {"AGREEMENT.ja-en.md": "agreement.md", "README.md": "bundle_readme.md"}
"""File of a bundle -> its template in this package."""


def build(
    policy_file: Path, name: str, *, partner: str, out: Path, by: str, now: datetime.datetime
) -> dict[str, Any]:
    """Writes the bundle of a stage, published or not, and the ledger's line; that line.

    Raises InputError where `out` exists, where it or the policy (and with it the export) is in a
    bucket, where the export is not intact, or the stage is withdrawn.
    """
    storage.require_local(policy_file, "the policy of a bundle")
    storage.require_local(out, "--out")
    stages.require_words("--partner", partner)
    stages.require_words("--by", by)
    stage = policies.load(policy_file).named(name)
    answers = stages.check(policy_file, name, now)
    _require_sharable(policy_file, answers, name)
    with storage.drafted(out) as draft:
        exported = _copy(stages.folder_of(policy_file, stage), draft / MODEL)
        record = {
            "partner": partner,
            "stage": name,
            "export": exported.fingerprint,
            "watermark_key": None,
            "by": by,
            "time": now.isoformat(timespec="seconds"),
            "gates": [dataclasses.asdict(answer) for answer in answers],
        }
        manifest.write_json(draft / RECORD, record)
        for page, template in _PAGES.items():
            text = (resources.files("jgpt2.publish.release") / template).read_text("utf-8")
            manifest.write_text(draft / page, text.format(**record))
        described = manifest.write(
            draft,
            kind="bundle",
            name=out.name,
            identity={"stage": name, "partner": partner},
            parents={"export": exported.fingerprint},
            files=storage.files(draft),
        )
        sums = _sums(draft)
        manifest.write_text(draft / SUMS, sums)
        told = {key: record[key] for key in ("stage", "export", "by", "partner")}
        proof = {"bundle": described.fingerprint, "sums": hashlib.sha256(sums.encode()).hexdigest()}
        # Before the folder gets its name: no bundle is without a line.
        return ledger.append(policy_file.parent, "shared", now, **told, **proof)


def verify(folder: Path) -> str:
    """The SHA-256 of a bundle's SHA256SUMS, after every file was compared with it.

    Raises InputError where there is no bundle, DamageError naming all that differs.
    """
    found = _problems(folder, _listed(folder))
    if found:
        raise DamageError(f"{folder} is not as it was made: {'; '.join(found)}. {_REMEDY}")
    described = manifest.verify(folder, kind="bundle")
    unsummed = [name for name in manifest.unlisted(folder, described) if name != SUMS]
    model = manifest.read(folder / MODEL, kind="export").fingerprint
    if unsummed or model != described.parents["export"]:
        raise DamageError(f"{folder / manifest.FILE_NAME} is of another bundle. {_REMEDY}")
    return storage.entry(folder / SUMS)["sha256"]


def _require_sharable(policy_file: Path, answers: list[stages.Answer], name: str) -> None:
    intact = next(one for one in answers if one.gate == policies.UNWAIVABLE)
    if intact.state == "failed":
        raise InputError(f"the export of {name} is not whole: {intact.found}; {intact.remedy}.")
    line = ledger.latest(stages.history(policy_file), name)
    if line is not None and line["event"] == "withdrawn":
        raise InputError(
            f"{name} was withdrawn on {line['time'][:10]} ({line['reason']}); publish it again "
            "before it is shared."
        )


def _copy(source: Path, target: Path) -> manifest.Manifest:
    """Copies an export, and proves the copy."""
    for name in (manifest.FILE_NAME, *manifest.read(source, kind="export").files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return manifest.verify(target, kind="export")


def _sums(folder: Path) -> str:
    """What SHA256SUMS says of a folder."""
    names = [name for name in storage.files(folder) if name != SUMS]
    return "".join(f"{storage.entry(folder / name)['sha256']}  {name}\n" for name in names)


def _listed(folder: Path) -> dict[str, str]:
    """Name -> digest, as SHA256SUMS has it."""
    path = folder / SUMS
    if not path.is_file():
        manifest.read(folder, kind="bundle")
        raise DamageError(f"{path} is missing. {_REMEDY}")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamageError(f"{path} was changed: it is not UTF-8 ({error}). {_REMEDY}") from error
    listed: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or name in listed:
            raise DamageError(f"line {number} of {path} was changed. {_REMEDY}")
        listed[name] = digest
    if "".join(f"{digest}  {name}\n" for name, digest in listed.items()) != text:
        raise DamageError(f"the end of {path} was changed. {_REMEDY}")
    return listed


def _problems(folder: Path, listed: dict[str, str]) -> list[str]:
    """What of the files differs from the list, by name."""
    held = {name: storage.entry(folder / name)["sha256"] for name in storage.files(folder)}
    del held[SUMS]
    missing = sorted(listed.keys() - held.keys())
    added = sorted(held.keys() - listed.keys())
    found = []
    for name in missing:
        renamed = next((other for other in added if held[other] == listed[name]), None)
        if renamed is None:
            found.append(f"{name} is missing")
        else:
            added.remove(renamed)
            found.append(f"{name} is named {renamed} (there, or in {SUMS})")
    found += [f"{name} was added (it is not in {SUMS})" for name in added]
    changed = [name for name in sorted(listed.keys() & held.keys()) if held[name] != listed[name]]
    return found + [f"{name} does not match its line in {SUMS}" for name in changed]


_REMEDY = "Ask for the bundle again."
