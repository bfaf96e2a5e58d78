"""Byte-level BPE, as OpenAI's GPT-2 has it: vocab.json and merges.txt, or one tokenizer.json.

Every byte has a piece, so that nothing is lost. Hugging Face's `tokenizers` cuts the text, with
what is proven here to be pieces, merges and splits and nothing else; it never sees the control
pieces, so a text that spells `<|endoftext|>` gives ordinary ids.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jgpt2 import untrusted
from jgpt2.errors import InputError
from jgpt2.tokenizer import adopted

WHOLE = "tokenizer.json"
VOCAB = "vocab.json"
MERGES = "merges.txt"
EOT_PIECE = "<|endoftext|>"
_SPLIT = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
"""Where OpenAI's code cuts a text into words."""
_OTHER_RULES = (
    *("dropout", "byte_fallback", "ignore_merges"),
    *("continuing_subword_prefix", "end_of_word_suffix"),
)
"""Fields of a BPE model that plain byte-level BPE leaves empty."""


@dataclass(frozen=True)
class _Rules:
    file: str
    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    split: dict[str, Any]


@dataclass(frozen=True)
class _Cut:
    encoder: Any

    def __call__(self, text: str) -> list[int]:
        return self.encoder.encode(text, add_special_tokens=False).ids


def from_files(
    files: Mapping[str, bytes], settings: adopted.Settings, *, name: str, fingerprint: str
) -> adopted.Adopted:
    """The vocabulary of the files' content; InputError names the file that cannot be used."""
    rules = _whole(files[WHOLE]) if WHOLE in files else _apart(files[VOCAB], files[MERGES])
    made = {left + right for left, right in rules.merges}
    sign_bytes = {sign: byte for byte, sign in enumerate(signs())}
    text_pieces = {p: i for p, i in rules.vocab.items() if p in made or p in sign_bytes}
    if lacking := sorted(sign_bytes.keys() - text_pieces.keys()):
        raise InputError(
            f"{rules.file} lacks {len(lacking)} of the 256 bytes, such as {lacking[0]!r}; text "
            "that holds them would be lost: only whole byte-level vocabularies are taken."
        )
    if strange := [piece for piece in text_pieces if not sign_bytes.keys() >= set(piece)]:
        raise InputError(
            f"{rules.file} has the piece {strange[0]!r}, which is not spelled in signs of bytes; "
            "only byte-level vocabularies are taken."
        )
    controls = {p: i for p, i in rules.vocab.items() if p not in text_pieces}
    pieces = [b""] * len(rules.vocab)
    for piece, i in text_pieces.items():
        pieces[i] = bytes([sign_bytes[sign] for sign in piece])
    eot = adopted.control(controls, settings.eot_piece, rules.file)
    begin = settings.begin_piece
    padded = adopted.padded(pieces, settings, rules.file)
    return adopted.Adopted(
        name=name,
        kind="byte_level",
        fingerprint=fingerprint,
        eot=eot,
        begin=eot if begin is None else adopted.control(controls, begin, rules.file),
        is_lossless=True,
        pieces=padded,
        is_byte=np.array([len(piece) == 1 for piece in padded]),
        controls=controls,
        cut=_Cut(_encoder(text_pieces, rules)),
    )


def whole_json(tokenizer: adopted.Adopted) -> dict[str, Any]:
    """The `tokenizer.json` of such a vocabulary, but for its added tokens and decoder."""
    assert isinstance(tokenizer.cut, _Cut)
    described = json.loads(tokenizer.cut.encoder.to_str())
    described["model"]["vocab"] |= tokenizer.controls
    return described


def signs() -> list[str]:
    """GPT-2's visible sign of each byte (Radford et al.'s code, src/encoder.py).

    >>> signs()[0x41], signs()[0x20]
    ('A', 'Ġ')
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(number) if number in visible else chr(next(hidden)) for number in range(256)]


def _encoder(text_pieces: dict[str, int], rules: _Rules) -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise InputError(
            "a byte-level vocabulary is read by the package tokenizers; install jgpt2[hub]."
        ) from None
    model = {"type": "BPE", "vocab": text_pieces, "merges": rules.merges}
    described = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": rules.split,
        "model": model,
    }
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(described))
    except Exception as error:  # of no narrower class; all else is proven before
        raise InputError(
            f"{rules.file} cannot be used ({error}); take the file of the checkpoint as it was."
        ) from error


def _apart(vocab: bytes, merges: bytes) -> _Rules:
    pieces = _proven_vocab(untrusted.json_object(vocab, VOCAB), VOCAB)
    lines = adopted.utf8_text(merges, MERGES).split("\n")
    if lines[0].startswith("#version"):
        lines = lines[1:]
    pairs = (line.split(" ") for line in lines if line)
    return _Rules(VOCAB, pieces, _proven_merges(pairs, pieces, MERGES), _SPLIT)


def _whole(content: bytes) -> _Rules:
    described = untrusted.json_object(content, WHOLE)
    model = _object(described.get("model"))
    if model.get("type") != "BPE":
        raise InputError(
            f"{WHOLE} has a model of type {model.get('type')!r}; of this format only byte-level "
            "BPE is read. A Unigram vocabulary is taken from its spiece.model."
        )
    _refuse_other_rules(described, model)
    vocab = model.get("vocab")
    added = described.get("added_tokens") or []
    if not isinstance(vocab, dict) or not isinstance(added, list):
        raise InputError(f"{WHOLE} has no vocab of pieces and ids; take another copy of it.")
    for token in added:
        if not isinstance(token, dict) or token.get("special") is not True:
            raise InputError(
                f"{WHOLE} has the added token {token!r}, which is not special and would cut texts "
                "outside of the merges; such vocabularies are not read."
            )
        if vocab.setdefault(token.get("content"), token.get("id")) != token.get("id"):
            raise InputError(f"{WHOLE} gives {token.get('content')!r} two ids; take another copy.")
    pieces = _proven_vocab(vocab, WHOLE)
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise InputError(f"{WHOLE} has no list of merges; take another copy of it.")
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
    return _Rules(WHOLE, pieces, _proven_merges(pairs, pieces, WHOLE), described["pre_tokenizer"])


def _refuse_other_rules(described: dict[str, Any], model: dict[str, Any]) -> None:
    """InputError for what would change the text, or that is no byte-level BPE."""
    split = _object(described.get("pre_tokenizer"))
    steps = split.get("pretokenizers") if split.get("type") == "Sequence" else [split]
    *before, last = map(_object, steps if isinstance(steps, list) and steps else [None])
    found = {
        "a normalizer": described.get("normalizer") is not None,
        "no ByteLevel pre_tokenizer": last.get("type") != "ByteLevel",
        "a space before every text (add_prefix_space)": last.get("add_prefix_space") is not False,
        "a pre_tokenizer that is no plain split": any(
            step.get("type") not in ("Split", "Digits") or step.get("behavior") == "Removed"
            for step in before
        ),
        **{key: bool(model.get(key)) for key in _OTHER_RULES},
    }
    if any(found.values()):
        raise InputError(
            f"{WHOLE} has {', '.join(key for key, is_there in found.items() if is_there)}; only "
            "plain byte-level BPE, which restores every text, is read from this format."
        )


def _object(described: Any) -> dict[str, Any]:
    return described if isinstance(described, dict) else {}


def _proven_vocab(vocab: Mapping[Any, Any], file: str) -> dict[str, int]:
    """The pieces, with ids from 0 without a gap; InputError otherwise."""
    for piece, i in vocab.items():
        if not isinstance(piece, str) or type(i) is not int:
            raise InputError(
                f"{file} gives {piece!r} the id {i!r}; it must hold pieces and whole numbers: "
                "take another copy of it."
            )
    wrong = sorted(set(vocab.values()) ^ set(range(len(vocab))))
    if wrong:
        raise InputError(
            f"{file} has {len(vocab)} pieces, but id {wrong[0]} is missing, double or out of "
            f"range; every id from 0 to {len(vocab) - 1} must stand once: take another copy of it."
        )
    return dict(vocab)


def _proven_merges(
    pairs: Iterable[Any], vocab: Mapping[str, int], file: str
) -> list[tuple[str, str]]:
    proven = []
    for number, pair in enumerate(pairs, start=1):
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(type(p) is str for p in pair)
        parts = (*pair, "".join(pair)) if is_pair else ()
        if not is_pair or any(part not in vocab for part in parts):
            raise InputError(
                f"merge {number} of {file} is {pair!r}; it must join two pieces of the vocabulary "
                "to a third: take vocabulary and merges of one checkpoint."
            )
        proven.append((pair[0], pair[1]))
    return proven
