"""`jgpt2 memorisation`: how much of its training documents a model repeats exactly."""

import shlex
from pathlib import Path

import tyro

from jgpt2.verbs import answer


def memorisation(
    run: tyro.conf.Positional[Path],
    dataset: Path,
    prompts: int = 1000,
    prompt_tokens: int = 50,
    span_tokens: int = 50,
    prompt_chars: int = 50,
    span_chars: int = 50,
    seed: int = 0,
    step: int | None = None,
    json: bool = False,
) -> None:
    """Count training documents whose beginning makes the model repeat what follows, exactly.

    The test split is the control. Counted in tokens, as is usual, and in characters, in which
    vocabularies compare. Writes memorisation.json into the run folder, for the model card.

    Args:
        run: Run folder.
        dataset: Folder of a dataset that it was trained on.
        prompts: Documents of each split, fewer where there are no more.
        prompt_tokens: Tokens of a document that are given.
        span_tokens: Tokens after them that must be repeated.
        prompt_chars: The same in characters.
        span_chars: The same in characters.
        seed: Which documents are drawn.
        step: Checkpoint; the best by validation bits per byte if not given.
        json: Print one JSON document.
    """
    from jgpt2 import compilation, manifest, memorisation, progress, runs, table

    lengths = [
        memorisation.Lengths(unit="tokens", prompt=prompt_tokens, span=span_tokens),
        memorisation.Lengths(unit="chars", prompt=prompt_chars, span=span_chars),
    ]
    described = memorisation.require_trained_on(run, dataset)
    compilation.enable_cache()
    model = runs.open_model(run, step=step)
    with progress.of_work("continuing", "documents") as report:
        told = memorisation.probe(
            model, dataset, lengths, prompts=prompts, seed=seed, report=report
        )
    command = ["jgpt2", "memorisation", f"runs/{manifest.read(run).name}"]
    command += ["--dataset", f"data/{described.name}", "--step", str(model.step)]
    command += ["--prompts", str(prompts), "--seed", str(seed)]
    for of in lengths:
        command += [f"--prompt-{of.unit}", str(of.prompt), f"--span-{of.unit}", str(of.span)]
    record = {
        "command": shlex.join(command),
        "model": model.fingerprint,
        "step": model.step,
        "tokenizer": model.tokenizer.fingerprint,
        "dataset": described.fingerprint,
        "seed": seed,
        **told,
    }
    manifest.write_json(run / memorisation.FILE_NAME, record)
    answer.give(record, table.text(memorisation.COLUMNS, memorisation.rows(told)), json)
