"""A staged release at work: what is published, what keeps the next stage, the signed-off record.

Beside the policy lie `ledger.jsonl` and `stages/NAME.json`, the record of a publication: which
export, what each gate said, what was waived and why, who answers for it. Nothing is uploaded here.
"""

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any, Literal

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.release import gates, ledger
from jgpt2.publish.release import policy as policies

RECORDS = "stages"

State = Literal["passed", "waived", "failed"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one gate said of a stage, and whether it stands in the way."""

    gate: str
    state: State
    found: str
    remedy: str
    """Empty unless it failed."""
    waiver: dict[str, str] | None
    """Reason, by and date, where it did not pass and need not."""


def check(policy_file: Path, name: str, now: datetime.datetime) -> list[Answer]:
    """What every gate says of a stage. DamageError where ledger or records were changed."""
    policy = policies.load(policy_file)
    return _check(policy_file, policy, policy.named(name), history(policy_file), now)


def failing(answers: list[Answer]) -> list[str]:
    """One line for each gate that stands in the way, with its remedy."""
    failed = (one for one in answers if one.state == "failed")
    return [f"{one.gate}: {one.found}; {one.remedy}" for one in failed]


def plan(policy_file: Path, now: datetime.datetime) -> list[dict[str, Any]]:
    """Every stage of the ladder: its state, since when, its gates, and what to do next."""
    policy, lines = policies.load(policy_file), history(policy_file)
    told = []
    for stage in policy.stage:
        line = ledger.latest(lines, stage.name)
        state = line["event"] if line else "waiting"
        answers = _check(policy_file, policy, stage, lines, now)
        told.append(
            {
                "stage": stage.name,
                "state": state,
                "since": line["time"] if line else None,
                "export": stage.export,
                "gates": [dataclasses.asdict(answer) for answer in answers],
                "next": _next(policy_file, stage, line, answers),
            }
        )
    return told


def publish(policy_file: Path, name: str, *, by: str, now: datetime.datetime) -> dict[str, Any]:
    """Asks all gates again, writes the signed-off record and the ledger's line; the record.

    Raises InputError where a gate fails, or the stage is published already.
    """
    require_words("--by", by)
    policy, lines = policies.load(policy_file), history(policy_file)
    stage = policy.named(name)
    if line := ledger.published(lines, name):
        raise InputError(
            f"{name} was published on {line['time'][:10]}; `jgpt2 release withdraw` it before "
            "another export is published in its place."
        )
    answers = _check(policy_file, policy, stage, lines, now)
    if missing := failing(answers):
        raise InputError(f"{name} cannot be published. {' | '.join(missing)}.")
    record = {
        "stage": name,
        "export": _fingerprint(policy_file, stage),
        "gates": [dataclasses.asdict(answer) for answer in answers],
        "review": dataclasses.asdict(stage.review),
        "by": by,
        "time": now.isoformat(timespec="seconds"),
        "code_version": manifest.code_version(),
        "ledger": lines[-1]["digest"] if lines else None,
    }
    times = sum((one["event"], one["stage"]) == ("published", name) for one in lines)
    file = f"{RECORDS}/{name}.json" if not times else f"{RECORDS}/{name}.{times + 1}.json"
    path = policy_file.parent / file
    manifest.write_json(path, record)
    proof = {"file": file, "sha256": storage.entry(path)["sha256"]}
    told = {"stage": name, "export": record["export"], "by": by, "record": proof}
    ledger.append(policy_file.parent, "published", now, **told)
    return record


def withdraw(
    policy_file: Path, name: str, *, reason: str, by: str, now: datetime.datetime
) -> ledger.Line:
    """Notes that a published stage is taken back: the stages after it cannot be published then."""
    require_words("--by", by)
    require_words("--reason", reason)
    policies.load(policy_file).named(name)
    line = ledger.published(history(policy_file), name)
    if line is None:
        raise InputError(f"{name} is not published, so that nothing is there to withdraw.")
    told = {"stage": name, "export": line["export"], "by": by, "reason": reason}
    return ledger.append(policy_file.parent, "withdrawn", now, **told)


def history(policy_file: Path) -> list[ledger.Line]:
    """The ledger's lines, whose records of publications are as they were written."""
    lines = ledger.read(policy_file.parent)
    for line in lines:
        if line["event"] == "published":
            path = policy_file.parent / line["record"]["file"]
            if not path.is_file() or storage.entry(path)["sha256"] != line["record"]["sha256"]:
                raise DamageError(
                    f"{path} is missing or was changed after line {line['number']} of "
                    f"{ledger.FILE_NAME} was written; restore it from a copy."
                )
    return lines


def require_words(flag: str, text: str) -> None:
    """InputError unless something is said, in one line."""
    if not text.strip() or re.search(r"[\r\n]", text):
        raise InputError(f"{flag} {text!r} says nothing, or more than a line; give one line.")


def folder_of(policy_file: Path, stage: policies.Stage) -> Path:
    """The exported folder of a stage."""
    return policy_file.parent / stage.export


def _fingerprint(policy_file: Path, stage: policies.Stage) -> str:
    return manifest.read(folder_of(policy_file, stage), kind="export").fingerprint


def _check(
    policy_file: Path,
    policy: policies.Policy,
    stage: policies.Stage,
    lines: list[ledger.Line],
    now: datetime.datetime,
) -> list[Answer]:
    folder = folder_of(policy_file, stage)
    candidate = gates.Candidate(stage, folder, policy, lines, now)
    return [_answer(gate, candidate) for gate in policies.GATES]


def _answer(gate: str, candidate: gates.Candidate) -> Answer:
    outcome = gates.ask(gate, candidate)
    waiver = candidate.policy.waiver_of(candidate.stage, gate)
    if outcome.passed:
        return Answer(gate, "passed", outcome.found, "", None)
    if waiver is None:
        return Answer(gate, "failed", outcome.found, outcome.remedy, None)
    told = {"reason": waiver.reason, "by": waiver.by, "date": waiver.date.isoformat()}
    return Answer(gate, "waived", outcome.found, "", told)


def _next(
    policy_file: Path, stage: policies.Stage, line: ledger.Line | None, answers: list[Answer]
) -> str:
    """What to do about a stage."""
    missing = failing(answers)
    if line is not None and line["event"] == "published":
        intact = answers[0].state == "passed"
        if intact and _fingerprint(policy_file, stage) == line["export"]:
            return "nothing"
        return f"{stage.export} is no longer what was published: restore it, or withdraw the stage"
    return missing[0] if missing else "publish it"
