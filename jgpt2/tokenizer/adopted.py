"""Someone else's vocabulary, read only: a rule that cuts a text into ids, and the bytes of each id.

`jgpt2.tokenizer.foreign` finds such vocabularies; `byte_level`, `pieces` and `japanese_bpe` read
them. What a lossy one cannot keep is gone from its ids, and the scorer counts those documents.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jgpt2.errors import InputError
from jgpt2.tokenizer import base

_MOST_IDS = 2**20
"""Above every vocabulary there is; a larger number comes from a damaged or hostile file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides ids beside the vocabulary's own files; a part of its identity."""

    eot_piece: str
    """The piece that ends a document."""
    begin_piece: str | None
    """The piece that stands before one; None: the vocabulary's own, else EOT."""
    lower_case: bool
    """Whether a text is put into lower case first."""
    vocab_size: int | None
    """Ids of the model; those beyond the vocabulary stand for no text. None: just the vocabulary's.
    """

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Settings":
        """Those that a manifest's identity holds."""
        return cls(**{field.name: identity[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Adopted:
    """A vocabulary made elsewhere; a `base.Tokenizer`."""

    name: str
    kind: str
    fingerprint: str
    eot: int
    begin: int
    is_lossless: bool
    pieces: tuple[bytes, ...]
    """[vocab_size] the bytes that each id stands for; empty for control and unknown ids."""
    is_byte: npt.NDArray[np.bool_]
    cut: Callable[[str], Sequence[int]]
    """The ids of a text that is valid Unicode."""
    controls: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Control piece -> its id, where they are known: EOT's at least."""
    has_prefix: bool = False
    """Whether `cut` sets a space before every text."""

    @property
    def vocab_size(self) -> int:
        """All ids of the model."""
        return len(self.pieces)

    @property
    def token_bytes(self) -> npt.NDArray[np.int32]:
        """[vocab_size] bytes that each id stands for: of a lossy vocabulary, in its own text."""
        return self._lengths

    def encode(self, text: str) -> base.Ids:
        """The ids of the text, without EOT; InputError for a lone surrogate."""
        data = base.utf8(text)
        ids = np.array(self.cut(text), base.id_dtype(self.vocab_size))
        if self.is_lossless:
            assert int(self.token_bytes[ids].sum()) == len(data), "ids do not add up to the text"
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[base.Ids]:
        """The same as `encode` on each text."""
        return [self.encode(text) for text in texts]

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The bytes of ids from any part of a text; InputError for an id out of range."""
        ids = base.in_range(ids, self.vocab_size)
        return b"".join([self.pieces[i] for i in ids.tolist()])

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of ids that begin a text: without the space that `encode` sets before it."""
        data = self.decode_bytes(ids)
        return (data.removeprefix(b" ") if self.has_prefix else data).decode(errors="replace")

    @functools.cached_property
    def _lengths(self) -> npt.NDArray[np.int32]:
        lengths = np.array([len(piece) for piece in self.pieces], np.int32)
        lengths.flags.writeable = False
        return lengths


def padded(pieces: Sequence[bytes], settings: Settings, file: str) -> tuple[bytes, ...]:
    """The pieces, and an empty one for every further id of the model.

    Raises InputError when the model has fewer ids than the vocabulary of `file`, or absurdly many.
    """
    size = len(pieces) if settings.vocab_size is None else settings.vocab_size
    if not len(pieces) <= size <= _MOST_IDS:
        raise InputError(
            f"{file} has {len(pieces)} ids, but config.json says vocab_size={size}; a model needs "
            f"an id for every piece, and at most {_MOST_IDS}: take both from one checkpoint."
        )
    return (*pieces, *[b""] * (size - len(pieces)))


def control(ids: Mapping[str, int], piece: str, file: str) -> int:
    """The id of a control piece, such as that of EOT; InputError when `file` has none."""
    if piece not in ids:
        raise InputError(
            f"{file} has no control piece {piece!r}, which is to begin or end documents; name one "
            "of its own as eos_token and bos_token in tokenizer_config.json: "
            f"{', '.join(map(repr, list(ids)[:8])) or 'it has none'}."
        )
    return ids[piece]


def utf8_text(content: bytes, file: str) -> str:
    """The text of a file; InputError when it is not UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}); take another copy of it.") from error
