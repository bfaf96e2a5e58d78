"""What a purse buys: text for this config, and the largest model and vocabulary it would train.

Only this config is compiled. Other sizes and vocabularies are scaled from it by their analytic
FLOPs, as if they ran at the same utilisation, and are marked so.
"""

from collections.abc import Sequence
from typing import Any

from jgpt2 import config
from jgpt2.model import count, sizes
from jgpt2.plan import prices
from jgpt2.plan.vocabulary import Vocabulary

TOKENS_PER_PARAMETER = 20
"""Of a compute-optimal run (Hoffmann et al. 2022, "Chinchilla", table 3)."""
RULE = (
    f"the largest named size whose {TOKENS_PER_PARAMETER} tokens per parameter (Hoffmann et al. "
    "2022) the purse pays, and the largest vocabulary with which it pays the bytes of text of this "
    "budget; scaled by FLOPs from this compile, at the same utilisation"
)


def buys(
    forecast: dict[str, Any],
    experiment: config.Experiment,
    *,
    price: prices.Price,
    usd: float | None,
    jpy: float | None,
    vocabularies: Sequence[Vocabulary],
) -> dict[str, Any] | None:
    """What the purse, in dollars or in yen, buys; None where there is no price or no fit."""
    chip_hours = price.chip_hours(usd=usd, jpy=jpy)
    if chip_hours is None or forecast["step_time_s"] is None:
        return None
    hours = chip_hours / forecast["chips"]
    tokens = hours * 3600 * forecast["tokens_per_s"]
    per_token = forecast["bytes_per_token"]
    flops = tokens * forecast["flops_per_token"]
    models = [_model(name, forecast["vocab_size"], flops) for name in sizes.names()]
    texts = [_text(vocabulary, experiment.model, forecast, flops) for vocabulary in vocabularies]
    texts = [row for row in texts if row is not None]
    return {
        "budget_usd": usd if usd is not None else (jpy or 0.0) / price.jpy_per_usd,
        "budget_jpy": jpy if jpy is not None else (usd or 0.0) * price.jpy_per_usd,
        "hours": hours,
        "tokens": tokens,
        "bytes": per_token and tokens * per_token,
        "tokens_per_parameter": tokens / forecast["parameters"],
        "flops": flops,
        "rule": RULE,
        "largest_model": _largest_paid(models, "parameters"),
        "models": models,
        "largest_vocabulary": _largest_paid(texts, "vocab_size"),
        "vocabularies": texts,
    }


def _model(name: str, vocab_size: int, flops: float) -> dict[str, Any]:
    model = sizes.by_name(name)[1]
    parameters = count.parameters(model, vocab_size)
    tokens = TOKENS_PER_PARAMETER * parameters
    needed = tokens * count.flops_per_token(model, vocab_size)
    return {"name": name, "parameters": parameters, "tokens": tokens, "share": flops / needed}


def _text(
    vocabulary: Vocabulary, model: config.Model, forecast: dict[str, Any], flops: float
) -> dict[str, Any] | None:
    """How often the purse pays the text of the budget when it is cut by another vocabulary."""
    if vocabulary.bytes_per_token is None or forecast["bytes"] is None:
        return None
    tokens = forecast["bytes"] / vocabulary.bytes_per_token
    needed = tokens * count.flops_per_token(model, vocabulary.vocab_size)
    return {
        "name": vocabulary.name,
        "vocab_size": vocabulary.vocab_size,
        "bytes_per_token": vocabulary.bytes_per_token,
        "tokens": tokens,
        "share": flops / needed,
    }


def _largest_paid(rows: list[dict[str, Any]], size: str) -> str | None:
    """Name of the largest that the purse pays in full; of equals, the first."""
    paid = [row for row in rows if row["share"] >= 1]
    return max(paid, key=lambda row: row[size])["name"] if paid else None
