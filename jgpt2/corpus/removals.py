"""Who asked to be left out: a file of hosts, addresses and ids, applied at the choice of documents.

A removal is one line in the file and one build; nothing is extracted again. The build also leaves
out every copy and near-copy of a removed document, wherever it was published.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jgpt2 import manifest
from jgpt2.corpus import annotate, records
from jgpt2.errors import InputError

FIELDS = ("host", "url", "id")
_HEAD = (
    "# Left out of every dataset that is built with this file. One entry a line: host, url or id,\n"
    "# a space, and the value. A host stands for its subdomains too. A # starts a comment.\n"
)


@dataclass(frozen=True)
class Removals:
    """The entries of a file of removals; the default removes nothing."""

    hosts: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def match(self, document: records.Document) -> str:
        """Which entry removes the document, as it stands in the file; empty if none does.

        >>> removals = Removals(hosts=frozenset({"example.jp"}))
        >>> page = records.document("雨が降る。", source="web", url="https://blog.example.jp/雨")
        >>> removals.match(page)
        'host example.jp'
        """
        if document.id in self.ids:
            return f"id {document.id}"
        if document.url and _plain(document.url) in self.urls:
            return f"url {_plain(document.url)}"
        labels = annotate.host(document.url).split(".") if self.hosts else []
        for start in range(len(labels)):
            if (parent := ".".join(labels[start:])) in self.hosts:
                return f"host {parent}"
        return ""

    @property
    def num_entries(self) -> int:
        """How many hosts, addresses and ids there are."""
        return len(self.hosts) + len(self.urls) + len(self.ids)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the entries; the order of the lines and comments do not count."""
        return hashlib.sha256("\n".join(sorted(_lines(self))).encode()).hexdigest()


def load(path: Path) -> Removals:
    """The entries of a file; InputError names the first line that is none."""
    if not path.is_file():
        raise InputError(f"there is no file of removals {path}; check the path.")
    found: dict[str, set[str]] = {field: set() for field in FIELDS}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        field, _, value = entry.partition(" ")
        if field not in FIELDS or not value.strip():
            raise InputError(
                f"{path}:{number} is no removal ({entry!r}); a line must be one of "
                f"{', '.join(FIELDS)}, a space, and the value."
            )
        found[field].add(_normal(field, value.strip()))
    return Removals(*(frozenset(found[field]) for field in FIELDS))


def add(
    path: Path, *, hosts: Sequence[str] = (), urls: Sequence[str] = (), ids: Sequence[str] = ()
) -> list[str]:
    """Adds entries to a file, which is made if need be; the lines that were not in it before."""
    known = set(_lines(load(path))) if path.exists() else set()
    given = Removals(
        frozenset(_normal("host", host) for host in hosts),
        frozenset(_normal("url", url) for url in urls),
        frozenset(ids),
    )
    for line in _lines(given):
        if not line.partition(" ")[2].strip() or "\n" in line:
            raise InputError(f"{line!r} cannot be an entry; give a host, an address or an id.")
    fresh = sorted(set(_lines(given)) - known)
    old = path.read_text("utf-8") if path.exists() else _HEAD
    if fresh:
        manifest.write_text(path, old.rstrip("\n") + "\n" + "\n".join(fresh) + "\n")
    return fresh


def _lines(removals: Removals) -> Iterable[str]:
    for field, values in zip(FIELDS, (removals.hosts, removals.urls, removals.ids), strict=True):
        yield from (f"{field} {value}" for value in values)


def _normal(field: str, value: str) -> str:
    if field == "host":
        return (annotate.host(value) or value).lower().strip(".")
    return _plain(value) if field == "url" else value


def _plain(url: str) -> str:
    return url.partition("#")[0]
