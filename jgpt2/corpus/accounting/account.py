"""The account of a build: what came in, what was passed on and what was left out, stage by stage.

Every shard of `jgpt2.corpus.shards` keeps one, they add up in any order to the same sum, and
`accounting.report` draws the whole. Seconds are the only part that two builds differ in.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAGES = (
    "read",
    "decode",
    "robots",
    "japanese",
    "extract",
    "normalise",
    "score",
    "removal",
    "license",
    "filter",
    "exact duplicate",
    "near-duplicate",
)
"""Stages in the order that a record goes through them."""


_TABLES = ("charsets", "replaced", "lossy", "rules", "masks", "kinds")


@dataclass
class Tally:
    """Documents with their size; characters are 0 before a text is known."""

    documents: int = 0
    chars: int = 0
    num_bytes: int = 0

    def add(self, chars: int, num_bytes: int) -> None:
        """Counts one more document."""
        self.documents += 1
        self.chars += chars
        self.num_bytes += num_bytes

    def merge(self, other: "Tally") -> None:
        """Adds what another tally counted."""
        self.documents += other.documents
        self.chars += other.chars
        self.num_bytes += other.num_bytes


@dataclass
class Stage:
    """What one stage passed on, what it left out by reason, and the CPU time it took."""

    passed: Tally = field(default_factory=Tally)
    drops: dict[str, Tally] = field(default_factory=dict)
    seconds: float = 0.0

    def merge(self, other: "Stage") -> None:
        """Adds what another shard counted in this stage."""
        self.passed.merge(other.passed)
        for reason, tally in other.drops.items():
            self.drops.setdefault(reason, Tally()).merge(tally)
        self.seconds += other.seconds


class _Timer:
    # Not contextlib's, which takes five times as long: several blocks are timed for each record.

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        self._start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._stage.seconds += time.process_time() - self._start


@dataclass
class Account:
    """The stages, and tables of what was met on the way."""

    stages: dict[str, Stage] = field(default_factory=dict)
    charsets: Counter[str] = field(default_factory=Counter)
    """`declared > used` -> documents; a label that was missing is `none`."""
    replaced: Counter[str] = field(default_factory=Counter)
    """Charset used -> replacement characters that stand for bytes without a meaning."""
    lossy: Counter[str] = field(default_factory=Counter)
    """Charset used -> documents whose text does not give the bytes back when it is encoded."""
    rules: Counter[str] = field(default_factory=Counter)
    """Rule of `cleaning.normalise` -> places changed."""
    masks: Counter[str] = field(default_factory=Counter)
    """Mask of `cleaning.mask` -> places masked."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Kind of record -> documents annotated."""

    def passes(self, stage: str, chars: int, num_bytes: int) -> None:
        """Counts a document that a stage passed on."""
        self._stage(stage).passed.add(chars, num_bytes)

    def drops(self, stage: str, reason: str, chars: int, num_bytes: int) -> None:
        """Counts a document that a stage left out."""
        self._stage(stage).drops.setdefault(reason, Tally()).add(chars, num_bytes)

    def passes_many(self, stage: str, tally: Tally) -> None:
        """Counts documents that a stage passed on."""
        self._stage(stage).passed.merge(tally)

    def drops_many(self, stage: str, reason: str, tally: Tally) -> None:
        """Counts documents that a stage left out."""
        self._stage(stage).drops.setdefault(reason, Tally()).merge(tally)

    def timed(self, stage: str) -> "_Timer":
        """Adds the CPU time of this process within a `with` block to a stage."""
        return _Timer(self._stage(stage))

    def merge(self, other: "Account") -> None:
        """Adds the account of another shard."""
        for name, stage in other.stages.items():
            self._stage(name).merge(stage)
        for name in _TABLES:
            getattr(self, name).update(getattr(other, name))

    def _stage(self, name: str) -> Stage:
        if name not in STAGES:
            raise KeyError(f"no stage {name!r}")
        return self.stages.setdefault(name, Stage())


def reasons(account: Account) -> dict[str, int]:
    """Reason -> documents left out for it, over all stages, in the order of the stages."""
    return {
        reason: stage.drops[reason].documents
        for name in STAGES
        if (stage := account.stages.get(name)) is not None
        for reason in sorted(stage.drops)
    }


def to_json(account: Account) -> dict[str, Any]:
    """The account as plain JSON, keys in a fixed order; `seconds` rounded to milliseconds."""
    stages = {
        name: {
            **vars(stage.passed),
            "seconds": round(stage.seconds, 3),
            "drops": {reason: vars(stage.drops[reason]) for reason in sorted(stage.drops)},
        }
        for name in STAGES
        if (stage := account.stages.get(name)) is not None
    }
    tables = {name: dict(sorted(getattr(account, name).items())) for name in _TABLES}
    return {"stages": stages, **tables}


def from_json(value: Mapping[str, Any]) -> Account:
    """The account that `to_json` wrote."""
    account = Account()
    for name, row in value["stages"].items():
        stage = Stage(Tally(row["documents"], row["chars"], row["num_bytes"]))
        stage.seconds = row["seconds"]
        stage.drops = {reason: Tally(**tally) for reason, tally in row["drops"].items()}
        account.stages[name] = stage
    for name in _TABLES:
        getattr(account, name).update(value[name])
    return account
