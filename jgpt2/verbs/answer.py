"""What verbs share: answers on stdout as text or JSON, and where documents come from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2.errors import InputError


def documents(dataset: Path | None, split: str, text: Sequence[Path]) -> Any:
    from jgpt2.corpus import dataset as datasets
    from jgpt2.corpus import read

    if (dataset is None) == (not text):
        raise InputError("give either --dataset FOLDER or --text FILE..., not both and not none.")
    return read.documents(text) if dataset is None else datasets.open_split(dataset, split)


def give(value: Any, text: str, is_json: bool) -> None:
    print(dump(value) if is_json else text)


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    cells = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
