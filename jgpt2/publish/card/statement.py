"""The data section of a card: each dataset's own manifest and account, and the author's words.

A fact that the records lack is None, which a card shows as unknown.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.card import author

ACCOUNT = "account.json"
_SCRIPTS = ("japanese_share", "hiragana_share", "katakana_share")


Given = Mapping[Path, manifest.Manifest]
"""Folders of datasets, with their manifests."""


def read(folders: Sequence[Path], run: manifest.Manifest, evaluated: str | None) -> Given:
    """The datasets given for a card.

    Raises InputError for one that the run was neither trained on nor `evaluated` (a fingerprint).
    """
    wanted = [*trained_on(run), *([evaluated] if evaluated else [])]
    given = {folder: manifest.read(folder, kind="dataset") for folder in folders}
    for folder, record in given.items():
        manifest.require_unchanged(folder, record)
        if record.fingerprint not in wanted:
            raise InputError(
                f"{folder} has fingerprint {record.fingerprint[:12]}, but the run was trained and "
                f"evaluated on {', '.join(one[:12] for one in wanted) or 'none'}; leave it out, or "
                "give the folder of such a dataset."
            )
    return given


def collect(
    given: Given, run: manifest.Manifest, num_bytes: int | None, facts: author.Data
) -> dict[str, Any]:
    """The statement of all datasets that a run was trained on, sorted by name.

    `num_bytes` is what the run has seen of all of them. A dataset of the run whose folder was not
    given has a name and a fingerprint alone.
    """
    names = trained_on(run)
    described = {fingerprint: _unknown(names[fingerprint], fingerprint) for fingerprint in names}
    for folder, record in given.items():
        if record.fingerprint in names:
            described[record.fingerprint] |= _describe(folder, record)
    shares = run.notes.get("datasets", {})
    for one in described.values():
        one["byte_share"] = shares.get(one["name"], {}).get("byte_share")
        trained = (one["splits"] or {}).get("train")
        if num_bytes is not None and trained and one["byte_share"] is not None:
            one["epochs"] = round(num_bytes * one["byte_share"] / trained["num_bytes"], 4)
    return {
        **dataclasses.asdict(facts),
        "collected": facts.collected or None,
        "last_removal": facts.last_removal or None,
        "datasets": sorted(described.values(), key=lambda one: one["name"]),
    }


def trained_on(run: manifest.Manifest) -> dict[str, str]:
    """Fingerprint -> name of each dataset of a run, or of the imported model: of none."""
    names = list(run.notes.get("datasets", {}))
    found = {}
    for role, fingerprint in run.parents.items():
        if role == "dataset":
            found[fingerprint] = names[0] if len(names) == 1 else role
        elif role.startswith("dataset "):
            found[fingerprint] = role.removeprefix("dataset ")
    return found


def _unknown(name: str, fingerprint: str) -> dict[str, Any]:
    keys = ("created", "code_version", "num_documents", "num_bytes", "num_chars", "splits")
    more = ("sources", "licenses", "near_duplicates", "removals", "rules", "masks", "stages")
    unknown = dict.fromkeys((*keys, *more, "kinds", "scripts", "byte_share", "epochs"))
    return {"name": name, "fingerprint": fingerprint, **unknown}


def _describe(folder: Path, record: manifest.Manifest) -> dict[str, Any]:
    """What the manifest of a dataset says, and its account if there is one."""
    identity, notes = record.identity, record.notes
    counted = ("num_documents", "num_bytes", "num_chars", "splits", "sources", "licenses")
    described = {
        "created": record.created,
        "code_version": record.code_version,
        **{key: notes.get(key) for key in counted},
        "near_duplicates": identity.get("near_duplicates"),
        "removals": identity.get("choice", {}).get("removals"),
    }
    account = folder / ACCOUNT
    if account.is_file():
        described |= _account(account, notes)
    return described


def _account(path: Path, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Tallies of the build. Raises DamageError where it is not the account of the manifest."""
    try:
        account = json.loads(path.read_text("utf-8"))
        if account["splits"] != notes["splits"]:
            raise ValueError("its splits are not those of the manifest")
        return {
            "rules": account["rules"],
            "masks": account["masks"],
            "kinds": account["kinds"],
            "stages": {name: _stage(stage) for name, stage in account["stages"].items()},
            "scripts": {name: _median_bin(account["histograms"][name]) for name in _SCRIPTS},
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(
            f"{path} is not the account of its dataset ({error}); restore it or build again."
        ) from error


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Documents passed on and left out; the seconds of a build differ from one to the next."""
    left_out = {reason: tally["documents"] for reason, tally in stage["drops"].items()}
    return {"passed": stage["documents"], "left_out": left_out}


def _median_bin(histogram: Mapping[str, Any]) -> list[float] | None:
    """Lowest and highest value of the bin that holds the median document of those chosen."""
    edges, counts = histogram["edges"], histogram["chosen"]
    passed = 0
    for index, count in enumerate(counts):
        passed += count
        if count and 2 * passed >= sum(counts):
            return [edges[index], edges[index + 1]]
    return None
