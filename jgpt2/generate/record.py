"""Generated text as it is stored: never without the label that a machine wrote it, and how.

The last step of generation; `jgpt2 generate --json`, samples of a run and published outputs all
hold these records.
"""

import dataclasses
from typing import Any

from jgpt2.generate import decode, sampling


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedText:
    """One continuation with everything needed to make it again."""

    model: str
    """Fingerprint of the run (or export) that holds the weights."""
    step: int | None
    """Training step of the weights; None where the model has no steps."""
    tokenizer: str
    """Fingerprint of the tokenizer."""
    sampler: sampling.Sampler
    seed: int
    index: int
    """Random stream of the row within the seed."""
    prompt: str
    text: str
    """The continuation, without the prompt."""
    num_tokens: int
    """Tokens of the continuation, without EOT."""
    finish: decode.Finish
    """eot, length or context: why the text ends here."""

    def record(self) -> dict[str, Any]:
        """The fields, ready for JSON, after the label that the text is synthetic.

        >>> made = GeneratedText(
        ...     model="c0ffee", step=250, tokenizer="deca", sampler=sampling.Sampler(top_k=40),
        ...     seed=0, index=0, prompt="昔々", text="、ある所に", num_tokens=5, finish="length",
        ... )
        >>> list(made.record().items())[:2]
        [('synthetic', True), ('model', 'c0ffee')]
        """
        return {"synthetic": True, **dataclasses.asdict(self)}
