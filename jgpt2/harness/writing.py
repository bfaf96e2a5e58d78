"""How a task of the harness wants its text written: a sampler, a limit and stop strings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jgpt2.errors import InputError
from jgpt2.generate import sampling

MAX_TOKENS = 256
"""Tokens for a task that names no number, as in the harness; at most half of the context."""
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""What tasks call the limit; the first that is there counts, as in the harness."""


@dataclasses.dataclass(frozen=True)
class Writing:
    """What the generation arguments of a request ask for."""

    sampler: sampling.Sampler
    max_tokens: int
    until: tuple[str, ...]
    """Stop strings, which are no part of the answer."""

    def before_stop(self, text: str) -> str:
        """The text up to the first of the stop strings.

        >>> Writing(sampling.Sampler(), 9, ("。", "都")).before_stop("東京都。")
        '東京'
        """
        return text[: min((text.index(stop) for stop in self.until if stop in text), default=None)]


def read(given: Mapping[str, Any], context: int) -> Writing:
    """The `generation_kwargs` of a task, for a model of this context.

    Without `do_sample` and `temperature` the likeliest token is always taken. Raises InputError for
    what cannot be obeyed.
    """
    limits = [given[name] for name in _LIMITS if given.get(name) is not None]
    max_tokens = int(limits[0]) if limits else min(MAX_TOKENS, context // 2)
    known = {*_LIMITS, "until", "do_sample", "temperature", "top_k", "top_p"}
    if set(given) - known:
        raise InputError(
            f"a task asks for {', '.join(sorted(set(given) - known))} in its generation_kwargs, "
            "which this decoder does not know; it knows until, max_gen_toks, do_sample, "
            "temperature, top_k and top_p."
        )
    if not 1 <= max_tokens < context:
        raise InputError(
            f"a task asks for max_gen_toks={max_tokens}, but the context of {context} tokens must "
            f"hold the prompt too; choose 1 to {context - 1} in its generation_kwargs."
        )
    is_sampled = given.get("do_sample")
    temperature = given.get("temperature", 1.0 if is_sampled else 0.0)
    until = given.get("until") or ()
    return Writing(
        sampling.Sampler(
            temperature=0.0 if is_sampled is False else float(temperature),
            top_k=given.get("top_k"),
            top_p=given.get("top_p"),
        ),
        max_tokens,
        tuple(stop for stop in ((until,) if isinstance(until, str) else until) if stop),
    )
