"""`jgpt2 release`: a staged release, each stage by its gates, and what partners are given."""

import datetime
from pathlib import Path

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import answer


def template(out: tyro.conf.Positional[Path]) -> None:
    """Write a commented policy of a staged release, from small to xl.

    Args:
        out: File to make; it must not exist.
    """
    from jgpt2.publish.release import policy

    policy.write_template(out)
    print(f"{out}: name the stages and their folders, and answer the questions of review")


def plan(policy: tyro.conf.Positional[Path], json: bool = False) -> None:
    """Tell how far a staged release is: what is published, and what keeps the next stage.

    Args:
        policy: TOML file of the release; `jgpt2 release template` writes one.
        json: Print one JSON document.
    """
    from jgpt2 import table
    from jgpt2.publish.release import stages

    told = stages.plan(policy, _now())
    rows = [
        [
            stage["stage"],
            stage["state"],
            (stage["since"] or "")[:10],
            *(
                ", ".join(gate["gate"] for gate in stage["gates"] if gate["state"] == state) or "–"
                for state in ("waived", "failed")
            ),
        ]
        for stage in told
    ]
    text = table.text(["stage", "state", "since", "waived", "not passed"], rows)
    next_steps = [f"{stage['stage']}: {stage['next']}" for stage in told]
    answer.give({"stages": told}, "\n".join([text, "", "next", *next_steps]), json)


def check(policy: tyro.conf.Positional[Path], stage: str, json: bool = False) -> None:
    """Ask every gate of a stage; 2, with the remedies, where one keeps it from being published.

    Args:
        policy: TOML file of the release.
        stage: Name of the stage.
        json: Print one JSON document.
    """
    import dataclasses

    from jgpt2 import table
    from jgpt2.publish.release import stages

    answers = stages.check(policy, stage, _now())
    rows = [
        [one.gate, one.state, one.found if one.waiver is None else one.waiver["reason"]]
        for one in answers
    ]
    value = {"stage": stage, "gates": [dataclasses.asdict(one) for one in answers]}
    answer.give(value, table.text(["gate", "state", "found"], rows), json)
    if missing := stages.failing(answers):
        raise InputError(f"{stage} cannot be published. {' | '.join(missing)}.")


def publish(policy: tyro.conf.Positional[Path], stage: str, by: str, json: bool = False) -> None:
    """Ask every gate again and sign a stage off: its record and a line of the ledger.

    Nothing is uploaded; `jgpt2 upload` does that.

    Args:
        policy: TOML file of the release.
        stage: Name of the stage.
        by: Who answers for it.
        json: Print one JSON document: the record.
    """
    from jgpt2.publish.release import stages

    record = stages.publish(policy, stage, by=by, now=_now())
    waived = [one["gate"] for one in record["gates"] if one["state"] == "waived"]
    text = (
        f"{stage}: signed off by {by}, export {record['export'][:12]}, waived: "
        f"{', '.join(waived) or 'nothing'}; nothing was uploaded"
    )
    answer.give(record, text, json)


def withdraw(
    policy: tyro.conf.Positional[Path], stage: str, reason: str, by: str, json: bool = False
) -> None:
    """Note that a published stage is taken back; no later stage can be published then.

    Nothing is removed: take the files away where they were uploaded.

    Args:
        policy: TOML file of the release.
        stage: Name of the stage.
        reason: Why.
        by: Who answers for it.
        json: Print one JSON document: the line of the ledger.
    """
    from jgpt2.publish.release import stages

    line = stages.withdraw(policy, stage, reason=reason, by=by, now=_now())
    answer.give(line, f"{stage}: withdrawn, line {line['number']} of the ledger", json)


def bundle(
    policy: tyro.conf.Positional[Path],
    stage: str,
    partner: str,
    out: Path,
    by: str,
    json: bool = False,
) -> None:
    """Make the folder for one partner: the model, an agreement to fill in, SHA256SUMS.

    Args:
        policy: TOML file of the release.
        stage: Name of the stage, published or not.
        partner: Who is given it.
        out: Folder to make; it must not exist.
        by: Who gives it.
        json: Print one JSON document: the line of the ledger.
    """
    from jgpt2.publish.release import bundle as bundles

    line = bundles.build(policy, stage, partner=partner, out=out, by=by, now=_now())
    text = f"{out}: {stage} for {partner}; SHA256SUMS has SHA-256 {line['sums']}"
    answer.give(line, text, json)


def verify(bundle: tyro.conf.Positional[Path], json: bool = False) -> None:
    """Compare every byte of a partner's bundle with what was made, from the folder alone.

    Args:
        bundle: Folder that `jgpt2 release bundle` made.
        json: Print one JSON document.
    """
    from jgpt2.publish.release import bundle as bundles

    sums = bundles.verify(bundle)
    text = f"{bundle}: as it was made; SHA256SUMS has SHA-256 {sums}: compare it with the giver's"
    answer.give({"sums": sums}, text, json)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
