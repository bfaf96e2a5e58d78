"""An opened model behind the methods that lm-evaluation-harness calls.

The three kinds of request are answered by the house's own scorer and decoder, so a figure of a task
rests on the same log-likelihoods as bits per byte. Every text stands after an end-of-text token, as
each document did in training. `jgpt2.harness.evaluation` runs the harness on it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jaxtyping import Int

from jgpt2 import runs
from jgpt2.evaluate import continuations
from jgpt2.generate import decode, stream
from jgpt2.harness import writing
from jgpt2.model import sharding

BATCH_ROWS = 8
"""Rows of the context's length scored at a time, and prompts continued at a time."""


class Request(Protocol):
    """What this module reads of `lm_eval.api.instance.Instance`."""

    @property
    def args(self) -> tuple[Any, ...]:
        """(context, continuation), (text,) or (context, generation arguments)."""
        ...


@dataclasses.dataclass
class Tally:
    """What was asked, and what did not go as asked."""

    loglikelihood: int = 0
    loglikelihood_rolling: int = 0
    generate_until: int = 0
    truncated: int = 0
    """Requests whose context lost its beginning, because it did not fit the window."""
    resegmented: int = 0
    """Pairs in which a token spans the border, or the continuation changes the tokens before it."""


class Adapter:
    """The model with the methods of the harness's LM; no subclass of it, for it is optional."""

    rank, world_size = 0, 1

    def __init__(
        self,
        model: runs.OpenModel,
        *,
        seed: int = 0,
        batch_rows: int = BATCH_ROWS,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        """`seed` decides what is sampled; `report(done, all)` counts windows of each kind."""
        self.model = model
        self.tally = Tally()
        self._seed = seed
        self._batch_rows = batch_rows
        self._report = report

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """For each (context, continuation): log p(both) - log p(context), and whether it is greedy.

        Each of the two texts counts under its own encoding, from their first token that differs.
        Where the tokens of the context begin those of both texts, as they nearly always do, this
        is the sum over the continuation's tokens. Where a token spans the border, no byte is lost
        or counted twice, and continuations of one context compare as whole texts do.
        """
        self.tally.loglikelihood += len(requests)
        pairs = [self._pair(*request.args) for request in requests]
        rows = [row for whole, before, _ in pairs for row in (whole, before)]
        told = iter(self._score(rows))
        answers = []
        for (_, _, shared), whole, before in zip(pairs, told, told, strict=True):
            nats = whole.nll[shared:].sum() - before.nll[shared:].sum()
            answers.append((-float(nats), bool(whole.is_likeliest[shared:].all())))
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """For each (text,): the log-likelihood of its tokens by sliding windows, without EOT."""
        self.tally.loglikelihood_rolling += len(requests)
        texts = self.model.tokenizer.encode_batch([request.args[0] for request in requests])
        return [-float(row.nll.sum()) for row in self._score([self._row(ids) for ids in texts])]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """For each (context, arguments): whole characters up to a stop string, EOT or the limit.

        What is sampled depends on the seed and on the request's number among those that share its
        arguments.
        """
        self.tally.generate_until += len(requests)
        alike: dict[writing.Writing, list[int]] = {}
        for number, request in enumerate(requests):
            asked = writing.read(request.args[1], self.model.shape.context)
            alike.setdefault(asked, []).append(number)
        written = [""] * len(requests)
        for asked, numbers in alike.items():
            for first in range(0, len(numbers), self._batch_rows):
                batch = numbers[first : first + self._batch_rows]
                prompts = [requests[number].args[0] for number in batch]
                texts = self._write(prompts, asked, first_index=first)
                for number, text in zip(batch, texts, strict=True):
                    written[number] = text
        return written

    def _pair(
        self, context: str, continuation: str
    ) -> tuple[Int[np.ndarray, " tokens1"], Int[np.ndarray, " tokens1"], int]:
        """Rows of the whole and of the context, cut alike, and how many of their targets agree."""
        # As the harness has it: blanks at the end of a context belong to what follows.
        bare = context.rstrip()
        whole, before = (
            self.model.tokenizer.encode(text) for text in (context + continuation, bare)
        )
        is_same = whole[: len(before)] == before[: len(whole)]
        shared = int(np.argmin(np.append(is_same, False)))
        cut = max(0, min(len(whole) - self.model.shape.context, shared))
        is_resegmented = shared < len(before)
        self.tally.truncated += cut > 0
        self.tally.resegmented += is_resegmented
        # A context that is shared to its end has nothing left to score.
        rest = before[cut:] if is_resegmented else before[:0]
        return self._row(whole[cut:]), self._row(rest), shared - cut

    def _row(self, ids: Int[np.ndarray, " tokens"]) -> Int[np.ndarray, " tokens1"]:
        return np.concatenate([[self.model.tokenizer.begin], ids])

    def _score(self, rows: Sequence[Int[np.ndarray, " tokens1"]]) -> list[continuations.Told]:
        mesh = self.model.mesh
        with jax.set_mesh(mesh):
            return continuations.score(
                self.model.graphdef,
                self.model.params,
                rows,
                context=self.model.shape.context,
                padding=self.model.tokenizer.eot,
                batch_rows=sharding.batch_rows(mesh, self._batch_rows),
                sharding=sharding.batch_sharding(mesh),
                report=self._report,
            )

    def _write(
        self, prompts: Sequence[str], asked: writing.Writing, *, first_index: int
    ) -> list[str]:
        """Continues a batch until each of its rows has ended or holds a stop string."""
        room = self.model.shape.context - asked.max_tokens
        encoded = self.model.tokenizer.encode_batch(list(prompts))
        self.tally.truncated += sum(len(ids) > room for ids in encoded)
        streams = [stream.TextStream(self.model.tokenizer) for _ in prompts]
        texts, is_done = [""] * len(prompts), [False] * len(prompts)
        chunks = decode.stream(
            self.model.graphdef,
            self.model.params,
            self.model.shape,
            [ids[-room:] for ids in encoded],
            begin=self.model.tokenizer.begin,
            eot=self.model.tokenizer.eot,
            sampler=asked.sampler,
            seed=self._seed,
            first_index=first_index,
            max_tokens=asked.max_tokens,
            sharding=sharding.replicated(self.model.mesh),
        )
        while not all(is_done):
            for i, row in enumerate(next(chunks)):
                texts[i] += streams[i].feed(row.ids)
                has_stop = any(stop in texts[i] for stop in asked.until)
                is_done[i] = is_done[i] or has_stop or row.finish is not None
        return [asked.before_stop(text) for text in texts]
