"""Items of our own tasks and of JGLUE's files, as the task files of `jgpt2/harness/tasks` ask.

lm-evaluation-harness finds these functions by the names that a task file gives, and calls the first
two with the file's `dataset_kwargs` and `metadata` together. Nothing goes over the network.
"""

import collections
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2.errors import InputError

_TASKS = Path(__file__).with_name("tasks")
_SPLITS = {"train": "train", "validation": "valid"}
"""The harness's name of a split -> JGLUE's."""


def own(file: str, **_: Any) -> dict[str, Any]:
    """The one split of a task of ours."""
    import datasets

    return {"test": datasets.Dataset.from_list(_lines(_TASKS / file))}


def jglue(name: str, data: str | None = None, **_: Any) -> dict[str, Any]:
    """The two public splits of a task of JGLUE, from the folder `data` of its repository.

    Raises InputError when the folder was not given or does not hold the task.
    """
    if data is None:
        raise InputError(
            f"JGLUE's {name} is not shipped; clone github.com/yahoojapan/JGLUE and give "
            "--data JGLUE/datasets."
        )
    import datasets

    read = _squad if name == "jsquad" else _lines
    return {
        split: datasets.Dataset.from_list(read(_only(Path(data), f"{name}-*/{part}-*.json")))
        for split, part in _SPLITS.items()
    }


def answer_scores(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Exact match, and F1 of characters, of a written answer against the nearest right one."""
    written = _plain(results[0])
    pairs = [(written, _plain(answer)) for answer in doc["answers"]]
    return {
        "exact_match": float(any(ours == right for ours, right in pairs)),
        "char_f1": max(_char_f1(ours, right) for ours, right in pairs),
    }


def _char_f1(ours: str, right: str) -> float:
    """Harmonic mean of precision and recall, characters counted as a bag.

    >>> _char_f1("東京都", "東京"), _char_f1("大阪", "東京")
    (0.8, 0.0)
    """
    shared = sum((collections.Counter(ours) & collections.Counter(right)).values())
    return 2 * shared / (len(ours) + len(right)) if shared else 0.0


def _plain(text: str) -> str:
    """Without blanks and full stops around it, full and half width alike."""
    return unicodedata.normalize("NFKC", text).strip(" \n。")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise InputError(
            f"{folder} holds {len(found)} files {pattern}, where there should be one; give --data "
            "the folder `datasets` of JGLUE, with one version of each task."
        )
    return found[0]


def _squad(path: Path) -> list[dict[str, Any]]:
    """The questions of a file of SQuAD's form; JGLUE's contexts are `title [SEP] paragraph`."""
    articles = json.loads(path.read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    return [
        {
            "id": asked["id"],
            "context": paragraph["context"].rpartition("[SEP]")[2].strip(),
            "question": asked["question"],
            "answers": [answer["text"] for answer in asked["answers"]],
        }
        for paragraph in paragraphs
        for asked in paragraph["qas"]
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
