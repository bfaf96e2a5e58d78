"""One peer on texts from a JSON file, for `corpus_duplicates.py`; it prints one line of JSON.

python corpus_duplicates_peers.py datatrove|hojichar|hojichar-192 TEXTS.json
"""

import importlib.metadata
import json
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Runs the peer that is named."""
    name, path = sys.argv[1:]
    texts = json.loads(Path(path).read_text("utf-8"))
    if name == "datatrove":
        result = _datatrove(texts)
    elif name == "hojichar":
        result = _hojichar(texts, {})
    else:
        result = _hojichar(texts, {"num_perm": 192, "threshold": 0.7})
    print(json.dumps(result))


def characters() -> Any:
    """A tokenizer of datatrove's whose words are characters, without white space."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Characters(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return list("".join(text.split()))

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    return Characters()


def _datatrove(texts: list[str]) -> dict[str, Any]:
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash

    config = minhash.MinhashConfig()
    documents = [Document(text=text, id=str(at)) for at, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        sign = minhash.MinhashDedupSignature(f"{folder}/a", config, language=characters())
        sign.get_signature(sign.get_shingles("一度は試しに動かす"))
        started_s = time.process_time()
        sign.run(documents, 0, 1)
        signed_s = time.process_time()
        bucket = minhash.MinhashDedupBuckets(f"{folder}/a", f"{folder}/b", config=config)
        for rank in range(config.num_buckets):
            bucket.run(None, rank, config.num_buckets)
        cluster = minhash.MinhashDedupCluster(
            f"{folder}/b", f"{folder}/c", config, save_cluster_id=True
        )
        cluster.run(None, 0, 1)
        ended_s = time.process_time()
        removed = _numbers(Path(folder, "c", "000000.remove"))
        ids = _numbers(Path(folder, "c", "000000.clusters"))
    labels = [-1 - at for at in range(len(texts))]
    for document, label in zip(ids[::2], ids[1::2], strict=True):
        labels[document] = label
    return {
        "signatures_s": signed_s - started_s,
        "clusters_s": ended_s - signed_s,
        "removed": removed,
        "labels": labels,
        "versions": _versions("datatrove", "numpy"),
    }


def _hojichar(texts: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from hojichar import Document
    from hojichar.filters import deduplication

    sign = deduplication.GenerateDedupLSH(**options)
    reject = deduplication.InlineDeduplicator()
    sign.apply(Document("一度は試しに動かす"))
    started_s = time.process_time()
    documents = [sign.apply(Document("".join(text.split()))) for text in texts]
    signed_s = time.process_time()
    removed = [at for at, each in enumerate(documents) if reject.apply(each).is_rejected]
    ended_s = time.process_time()
    return {
        "signatures_s": signed_s - started_s,
        "clusters_s": ended_s - signed_s,
        "removed": removed,
        "versions": _versions("hojichar", "rensa"),
    }


def _numbers(path: Path) -> list[int]:
    data = path.read_bytes() if path.exists() else b""
    return [number for (number,) in struct.iter_unpack("<I", data)]


def _versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


if __name__ == "__main__":
    main()
