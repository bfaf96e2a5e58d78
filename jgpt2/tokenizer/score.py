"""The scores of a SentencePiece model, rounded so that every program adds them up alike.

A unigram vocabulary cuts a text where the scores of its pieces sum to the most. SentencePiece sums
in float32 from the start of the text, others in float64 or by line, so two ways that cost the same
but for rounding can be decided differently. Multiples of 1/64 are summed without any rounding up to
2**18, which is a text of some 25,000 pieces.
"""

import struct
from collections.abc import Iterator

from jgpt2.errors import InputError

PER_UNIT = 64
"""Steps of a score between two whole numbers."""

_PIECE, _SCORE = 0x0A, 0x15
"""Tags of the wire format: field 1 as a message in ModelProto, field 2 as a float in it."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def rounded(model: bytes) -> bytes:
    """The same SentencePiece model with every score a multiple of 1/64.

    Bytes are changed in place: its protobuf classes cannot be loaded beside other versions of
    protobuf. Raises InputError for what is no model.

    >>> rounded(bytes([0x0A, 8, 0x0A, 1, 97]) + bytes([0x15]) + struct.pack("<f", -1.234))[-4:]
    b'\\x00\\x00\\x9e\\xbf'
    >>> -79 / 64, struct.unpack("<f", b"\\x00\\x00\\x9e\\xbf")[0]
    (-1.234375, -1.234375)
    """
    changed = bytearray(model)
    try:
        for tag, start, end in fields(model, 0, len(model)):
            if tag != _PIECE:
                continue
            for inner, at, _ in fields(model, start, end):
                if inner == _SCORE:
                    (score,) = struct.unpack_from("<f", model, at)
                    struct.pack_into("<f", changed, at, round(score * PER_UNIT) / PER_UNIT)
    except (IndexError, struct.error) as error:
        raise InputError(
            f"the SentencePiece model is cut or none ({error}); train again."
        ) from None
    return bytes(changed)


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the content of each field of a message, in order."""
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, stop = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            stop = at + length
        elif kind in (_FIXED32, _FIXED64):
            stop = at + (4 if kind == _FIXED32 else 8)
        else:
            raise IndexError(f"wire type {kind} at byte {at}")
        if stop > end:
            raise IndexError(f"a field reaches beyond byte {end}")
        yield tag, at, stop
        at = stop


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
