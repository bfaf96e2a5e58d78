"""Documents to a tokenizer folder: `manifest.json`, `spec.json` and, unless bytes, the model.

The result depends on the set of documents, the settings and the SentencePiece version only: the
sample does not depend on order, and one thread adds up floats in one order.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from jgpt2 import manifest, storage
from jgpt2.errors import InputError
from jgpt2.tokenizer import byte, sample, score
from jgpt2.tokenizer import sentencepiece as pieces

Kind = Literal["byte", "unigram", "bpe"]
KINDS: tuple[Kind, ...] = ("byte", "unigram", "bpe")
MODEL_FILE = "tokenizer.model"
SPEC_FILE = "spec.json"
DEFAULT_SAMPLE_BYTES = 20_000_000
DEFAULT_COVERAGE = 0.9995
NUM_FIXED_IDS = 260
"""256 bytes, EOT, newline, tab, and the unknown id: SentencePiece demands it, no text gives it."""

SPEC: Mapping[str, Any] = {
    "normalization_rule_name": "identity",
    "byte_fallback": True,
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "split_digits": True,
    "user_defined_symbols": ["\n", "\t"],
    "control_symbols": [pieces.EOT_PIECE],
    "required_chars": pieces.SPACE_PIECE,  # else a text without spaces would take it for U+2581
    "bos_id": -1,
    "eos_id": -1,
    "pad_id": -1,
    "max_sentence_length": sample.MAX_LINE_BYTES,
    "num_threads": 1,
}
"""What every vocabulary has in common, in SentencePiece's own terms."""


def train(
    documents: Iterable[tuple[str, str]],
    out: Path,
    *,
    name: str,
    kind: Kind,
    vocab_size: int | None = None,
    sample_bytes: int = DEFAULT_SAMPLE_BYTES,
    seed: int = 0,
    coverage: float = DEFAULT_COVERAGE,
    parents: Mapping[str, str] | None = None,
) -> manifest.Manifest:
    """Learns a vocabulary from (source, text) pairs and writes it to a folder that is not there.

    `vocab_size` is the total number of ids, EOT and bytes included; for bytes it is 257. A byte
    vocabulary reads no documents and has no parents. `parents` holds the dataset's fingerprint.
    Raises InputError for settings or text that cannot give such a vocabulary.
    """
    _check(out, kind=kind, vocab_size=vocab_size, sample_bytes=sample_bytes, coverage=coverage)
    if kind == "byte":
        identity = {"kind": kind, "vocab_size": byte.VOCAB_SIZE, "eot": byte.EOT}
        return write(out, {}, name=name, identity=identity, parents={})
    assert vocab_size is not None
    drawn = sample.draw(documents, max_bytes=sample_bytes, seed=seed)
    model = _train_model(drawn, kind=kind, vocab_size=vocab_size, coverage=coverage)
    tokenizer = pieces.from_model(model, name=name, kind=kind, fingerprint="")
    assert tokenizer.vocab_size == vocab_size
    settings = {"kind": kind, "vocab_size": vocab_size, "coverage": coverage, "seed": seed}
    spec = {
        "settings": settings | {"sample_bytes": sample_bytes},
        "sentencepiece_version": sentencepiece.__version__,
        "sentencepiece": dict(SPEC),
        "scores": f"rounded to multiples of 1/{score.PER_UNIT}",
        "sample": _describe(drawn, tokenizer),
    }
    spec_text = json.dumps(spec, ensure_ascii=False, indent=2) + "\n"
    files = {MODEL_FILE: model, SPEC_FILE: spec_text.encode()}
    identity = {"kind": kind, "vocab_size": vocab_size, "eot": tokenizer.eot}
    return write(out, files, name=name, identity=identity, parents=parents or {})


def write(
    out: Path,
    files: Mapping[str, bytes],
    *,
    name: str,
    identity: Mapping[str, Any],
    parents: Mapping[str, str],
) -> manifest.Manifest:
    """All files in a folder of another name, which takes the place of `out` only when complete."""
    partial = storage.scratch(out, out.name + ".partial")
    storage.remove_tree(partial)
    partial.mkdir(parents=True)
    try:
        for file, content in files.items():
            (partial / file).write_bytes(content)
        written = manifest.write(
            partial, kind="tokenizer", name=name, identity=identity, parents=parents, files=files
        )
        storage.publish(partial, out, last=manifest.FILE_NAME)
    finally:
        storage.remove_tree(partial)
    return written


def require_free(out: Path) -> None:
    """InputError where the folder of a new vocabulary exists."""
    if out.exists():
        raise InputError(
            f"{out} exists already and a vocabulary is never overwritten, since token stores and "
            "checkpoints are bound to it; give another folder or remove this one."
        )


def _check(
    out: Path, *, kind: str, vocab_size: int | None, sample_bytes: int, coverage: float
) -> None:
    if kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of vocabulary; choose one of {', '.join(KINDS)}.")
    require_free(out)
    if kind == "byte":
        if vocab_size not in (None, byte.VOCAB_SIZE):
            raise InputError(
                f"vocab_size={vocab_size} does not fit kind byte, which always has 257 ids "
                "(256 bytes and end of text); leave it out, or choose unigram or bpe."
            )
        return
    if vocab_size is None:
        raise InputError(f"kind {kind} needs a vocab_size, the total number of ids; try 8192.")
    if sample_bytes < 1:
        raise InputError(f"sample_bytes={sample_bytes} leaves no text; give 1000000 or more.")
    if not 0.98 <= coverage <= 1:
        raise InputError(
            f"coverage={coverage} is outside the range that SentencePiece takes; give the share "
            "of characters that get a piece of their own, from 0.98 to 1."
        )


def _train_model(drawn: sample.Sample, *, kind: str, vocab_size: int, coverage: float) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(drawn),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=coverage,
            minloglevel=2,  # errors are raised as well; its log would only mix into ours
            **SPEC,
        )
    except RuntimeError as error:
        raise _translated(error, drawn, vocab_size=vocab_size, coverage=coverage) from error
    return score.rounded(model.getvalue())


def _lines(drawn: sample.Sample) -> Iterator[str]:
    for text in drawn.texts:
        yield from sample.lines(text)


def _translated(
    error: RuntimeError, drawn: sample.Sample, *, vocab_size: int, coverage: float
) -> Exception:
    """Our words for what SentencePiece reports about the text; anything else stays as it is."""
    if too_small := re.search(r"smaller than required_chars\. -?\d+ vs (\d+)", str(error)):
        needed = int(too_small[1])
        return InputError(
            f"vocab_size={vocab_size} is too small for this text: {needed - NUM_FIXED_IDS} "
            f"characters (coverage {coverage}) and {NUM_FIXED_IDS} fixed ids (bytes, end of text, "
            f"newline, tab, unknown) need {needed}; give at least that, or a lower coverage."
        )
    if too_large := re.search(r"Please set it to a value <= (\d+)", str(error)):
        return InputError(
            f"vocab_size={vocab_size} is too large for this text of {drawn.num_bytes} sampled "
            f"bytes, which gives at most {too_large[1]} pieces; give at most that, more text or "
            "a larger sample_bytes."
        )
    if "sentences_.empty()" in str(error) or "seed_sentencepieces.empty()" in str(error):
        return InputError(
            f"the sample of {drawn.num_bytes} bytes holds nothing but line breaks, tabs and "
            "control characters; a vocabulary needs text to learn from."
        )
    return error


def _describe(drawn: sample.Sample, tokenizer: pieces.SentencePiece) -> dict[str, Any]:
    """The counts that let a reader check the training input; `dropped_bytes` must be 0."""
    num_lines = line_bytes = 0
    breaks: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for text in drawn.texts:
        breaks.update(sample.count_breaks(text))
        for line in sample.lines(text):
            num_lines += 1
            line_bytes += len(line.encode())
            characters.update(line)
    vocabulary = set(tokenizer.pieces)
    uncovered = [count for c, count in characters.items() if c.encode() not in vocabulary]
    return {
        "rule": "lowest hashes of (seed, text) over documents, not stratified",
        "documents_seen": drawn.num_documents_seen,
        "documents_sampled": len(drawn.texts),
        "bytes_seen": drawn.num_bytes_seen,
        "bytes_sampled": drawn.num_bytes,
        "bytes_sampled_by_source": drawn.bytes_by_source,
        "lines": num_lines,
        "line_bytes": line_bytes,
        **breaks,
        "dropped_bytes": drawn.num_bytes - line_bytes - breaks.total(),
        "distinct_characters": len(characters),
        "distinct_characters_left_to_bytes": len(uncovered),
        "characters": characters.total(),
        "characters_left_to_bytes": sum(uncovered),
    }
