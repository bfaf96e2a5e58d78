"""A vocabulary as the `tokenizer.ggml` entries of a GGUF file, with the same ids in llama.cpp.

Bytes are a byte-level BPE without merges. A SentencePiece BPE is llama.cpp's `llama` tokenizer,
which merges by score from the left, as SentencePiece does, and falls back to bytes. It cannot tell
a U+2581 of the text from a space: docs/gguf.md. A unigram vocabulary has no equal there.
"""

from typing import Any

from jgpt2.errors import InputError
from jgpt2.publish.formats import hf_tokenizer
from jgpt2.tokenizer import base, byte, byte_level
from jgpt2.tokenizer.sentencepiece import EOT_PIECE, SentencePiece

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
"""Types of an entry (include/llama.h, llama_token_type)."""


def metadata(tokenizer: base.Tokenizer) -> dict[str, Any]:
    """Key -> value of all that describes the vocabulary.

    Raises InputError for a kind that llama.cpp would read into other ids.
    """
    if isinstance(tokenizer, byte.Byte):
        entries = _of_bytes()
    elif isinstance(tokenizer, SentencePiece) and tokenizer.kind == "bpe":
        entries = _of_pieces(tokenizer)
    else:
        raise InputError(
            f"{tokenizer.name} is a {tokenizer.kind} vocabulary, which GGUF cannot hold: "
            "llama.cpp's only unigram tokenizer (t5) has no byte fallback, so that characters "
            "without a piece would become <unk>; export a run with a byte or bpe vocabulary, or "
            "this one without --format gguf."
        )
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "padding_token_id"), tokenizer.eot)
    entries |= ends | {"add_bos_token": False, "add_eos_token": False, "add_space_prefix": False}
    return {f"tokenizer.ggml.{key}": value for key, value in entries.items()}


def _of_bytes() -> dict[str, Any]:
    return {
        "model": "gpt2",
        # Cuts words that have no merges anyway; after `gpt-2`, llama.cpp drops the space before a
        # comma or full stop of decoded text.
        "pre": "qwen2",
        "tokens": [*byte_level.signs(), EOT_PIECE],
        "token_type": [NORMAL] * byte.EOT + [CONTROL],
        # The entry must be there, and gguf writes no empty one: this one fits no text.
        "merges": [f"{EOT_PIECE} {EOT_PIECE}"],
    }


def _of_pieces(tokenizer: SentencePiece) -> dict[str, Any]:
    processor = tokenizer.processor
    ids = range(tokenizer.vocab_size)
    pieces = [processor.id_to_piece(number) for number in ids]
    types = [_type(tokenizer, number, pieces[number]) for number in ids]
    _require_unspellable(tokenizer.name, pieces, types)
    return {
        "model": "llama",
        "pre": "default",
        "tokens": pieces,
        "scores": [processor.get_score(number) for number in ids],
        "token_type": types,
        "unknown_token_id": processor.unk_id(),
    }


def _type(tokenizer: SentencePiece, number: int, piece: str) -> int:
    if tokenizer.is_byte[number]:
        return BYTE
    if tokenizer.processor.is_unknown(number):
        return UNKNOWN
    if tokenizer.processor.is_control(number):
        return CONTROL
    return USER_DEFINED if piece in hf_tokenizer.ALONE else NORMAL


def _require_unspellable(name: str, pieces: list[str], types: list[int]) -> None:
    """InputError where two pieces of text join to one of another kind: llama.cpp would merge them.

    SentencePiece merges into pieces of text only.
    """
    of_text = {piece for piece, kind in zip(pieces, types, strict=True) if kind == NORMAL}
    for piece, kind in zip(pieces, types, strict=True):
        cuts = range(1, len(piece)) if kind in (UNKNOWN, CONTROL, BYTE) else ()
        for left, right in ((piece[:cut], piece[cut:]) for cut in cuts):
            if all(part in of_text or len(part) == 1 for part in (left, right)):
                raise InputError(
                    f"{name} has the pieces {left!r} and {right!r}: llama.cpp would read a text "
                    f"that holds {piece} as that very id, while here it is text; train the "
                    "vocabulary without such texts, or export without --format gguf."
                )
