"""`jgpt2 evaluate`: bits per byte of a trained model."""

from pathlib import Path

import tyro

from jgpt2.verbs import answer


def evaluate(
    run: tyro.conf.Positional[Path],
    dataset: Path | None = None,
    split: str = "test",
    text: tuple[Path, ...] = (),
    step: int | None = None,
    stride: int | None = None,
    xz: bool = False,
    documents: bool = False,
    json: bool = False,
) -> int:
    """Bits per byte and per character of a trained model, overall and by source.

    Writes evaluation.json into the run folder. SIGTERM ends it with 42: start the same command
    again.

    Args:
        run: Run folder.
        dataset: Folder of the dataset to evaluate on.
        split: Which split of it.
        text: Files or folders to evaluate on, in place of a dataset.
        step: Checkpoint; the best by validation bits per byte if not given.
        stride: Tokens between the windows of long documents; half the context if not given.
        xz: Set `xz -9e` of the same documents beside it.
        documents: Add a row for every document.
        json: Print one JSON document.
    """
    from jgpt2 import compilation, inference, manifest, progress, runs, table
    from jgpt2.evaluate import suite
    from jgpt2.train import stop

    with stop.giving_up():
        chosen = list(answer.documents(dataset, split, text))
        compilation.enable_cache()
        model = runs.open_model(run, step=step)
        if dataset is None:
            evaluated: str | list[str] = [str(path) for path in text]
        else:
            evaluated = f"{split} of {manifest.read(dataset, kind='dataset').fingerprint}"
        with progress.of_work("evaluating", "windows") as report:
            record = inference.evaluate(
                model,
                chosen,
                evaluated=evaluated,
                stride=stride,
                with_documents=documents,
                with_xz=xz,
                report=report,
            )
    manifest.write_json(run / runs.EVALUATION, record)
    answer.give(record, table.text(*suite.table(record)), json)
    return 0
