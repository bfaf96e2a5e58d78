"""SentencePiece behind the Protocol: its encoder, and our own decoder over a table of exact bytes.

SentencePiece writes a space as U+2581 inside its pieces, so it cannot tell the two apart. Here a
U+2581 of the text never reaches it: the text is cut there, and the character is given by its three
byte pieces. Joining the bytes of each id then restores every text exactly.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sentencepiece

from jgpt2.errors import InputError
from jgpt2.tokenizer import base

EOT_PIECE = "<|endoftext|>"
SPACE_PIECE = "\u2581"
_SPACE_MARK = SPACE_PIECE.encode()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SentencePiece:
    """A trained unigram or BPE vocabulary; a `base.Tokenizer`. Made by `from_model`."""

    name: str
    kind: str
    fingerprint: str
    vocab_size: int
    eot: int
    pieces: tuple[bytes, ...]
    """[vocab_size] the exact bytes that each id stands for; empty for EOT and unknown."""
    token_bytes: npt.NDArray[np.int32]
    is_byte: npt.NDArray[np.bool_]
    processor: sentencepiece.SentencePieceProcessor

    @property
    def begin(self) -> int:
        """EOT: a document follows the one before it."""
        return self.eot

    @property
    def is_lossless(self) -> bool:
        """Always: `from_model` refuses others."""
        return True

    def encode(self, text: str) -> base.Ids:
        """The ids of the text, without EOT; InputError for a lone surrogate."""
        return self._encode_utf8(base.utf8(text))

    def encode_batch(self, texts: Sequence[str]) -> list[base.Ids]:
        """The same as `encode` on each text, on one core (callers spread shards over processes)."""
        texts_utf8 = [base.utf8(text) for text in texts]
        plain = [data for data in texts_utf8 if _SPACE_MARK not in data]
        encoded = iter(self.processor.encode(plain, return_type="numpy", num_threads=1))
        return [
            self._encode_utf8(data) if _SPACE_MARK in data else self._proven(next(encoded), data)
            for data in texts_utf8
        ]

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The exact bytes of the ids, EOT giving none; InputError for an id out of range."""
        ids = base.in_range(ids, self.vocab_size)
        return b"".join([self.pieces[i] for i in ids.tolist()])

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text; bytes that are no UTF-8 (half a character) become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def _encode_utf8(self, data: bytes) -> base.Ids:
        if _SPACE_MARK not in data:
            return self._proven(self.processor.encode(data, return_type="numpy"), data)
        mark_ids = np.array([self.processor.piece_to_id(f"<0x{b:02X}>") for b in _SPACE_MARK])
        parts = []
        for part in data.split(_SPACE_MARK):
            parts += [self.processor.encode(part, return_type="numpy"), mark_ids]
        return self._proven(np.concatenate(parts[:-1]), data)

    def _proven(self, ids: npt.NDArray[np.integer], data: bytes) -> base.Ids:
        # An unknown id stands for 0 bytes, so this also proves that none was given.
        assert int(self.token_bytes[ids].sum()) == len(data), "ids do not add up to the text"
        return ids.astype(base.id_dtype(self.vocab_size))


def from_model(model: bytes, *, name: str, kind: str, fingerprint: str) -> SentencePiece:
    """A tokenizer from the content of a SentencePiece model file.

    Raises InputError when the model could lose text: it needs all byte pieces, a piece for the
    space, an end-of-text control piece, identity normalisation and no dummy prefix.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = processor.get_piece_size()
    is_byte = np.array([processor.is_byte(i) for i in range(size)])
    pieces = tuple(piece_bytes(processor, i) for i in range(size))
    eot = processor.piece_to_id(EOT_PIECE)
    lacks = {
        "256 byte pieces": int(is_byte.sum()) != 256,
        "a piece for the space": processor.piece_to_id(SPACE_PIECE) == processor.unk_id(),
        f"the control piece {EOT_PIECE}": not processor.is_control(eot),
        "identity normalisation without dummy prefix": processor.normalize(" Ａ  ") != "▁Ａ▁▁",
    }
    if any(lacks.values()):
        raise InputError(
            f"the SentencePiece model of {name} lacks {', '.join(k for k, v in lacks.items() if v)}"
            "; without these it cannot restore every text: train it with `jgpt2 tokenizer train`."
        )
    token_bytes = np.array([len(piece) for piece in pieces], np.int32)
    token_bytes.flags.writeable = False
    return SentencePiece(
        name=name,
        kind=kind,
        fingerprint=fingerprint,
        vocab_size=size,
        eot=eot,
        pieces=pieces,
        token_bytes=token_bytes,
        is_byte=is_byte,
        processor=processor,
    )


def piece_bytes(processor: sentencepiece.SentencePieceProcessor, i: int) -> bytes:
    """The bytes that an id stands for; none for control pieces and the unknown one."""
    if processor.is_control(i) or processor.is_unknown(i):
        return b""
    piece = processor.id_to_piece(i)
    if processor.is_byte(i):
        return bytes([int(piece[3:5], 16)])
    return piece.replace(SPACE_PIECE, " ").encode()
