"""SentencePiece vocabularies of others, such as rinna's: normalised, and often without bytes.

SentencePiece itself cuts the text. What its normalisation folds (nmt_nfkc: line breaks, widths,
U+3000) and what becomes its unknown id is lost, and so is U+2581, its sign for a space. Control
pieces that a text spells give ordinary ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sentencepiece

from jgpt2.errors import InputError
from jgpt2.tokenizer import adopted, score
from jgpt2.tokenizer import sentencepiece as own

FILES = ("spiece.model", "tokenizer.model")
"""The names that such a model has in the layouts that are read."""
EOT_PIECE = "</s>"
_PARTS = {0x0A, 0x12, 0x1A}
"""Tags of pieces, training spec and normaliser: the last one is written last."""


@dataclass(frozen=True)
class _Cut:
    processor: sentencepiece.SentencePieceProcessor
    lower_case: bool

    def __call__(self, text: str) -> list[int]:
        if self.lower_case:
            # By character, as T5Tokenizer does: a sigma at the end of a word is one within it.
            text = "".join([character.lower() for character in text])
        return self.processor.encode(text)


def from_files(
    files: Mapping[str, bytes], settings: adopted.Settings, *, name: str, fingerprint: str
) -> adopted.Adopted:
    """The vocabulary of the model's content; InputError when it cannot be used."""
    ((file, model),) = files.items()
    processor = _processor(model, file)
    size = processor.get_piece_size()
    controls = {processor.id_to_piece(i): i for i in range(size) if processor.is_control(i)}
    eot = adopted.control(controls, settings.eot_piece, file)
    if settings.begin_piece is not None:
        begin = adopted.control(controls, settings.begin_piece, file)
    else:
        begin = processor.bos_id() if processor.bos_id() >= 0 else eot
    pieces = adopted.padded([own.piece_bytes(processor, i) for i in range(size)], settings, file)
    return adopted.Adopted(
        name=name,
        kind="pieces",
        fingerprint=fingerprint,
        eot=eot,
        begin=begin,
        is_lossless=False,
        pieces=pieces,
        is_byte=np.array([i < size and processor.is_byte(i) for i in range(len(pieces))]),
        cut=_Cut(processor, settings.lower_case),
        has_prefix=processor.normalize("a").startswith(own.SPACE_PIECE),
    )


def _processor(model: bytes, file: str) -> sentencepiece.SentencePieceProcessor:
    try:
        parts = {tag for tag, _, _ in score.fields(model, 0, len(model))}
        if not parts >= _PARTS:
            raise IndexError("its pieces, training spec or normaliser are missing")
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except (IndexError, RuntimeError) as error:
        raise InputError(
            f"{file} is no whole SentencePiece model ({error}); take another copy of it."
        ) from error
