"""The smallest vocabulary: one id per UTF-8 byte, and end of text. Nothing to train.

Three ids per Japanese character make it the honest end of any comparison of vocabularies.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jgpt2.tokenizer import base

EOT = 256
VOCAB_SIZE = 257


@dataclasses.dataclass(frozen=True, kw_only=True)
class Byte:
    """Ids 0 to 255 are the bytes, 256 ends a text; a `base.Tokenizer`."""

    name: str
    fingerprint: str

    @property
    def kind(self) -> str:
        """Always byte."""
        return "byte"

    @property
    def vocab_size(self) -> int:
        """256 bytes and EOT."""
        return VOCAB_SIZE

    @property
    def eot(self) -> int:
        """The id after the last byte."""
        return EOT

    @property
    def begin(self) -> int:
        """EOT: a document follows the one before it."""
        return EOT

    @property
    def is_lossless(self) -> bool:
        """Always."""
        return True

    @property
    def token_bytes(self) -> npt.NDArray[np.int32]:
        """[257] 1 for every byte, 0 for EOT."""
        return (np.arange(VOCAB_SIZE) != EOT).astype(np.int32)

    @property
    def is_byte(self) -> npt.NDArray[np.bool_]:
        """[257] True for every id but EOT."""
        return np.arange(VOCAB_SIZE) != EOT

    def encode(self, text: str) -> base.Ids:
        """The UTF-8 bytes of the text; InputError for a lone surrogate.

        >>> Byte(name="byte", fingerprint="").encode("日a").tolist()
        [230, 151, 165, 97]
        """
        return np.frombuffer(base.utf8(text), np.uint8).astype(np.uint16)

    def encode_batch(self, texts: Sequence[str]) -> list[base.Ids]:
        """The same as `encode` on each text."""
        return [self.encode(text) for text in texts]

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The bytes themselves, without EOT; InputError for an id out of range."""
        ids = base.in_range(ids, VOCAB_SIZE)
        return ids[ids != EOT].astype(np.uint8).tobytes()

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text; bytes that are no UTF-8 become U+FFFD.

        >>> Byte(name="byte", fingerprint="").decode([230, 151, 165, 256, 230])
        '日�'
        """
        return self.decode_bytes(ids).decode(errors="replace")
