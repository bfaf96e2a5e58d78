"""In which language a card speaks."""

import enum
from collections.abc import Mapping


class Language(enum.Enum):
    """Japanese or English; calling it chooses between a phrase and its translation.

    >>> Language.JA("語彙", "vocabulary"), Language.EN("語彙", "vocabulary")
    ('語彙', 'vocabulary')
    """

    JA = "ja"
    EN = "en"

    def __call__(self, japanese: str, english: str) -> str:
        return japanese if self is Language.JA else english

    def of(self, words: Mapping[str, str]) -> str:
        """The text of an author in this language."""
        return words[self.value]

    @property
    def unknown(self) -> str:
        """Of a fact that nobody has told."""
        return self("不明", "unknown")

    @property
    def none(self) -> str:
        """Of a list with nothing in it."""
        return self("なし", "none")
