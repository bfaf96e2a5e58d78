"""What verbs share: answers on stdout as text or JSON, and where documents come from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2.errors import InputError


def documents(dataset: Path | None, split: str, text: Sequence[Path]) -> Any:
    """An iterable of the documents of a dataset's split or of files, whichever is given."""
    from jgpt2.corpus import dataset as datasets
    from jgpt2.corpus.reading import read

    if (dataset is None) == (not text):
        raise InputError("give either --dataset FOLDER or --text FILE..., not both and not none.")
    return read.documents(text) if dataset is None else datasets.open_split(dataset, split)


def give(value: Any, text: str, is_json: bool) -> None:
    """Prints the answer: `value` as JSON, or `text` for a reader."""
    print(dump(value) if is_json else text)


def dump(value: Any) -> str:
    """The value as JSON for people too: indented, Japanese as it is."""
    return json.dumps(value, ensure_ascii=False, indent=2)
