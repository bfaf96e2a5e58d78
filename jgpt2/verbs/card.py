"""`jgpt2 card`: the model card of an exported folder, built from the records, and its check."""

from pathlib import Path

import tyro

from jgpt2.verbs import answer


def build(
    export: tyro.conf.Positional[Path],
    run: Path,
    facts: Path,
    dataset: tuple[Path, ...] = (),
    json: bool = False,
) -> None:
    """Write card.json, README.md in Japanese and English, and the loss curve into an export.

    All that the records know is taken from them; what is missing for a complete card is listed.

    Args:
        export: Folder that `jgpt2 export` made.
        run: Folder of what was exported: a run or an import.
        facts: File with what no record knows; `jgpt2 card facts` writes a template.
        dataset: Folders of the datasets that it was trained and evaluated on.
        json: Print one JSON document: the record, and what is missing.
    """
    from jgpt2 import runs
    from jgpt2.publish.card import card, completeness
    from jgpt2.train import goodput

    rows = runs.metrics(run)
    spent = goodput.total(rows).record() if goodput.segments(rows) else None
    record = card.build(export, run, datasets=dataset, facts=facts, goodput=spent)
    missing = completeness.problems(export)
    text = [f"{export}: card.json and README.md written; {_count(missing)}", *missing]
    answer.give({"card": record, "problems": missing}, "\n".join(text), json)


def check(export: tyro.conf.Positional[Path], json: bool = False) -> int:
    """Tell what keeps a card from being published, one problem a line; 2 if there is any.

    A mandatory field that is empty, a figure without its source, a file that was changed.

    Args:
        export: Exported folder with a card.
        json: Print one JSON document.
    """
    from jgpt2.errors import InputError
    from jgpt2.publish.card import completeness

    found = completeness.problems(export)
    answer.give({"problems": found}, "\n".join(found) or f"{export}: complete", json)
    return InputError.exit_code if found else 0


def facts(out: tyro.conf.Positional[Path]) -> None:
    """Write a commented template of what no record knows, for `jgpt2 card build --facts`.

    Args:
        out: File to make; it must not exist.
    """
    from jgpt2.publish.card import author

    author.write_template(out)
    print(f"{out}: fill in what is marked as required")


def _count(missing: list[str]) -> str:
    return f"{len(missing)} things are missing:" if missing else "it is complete"
