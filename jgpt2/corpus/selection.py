"""Which annotated documents go into a dataset: removals, licences, thresholds.

Cheap, and apart from the extraction: another threshold or a removal request reads the shards again
and nothing else. A pure function of one document, so that every way to run gives the same choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from jgpt2.corpus import annotate, records
from jgpt2.corpus.quality import filters
from jgpt2.corpus.removals import Removals

Filters = Literal["by-kind", "web", "literature", "docs", "none"]
"""A preset of thresholds for all documents, or one by the kind of each."""

PRESET_OF_KIND: Mapping[records.Kind, str] = {
    "html": "web",
    "wet": "web",
    "aozora": "literature",
    "text": "none",
    "record": "none",
}
"""What `by-kind` means: pages are judged as such; a text or record was chosen by somebody."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides which documents are taken."""

    licenses: tuple[str, ...] | None = None
    """Take only documents whose licence starts with one of these, case ignored; None takes all."""
    filters: Filters = "by-kind"
    """Preset of thresholds."""
    thresholds: tuple[str, ...] = ()
    """Changes to every preset in use, such as `min_letters=300` or `max_link_share=none`."""
    removals: Removals = field(default_factory=Removals)
    """Who asked to be left out."""

    def __post_init__(self) -> None:
        """Raises InputError for a threshold that there is not: before the long work, not after."""
        _limits(self)

    def identity(self) -> dict[str, Any]:
        """What decides the choice, as JSON: the numbers of the thresholds, not their names."""
        return {
            "licenses": sorted(self.licenses) if self.licenses else None,
            "filters": {
                kind: {name: value for name, value in vars(limits).items() if value is not None}
                for kind, limits in _limits(self).items()
            },
            "removals": self.removals.fingerprint if self.removals.num_entries else None,
        }


class Verdict(NamedTuple):
    """Why a document is left out; both are empty for one that is taken."""

    stage: str
    reasons: tuple[str, ...]
    """The first one counts in the account."""


class Chooser:
    """A choice made ready: called with a document, it gives the verdict; can be pickled."""

    def __init__(self, choice: Choice) -> None:
        self._removals = choice.removals
        self._licenses = (
            None if choice.licenses is None else tuple(wanted.lower() for wanted in choice.licenses)
        )
        self._limits = _limits(choice)

    def __call__(self, item: annotate.Annotated) -> Verdict:
        document = item.document
        if removed := self._removals.match(document):
            return Verdict("removal", (removed,))
        if self._licenses is not None and not document.license.lower().startswith(self._licenses):
            return Verdict("license", (document.license or "unknown",))
        failed = filters.failures(document.scores, self._limits[item.kind])
        return Verdict("filter" if failed else "", failed)


def _limits(choice: Choice) -> dict[records.Kind, filters.Thresholds]:
    limits: dict[records.Kind, filters.Thresholds] = {}
    for kind, by_kind in PRESET_OF_KIND.items():
        preset = filters.PRESETS[by_kind if choice.filters == "by-kind" else choice.filters]
        limits[kind] = filters.with_overrides(preset, choice.thresholds)
    return limits
