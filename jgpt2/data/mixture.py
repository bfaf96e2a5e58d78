"""Several datasets as one training text: which share each has, and which of them gives which row.

Weights are shares of bytes, rows are drawn by shares of tokens, and `Interleaving` spreads the rows
as evenly as whole rows can be. Between `jgpt2.data.tokens` (the streams) and `jgpt2.data.loader`
(the rows); a dataset alone is a mixture of one.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jgpt2.data import tokens
from jgpt2.errors import InputError


@dataclass(frozen=True, eq=False)
class Part:
    """One dataset of a mixture."""

    name: str
    stream: tokens.Tokens
    weight: float = 1.0
    """Share of the bytes of text, before the weights are divided by their sum."""

    @property
    def bytes_per_token(self) -> Fraction:
        """Average over the stream, exact."""
        return Fraction(self.stream.num_bytes, self.stream.num_tokens)


@dataclass(frozen=True, eq=False)
class Mixture:
    """The streams that a run is trained on, each with its weight."""

    parts: tuple[Part, ...]

    @property
    def byte_shares(self) -> tuple[Fraction, ...]:
        """Share of the bytes of text, by weight."""
        return byte_shares([part.weight for part in self.parts])

    @property
    def row_shares(self) -> tuple[Fraction, ...]:
        """Share of the rows, which all have equally many tokens: by weight x tokens / bytes.

        Half of the bytes from a text of 3 bytes per token and half from one of 2 is 2/5 and 3/5 of
        the tokens: 2/5 x 3 = 3/5 x 2.
        """
        if len(self.parts) == 1:  # which may be without a byte
            return (Fraction(1),)
        shares = [
            share / part.bytes_per_token
            for part, share in zip(self.parts, self.byte_shares, strict=True)
        ]
        return tuple(share / sum(shares) for share in shares)

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of text per token of the rows, on average."""
        shares = zip(self.parts, self.row_shares, strict=True)
        return float(sum(share * part.bytes_per_token for part, share in shares))

    def describe(self, *, num_rows: int, context: int) -> dict[str, dict[str, Any]]:
        """Name -> what a run of `num_rows` rows takes from that dataset.

        `epochs` is how often each of its tokens is predicted; up to about 4 teach nearly as much
        as new text would (Muennighoff et al. 2023, arXiv:2305.16264).
        """
        counts = Interleaving(self.row_shares).counts(num_rows)
        facts = zip(self.parts, self.byte_shares, self.row_shares, counts, strict=True)
        return {
            part.name: {
                "byte_share": round(float(byte_share), 6),
                "row_share": round(float(row_share), 6),
                "rows": count,
                "epochs": round(count / num_windows(part.stream, context), 4),
            }
            for part, byte_share, row_share, count in facts
        }


def byte_shares(weights: Iterable[float]) -> tuple[Fraction, ...]:
    """The weights over their sum, taken as they are written.

    >>> byte_shares([0.1, 0.2])
    (Fraction(1, 3), Fraction(2, 3))
    """
    exact = [Fraction(str(weight)) for weight in weights]
    return tuple(weight / sum(exact) for weight in exact)


def alone(stream: tokens.Tokens, name: str = "the split") -> Mixture:
    """The mixture of one stream."""
    return Mixture((Part(name, stream),))


def training(weights: Mapping[str, float], stores: Mapping[str, tokens.TokenStore]) -> Mixture:
    """The train splits of the stores of the datasets that `weights` names."""
    return Mixture(
        tuple(Part(name, stores[name].split("train"), weight) for name, weight in weights.items())
    )


def num_windows(stream: tokens.Tokens, context: int) -> int:
    """Rows in one epoch of a stream: `context + 1` tokens at stride `context`."""
    return (stream.num_tokens - 1) // context


def check(mixture: Mixture, *, context: int) -> None:
    """InputError, by name, when a stream has not one row, or no text that a weight could be of."""
    for part in mixture.parts:
        num_tokens = part.stream.num_tokens
        if num_tokens <= context:
            raise InputError(
                f"the train split of {part.name} has {num_tokens} tokens, but one row takes "
                f"context + 1 = {context + 1}; lower model.context to {max(num_tokens - 1, 1)} or "
                "less, or add text."
            )
        if len(mixture.parts) > 1 and not part.stream.num_bytes:
            raise InputError(
                f"all training documents of {part.name} are empty, so it has no share of the "
                "bytes; leave it out of the mixture."
            )


@dataclass(frozen=True)
class _Fork:
    """Two groups of sources; of the rows that come here, `left_share / total` go to the left."""

    left: "_Fork | int"
    right: "_Fork | int"
    left_share: int
    total: int

    def left_rows(self, num_rows: int) -> tuple[int, bool]:
        """How many of the first `num_rows` rows go to the left, the nearest whole number.

        And whether the row after them does.
        """
        # round(n x share / total) is this quotient; one row more adds 2 x share to the remainder.
        rows, rest = divmod(2 * num_rows * self.left_share + self.total, 2 * self.total)
        return rows, rest + 2 * self.left_share >= 2 * self.total


@dataclass(frozen=True)
class Interleaving:
    """Which of several sources gives each row of an endless sequence, spread evenly.

    Rows are shared out at the forks of a Huffman tree over the shares, each time to the nearest
    whole number. So of any first N rows source s has share_s x N, to within 1/2 for two sources and
    to within 1.68 for any number: an error of 1/2 at a fork reaches a source below it by the ratio
    of their shares, and shares towards the root of a Huffman tree grow as the Fibonacci numbers,
    whose reciprocals sum to 3.36. Integers throughout: exact at any row, in steps of the tree's
    depth. (`grain.MapDataset.mix` rounds shares to 1% of the smallest.)
    """

    shares: Sequence[Fraction]
    _root: _Fork | int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        common = math.lcm(*(share.denominator for share in self.shares))
        number = itertools.count()  # of two equal shares the one that was made first
        heap: list[tuple[int, int, _Fork | int]] = [
            (int(share * common), next(number), source) for source, share in enumerate(self.shares)
        ]
        heapq.heapify(heap)
        while len(heap) > 1:
            (share, _, left), (other, _, right) = heapq.heappop(heap), heapq.heappop(heap)
            divisor = math.gcd(share, other)
            fork = _Fork(left, right, share // divisor, (share + other) // divisor)
            heapq.heappush(heap, (share + other, next(number), fork))
        object.__setattr__(self, "_root", heap[0][2])

    def place(self, row: int) -> tuple[int, int]:
        """(source, how many earlier rows it has given) of a row."""
        node = self._root
        while isinstance(node, _Fork):
            left, is_left = node.left_rows(row)
            row, node = (left, node.left) if is_left else (row - left, node.right)
        return node, row

    def counts(self, num_rows: int) -> tuple[int, ...]:
        """How many of the first `num_rows` rows each source gives."""
        counts = [0] * len(self.shares)
        waiting = [(self._root, num_rows)]
        while waiting:
            node, rows = waiting.pop()
            if isinstance(node, _Fork):
                left, _ = node.left_rows(rows)
                waiting += [(node.left, left), (node.right, rows - left)]
            else:
                counts[node] = rows
        return tuple(counts)
