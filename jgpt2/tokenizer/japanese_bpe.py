"""tanreinama's Japanese-BPEEncoder, the vocabulary of gpt2-japanese: ja-bpe.txt and emoji.json.

An own writing of its rules: spaces, line breaks and tabs become marks, emoji and kaomoji one of
twelve classes, two dashes a long vowel sign; then the text is cut from the left into words of two
characters, of one, or UTF-8 bytes. That loses which space, which line break, dash and emoji it was.
There the marks are spelled in the text itself, so that a text that spells `<BR>` or `<|endoftext|>`
gives their ids. Here such a text gives ordinary characters, and only the ids of such texts differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jgpt2 import untrusted
from jgpt2.errors import InputError
from jgpt2.tokenizer import adopted

VOCAB = "ja-bpe.txt"
EMOJI = "emoji.json"
EOT_PIECE = "<|endoftext|>"
_MARKED = (
    (" ", "<SP>"),
    ("\u3000", "<SP>"),
    ("\r\n", "<BR>"),
    ("\n", "<BR>"),
    ("\r", "<BR>"),
    ("\t", "<TAB>"),
)
_REWRITTEN = (("—", "ー"), ("−", "ー"))
_BYTE_PIECES = {f"<|byte{byte}|>": bytes([byte]) for byte in range(256)}
_HIGHEST_BYTE = 0xF4
"""UTF-8 has none above it."""
_FIRST_MARK = 0xD800
"""Marks are lone surrogates while a text is cut: no valid text holds one."""


@dataclass(frozen=True)
class _Cut:
    words: Mapping[str, int]
    """Words of one or two characters, among them the marks."""
    bytes_ids: tuple[int, ...]
    replacements: tuple[tuple[str, str], ...]
    """What becomes what, in this order."""

    def __call__(self, text: str) -> list[int]:
        present = {*text, "ー"}
        for old, new in self.replacements:
            if old[0] in present and old in text:
                text = text.replace(old, new)
        ids: list[int] = []
        at = 0
        while at < len(text):
            for length in (2, 1):
                word = self.words.get(text[at : at + length])
                if word is not None:
                    ids.append(word)
                    break
            else:
                length = 1
                ids += [self.bytes_ids[byte] for byte in text[at].encode()]
            at += length
        return ids


def from_files(
    files: Mapping[str, bytes], settings: adopted.Settings, *, name: str, fingerprint: str
) -> adopted.Adopted:
    """The vocabulary of the two files' content; InputError names the file that cannot be used."""
    pieces = adopted.utf8_text(files[VOCAB], VOCAB).split("\n")
    ids = {piece: i for i, piece in enumerate(pieces)}
    if len(ids) < len(pieces) or "" in ids:
        first = next(i for i, piece in enumerate(pieces) if not piece or ids[piece] != i)
        raise InputError(
            f"line {first + 1} of {VOCAB} is empty or stands twice; every line is the piece of one "
            "id: take another copy of it."
        )
    emoji, shown = (_table(files[EMOJI], key) for key in ("emoji", "emoji_inv"))
    _require_pieces(ids, emoji, shown)
    eot = adopted.control(ids, settings.eot_piece, VOCAB)
    begin = settings.begin_piece
    stands_for = {
        **_BYTE_PIECES,
        **{piece: text.encode() for piece, text in shown.items()},
        "<SP>": b" ",
        "<BR>": b"\n",
        "<TAB>": b"\t",
        settings.eot_piece: b"",
    }
    of_ids = [stands_for.get(piece, piece.encode()) for piece in pieces]
    padded = adopted.padded(of_ids, settings, VOCAB)
    is_byte = [piece in _BYTE_PIECES for piece in pieces]
    return adopted.Adopted(
        name=name,
        kind="japanese_bpe",
        fingerprint=fingerprint,
        eot=eot,
        begin=eot if begin is None else adopted.control(ids, begin, VOCAB),
        is_lossless=False,
        pieces=padded,
        is_byte=np.array(is_byte + [False] * (len(padded) - len(pieces))),
        cut=_cut(ids, emoji),
    )


def _cut(ids: Mapping[str, int], emoji: Mapping[str, str]) -> _Cut:
    named = dict.fromkeys([mark for _, mark in _MARKED] + list(emoji.values()))
    marks = {piece: chr(_FIRST_MARK + number) for number, piece in enumerate(named)}
    return _Cut(
        words={piece: i for piece, i in ids.items() if len(piece) <= 2}
        | {mark: ids[piece] for piece, mark in marks.items()},
        bytes_ids=tuple(ids[f"<|byte{byte}|>"] for byte in range(_HIGHEST_BYTE + 1)),
        replacements=(
            *((old, marks[mark]) for old, mark in _MARKED),
            *_REWRITTEN,
            *((old, marks[mark]) for old, mark in emoji.items()),
        ),
    )


def _table(content: bytes, key: str) -> dict[str, str]:
    found: Any = untrusted.json_object(content, EMOJI).get(key)
    is_table = isinstance(found, dict) and all(
        old and isinstance(new, str) for old, new in found.items()
    )
    if not is_table:
        raise InputError(
            f"{EMOJI} has no table {key!r} of texts and texts; take another copy of it."
        )
    return found


def _require_pieces(
    ids: Mapping[str, int], emoji: Mapping[str, str], shown: Mapping[str, str]
) -> None:
    classes = set(emoji.values())
    needed = {mark for _, mark in _MARKED} | classes
    needed |= {f"<|byte{byte}|>" for byte in range(_HIGHEST_BYTE + 1)}
    if lacking := sorted(needed - ids.keys()) or sorted(classes - shown.keys()):
        raise InputError(
            f"{VOCAB} or {EMOJI} lacks {lacking[0]!r}, which the encoder needs; take both files "
            "of one copy of Japanese-BPEEncoder."
        )
