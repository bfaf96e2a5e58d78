"""A batch of continuations put together as text, shown piece by piece while it grows.

Between `jgpt2.generate.decode` (chunks of ids) and a terminal or a record.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jgpt2.generate import decode, stream
from jgpt2.tokenizer import base


@dataclass(frozen=True)
class Written:
    """One finished continuation."""

    text: str
    """Without the prompt; bytes that are no UTF-8 are U+FFFD."""
    num_tokens: int
    """Tokens of the continuation, without EOT."""
    finish: decode.Finish


def collect(
    chunks: Iterable[Sequence[decode.Row]],
    tokenizer: base.Tokenizer,
    *,
    show: Callable[[int, str], None] | None = None,
) -> list[Written]:
    """The text of every row; `show(row, piece)` gets whole characters as soon as there are any."""
    streams: list[stream.TextStream] = []
    pieces: list[list[str]] = []
    num_tokens: list[int] = []
    finish: list[decode.Finish | None] = []
    for rows in chunks:
        if not streams:
            streams = [stream.TextStream(tokenizer) for _ in rows]
            pieces, num_tokens, finish = [[] for _ in rows], [0] * len(rows), [None] * len(rows)
        for i, row in enumerate(rows):
            is_ending = row.finish is not None and finish[i] is None
            piece = streams[i].feed(row.ids) + (streams[i].finish() if is_ending else "")
            num_tokens[i] += len(row.ids)
            finish[i] = row.finish
            pieces[i].append(piece)
            if show is not None and piece:
                show(i, piece)
    return [
        Written("".join(parts), count, end)
        for parts, count, end in zip(pieces, num_tokens, finish, strict=True)
        if end is not None
    ]
