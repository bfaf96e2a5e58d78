"""A vocabulary as the `tokenizer.json` of Hugging Face's `tokenizers`, with the same ids.

Written here, not converted: `T5Tokenizer` and `LlamaTokenizer`, which take a SentencePiece model,
give other ids for most Japanese text. Two choices keep them equal. Pieces hold real spaces, not
U+2581, so that a U+2581 of the text has no piece and falls to its three bytes, as it does here. And
text that spells a piece of another kind, such as `<0x0A>` or `<|endoftext|>`, is cut behind its `<`
before the vocabulary sees it. What is left are ties within rounding: docs/publish.md.
"""

from typing import Any

from jgpt2.errors import InputError
from jgpt2.tokenizer import adopted, base, byte, byte_level, train
from jgpt2.tokenizer.sentencepiece import EOT_PIECE, SPACE_PIECE, SentencePiece

ALONE = train.SPEC["user_defined_symbols"]  # never part of a longer piece: cut off first
_GUARDED = r"<(?=0x[0-9A-F]{2}>|unk>|\|endoftext\|>)"


def files(tokenizer: base.Tokenizer, context: int) -> dict[str, dict[str, Any]]:
    """File name -> content, of all that `AutoTokenizer.from_pretrained` reads.

    Raises InputError for a kind that it cannot read into the same ids.
    """
    eot = begin = EOT_PIECE
    if isinstance(tokenizer, byte.Byte):
        made = _of_bytes(tokenizer)
    elif isinstance(tokenizer, SentencePiece):
        made = _of_pieces(tokenizer)
    elif isinstance(tokenizer, adopted.Adopted) and tokenizer.kind == "byte_level":
        made = _of_byte_level(tokenizer)
        of_id = {number: piece for piece, number in tokenizer.controls.items()}
        eot, begin = of_id[tokenizer.eot], of_id[tokenizer.begin]
    else:
        raise InputError(
            f"{tokenizer.name} is a {tokenizer.kind} vocabulary, of which transformers has no "
            "tokenizer with the same ids; publish such a model with its vocabulary's own code."
        )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "eos_token": eot,
        "bos_token": begin,
        "pad_token": eot,
        # The text `<|endoftext|>` is text; only the id ends one.
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
    }
    return {"tokenizer.json": made, "tokenizer_config.json": config}


def _of_bytes(tokenizer: byte.Byte) -> dict[str, Any]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    level["use_regex"] = False
    vocab = {sign: number for number, sign in enumerate(byte_level.signs())}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab | {EOT_PIECE: tokenizer.eot},
        "merges": [],
    }
    return _whole([_added(tokenizer.eot, EOT_PIECE, is_special=True)], level, level, model)


def _of_byte_level(tokenizer: adopted.Adopted) -> dict[str, Any]:
    controls = sorted(tokenizer.controls.items(), key=lambda item: item[1])
    added = [_added(number, piece, is_special=True) for piece, number in controls]
    decoder = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return byte_level.whole_json(tokenizer) | {"added_tokens": added, "decoder": decoder}


def _of_pieces(tokenizer: SentencePiece) -> dict[str, Any]:
    processor = tokenizer.processor
    pieces = [
        processor.id_to_piece(number).replace(SPACE_PIECE, " ")
        for number in range(tokenizer.vocab_size)
    ]
    scores = [processor.get_score(number) for number in range(tokenizer.vocab_size)]
    added = [_added(tokenizer.eot, EOT_PIECE, is_special=True)]
    added += [_added(pieces.index(sign), sign, is_special=False) for sign in ALONE]
    model = (
        {
            "type": "Unigram",
            "unk_id": processor.unk_id(),
            "vocab": [list(pair) for pair in zip(pieces, scores, strict=True)],
            "byte_fallback": True,
        }
        if tokenizer.kind == "unigram"
        else {
            "type": "BPE",
            "dropout": None,
            "unk_token": pieces[processor.unk_id()],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "merges": _merges(tokenizer, pieces, scores),
        }
    )
    guard = {
        "type": "Split",
        "pattern": {"Regex": _GUARDED},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    decoder = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    return _whole(sorted(added, key=lambda one: one["id"]), guard, decoder, model)


def _merges(tokenizer: SentencePiece, pieces: list[str], scores: list[float]) -> list[list[str]]:
    """Every pair of pieces that makes a piece; those of the best score first, as in training."""
    processor = tokenizer.processor
    joined = {
        piece: number
        for number, piece in enumerate(pieces)
        if not (
            processor.is_control(number)
            or processor.is_unknown(number)
            or processor.is_byte(number)
            or piece in ALONE
        )
    }
    found = []
    for piece, number in joined.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in joined and right in joined:
                order = (-scores[number], joined[left], joined[right])
                found.append((order, [left, right]))
    return [pair for _, pair in sorted(found, key=lambda one: one[0])]


def _whole(
    added: list[dict[str, Any]],
    pre_tokenizer: dict[str, Any],
    decoder: dict[str, Any],
    model: dict[str, Any],
) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _added(number: int, content: str, *, is_special: bool) -> dict[str, Any]:
    return {
        "id": number,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": is_special,
    }
