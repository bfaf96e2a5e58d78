"""`jgpt2 benchmark`: what the device at hand does with a config."""

from pathlib import Path
from typing import Any, Literal

import tyro

from jgpt2.verbs import answer


def benchmark(
    config: tyro.conf.Positional[Path] = Path("configs/tiny.py"),
    what: tuple[Literal["train", "decode", "tokenise", "load"], ...] = (
        "train",
        "decode",
        "tokenise",
        "load",
    ),
    tokenizers: Path = Path("tokenizers"),
    repetitions: int = 5,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure training, decoding, tokenising and loading on the device at hand.

    Needs no dataset: ids are random, text is the shipped sample. Medians with the lowest and
    highest; compilation apart.

    Args:
        config: An author file or the config.json of a run.
        what: What to measure.
        tokenizers: Folder of tokenizers, in which the config's tokenizer is looked up.
        repetitions: Measurements of each, after one that warms up.
        json: Print one JSON document.
        out: File to write that document to as well.
    """
    from jgpt2 import benchmark as measuring
    from jgpt2 import compilation, configio, manifest
    from jgpt2.tokenizer import load

    experiment = configio.load(config)
    compilation.enable_cache()
    folder = load.find(tokenizers, experiment.tokenizer)
    result = measuring.measure(experiment, folder, what=what, repetitions=repetitions)
    if out is not None:
        manifest.write_json(out, result)
    answer.give(result, "\n".join(_lines(result)), json)


def _lines(result: dict[str, Any]) -> list[str]:
    devices, tokenizer = result["devices"], result["tokenizer"]
    lines = [
        f"{result['config']}: {result['parameters']:,} parameters, vocabulary {tokenizer['name']} "
        f"of {tokenizer['vocab_size']:,}, on {devices['number']} x {devices['kind']}"
    ]
    if train := result.get("train"):
        mfu = "" if train["mfu"] is None else f", MFU {train['mfu']:.1%}"
        lines.append(
            f"train     {_rate(train['tokens_per_s'], 'tokens/s')}{mfu}  "
            f"({train['sequences']} x {train['context']}; compiled in {train['compile_s']:.1f} s)"
        )
    if decode := result.get("decode"):
        lines += [
            f"decode    {_rate(row['tokens_per_s'], 'tokens/s')}  ({row['rows']} rows of "
            f"{decode['prompt_tokens']} + {decode['new_tokens']}; first run "
            f"{row['first_run_s']:.1f} s)"
            for row in decode["batches"]
        ]
    if tokenise := result.get("tokenise"):
        lines.append(f"encode    {_rate(tokenise['encode_mb_per_s'], 'MB/s')}")
        lines.append(f"decode    {_rate(tokenise['decode_mb_per_s'], 'MB/s')}  (ids to text)")
    if load := result.get("load"):
        lines.append(f"load      {_rate(load['tokens_per_s'], 'tokens/s')}")
    return lines


def _rate(spread: dict[str, Any], unit: str) -> str:
    places = ",.1f" if spread["median"] < 1000 else ",.0f"
    low, high = format(spread["lowest"], places), format(spread["highest"], places)
    return f"{format(spread['median'], places):>12} {unit} [{low} to {high}]"
