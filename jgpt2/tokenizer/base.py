"""What every tokenizer offers, and the two laws that all but lossy ones keep.

The token store, the scorer and the generator know only this Protocol, so a vocabulary can be
exchanged without touching them. For every valid Unicode string `x`, with `ids = encode(x)`:
`decode(ids) == x`, and `token_bytes[ids].sum() == len(x.encode())`. Vocabularies of others that
cannot keep them say so (`is_lossless`): docs/vocabularies.md.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jgpt2.errors import InputError

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


class Tokenizer(Protocol):
    """A fixed vocabulary of `vocab_size` ids, one of which (`eot`) ends a document."""

    @property
    def name(self) -> str:
        """What users call it, for example `sp-8k`."""
        ...

    @property
    def kind(self) -> str:
        """byte, unigram or bpe; of others byte_level, pieces or japanese_bpe."""
        ...

    @property
    def vocab_size(self) -> int:
        """All ids: pieces, byte pieces, EOT and, for SentencePiece, the unknown id."""
        ...

    @property
    def eot(self) -> int:
        """The end-of-text id. Callers put it after a document; `encode` never gives it."""
        ...

    @property
    def begin(self) -> int:
        """The id that stands before a document when it is scored or continued; mostly EOT."""
        ...

    @property
    def is_lossless(self) -> bool:
        """Whether both laws hold for every text."""
        ...

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its manifest, which token stores and checkpoints are bound to."""
        ...

    @property
    def token_bytes(self) -> npt.NDArray[np.int32]:
        """[vocab_size] UTF-8 bytes of text that each id stands for; 0 for EOT and unknown."""
        ...

    @property
    def is_byte(self) -> npt.NDArray[np.bool_]:
        """[vocab_size] whether the id stands for one raw byte, perhaps a part of a character."""
        ...

    def encode(self, text: str) -> Ids:
        """The ids of a text, without EOT: uint16, or uint32 above 65,536 ids.

        Nothing in the text is read as a control symbol. Raises InputError for a lone surrogate.
        """
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """The same as `encode` on each text, faster."""
        ...

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The exact bytes of any ids; EOT gives none. Raises InputError for an id out of range."""
        ...

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of any ids; bytes that are no UTF-8 become U+FFFD (`errors="replace"`)."""
        ...


def id_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every id of a vocabulary.

    >>> id_dtype(50257), id_dtype(100000)
    (dtype('uint16'), dtype('uint32'))
    """
    return np.dtype(np.uint16 if vocab_size <= 65536 else np.uint32)


def utf8(text: str) -> bytes:
    """The UTF-8 form of a text; InputError names the place of a lone surrogate.

    >>> utf8("𠮷")
    b'\\xf0\\xa0\\xae\\xb7'
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text has an unpaired surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start}, which has no UTF-8 form; only valid Unicode can be encoded: repair or "
            "drop it where the text is read."
        ) from error


def in_range(ids: npt.ArrayLike, vocab_size: int) -> npt.NDArray[np.integer]:
    """The ids as a flat integer array, all proven to lie in [0, vocab_size)."""
    array = np.asarray(ids).reshape(-1)
    if not array.size:
        return array.astype(np.int32)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"ids of type {array.dtype} cannot be decoded; give whole numbers.")
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest >= vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise InputError(
            f"id {wrong} is outside this vocabulary of {vocab_size} ids (0 to {vocab_size - 1}); "
            "decode with the tokenizer that made the ids."
        )
    return array
