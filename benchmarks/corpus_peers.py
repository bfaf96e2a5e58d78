"""One peer cleans texts from a JSON file, for `corpus.py`; it prints one line of JSON.

python corpus_peers.py hojichar|datatrove TEXTS.json
"""

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import corpus_duplicates_peers


def main() -> None:
    """Runs the peer that is named."""
    name, path = sys.argv[1:]
    texts = json.loads(Path(path).read_text("utf-8"))
    lines = [json.dumps({"text": text, "id": str(at)}) for at, text in enumerate(texts)]
    clean = {"hojichar": _hojichar, "datatrove": _datatrove}[name]
    print(json.dumps({**clean(lines), "versions": {name: importlib.metadata.version(name)}}))


def _hojichar(lines: list[str]) -> dict[str, Any]:
    from hojichar import Compose, document_filters

    compose = Compose(
        [
            document_filters.JSONLoader(),
            document_filters.DocumentNormalizer(),
            document_filters.AcceptJapanese(),
            document_filters.DocumentLengthFilter(min_doc_len=100),
            document_filters.DiscardAds(),
            document_filters.DiscardAdultContentJa(),
            document_filters.DiscardBBSComments(),
            document_filters.DiscardRareKuten(),
            document_filters.CharRepetitionRatioFilter(),
            document_filters.SingleCharacterRepetitionFilter(),
            document_filters.DiscardTooManyEndingEllipsis(),
            document_filters.DiscardTooShortLines(),
            document_filters.MaskPersonalInformation(),
            document_filters.JSONDumper(),
        ]
    )
    compose(lines[0])
    started_s = time.process_time()
    kept = sum(bool(compose(line)) for line in lines)
    return {"clean_s": time.process_time() - started_s, "kept": kept}


def _datatrove(lines: list[str]) -> dict[str, Any]:
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.formatters import PIIFormatter

    characters = corpus_duplicates_peers.characters()
    steps: list[Any] = [
        filters.GopherQualityFilter(
            min_avg_word_length=None,
            max_avg_word_length=None,
            min_stop_words=None,
            max_doc_words=None,
            language=characters,
        ),
        filters.GopherRepetitionFilter(language=characters),
        filters.FineWebQualityFilter(language=characters),
    ]
    masks = PIIFormatter()
    started_s = time.process_time()
    kept = 0
    for line in lines:
        document = Document(**json.loads(line))
        if all(step.filter(document) is True for step in steps):
            json.dumps({"text": masks.format(document.text), "id": document.id})
            kept += 1
    return {"clean_s": time.process_time() - started_s, "kept": kept}


if __name__ == "__main__":
    main()
