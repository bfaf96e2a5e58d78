"""The gates of a staged release: each asks one question of a candidate, and tells what it found.

Pure functions of the exported folder, the policy, the ledger and the clock. What is missing comes
with its remedy; nothing here decides what a figure must be, only that it was measured and told.
"""

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.release import ledger, policy

CARD = "card.json"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A stage that asks to be published."""

    stage: policy.Stage
    folder: Path
    """Its exported folder."""
    policy: policy.Policy
    lines: list[ledger.Line]
    now: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one gate says of a candidate."""

    passed: bool
    found: str
    remedy: str = ""


def ask(gate: str, candidate: Candidate) -> Outcome:
    """The outcome of a gate, by its name."""
    return _GATES[gate](candidate)


def _manifest(candidate: Candidate) -> Outcome:
    folder = candidate.folder
    try:
        exported = manifest.verify(folder, kind="export")
    except (InputError, DamageError) as error:
        return Outcome(False, str(error).rstrip("."), f"restore {folder}, or export again")
    if extra := manifest.unlisted(folder, exported):
        return Outcome(False, f"files that it does not list: {', '.join(extra[:3])}", "remove them")
    return Outcome(True, f"{len(exported.files)} files as their SHA-256 says")


def _card(candidate: Candidate) -> Outcome:
    from jgpt2.publish.card import completeness

    found = completeness.problems(candidate.folder)
    if not found:
        return Outcome(True, "complete")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    remedy = f"`jgpt2 card check {candidate.folder}` lists all of it"
    return Outcome(False, found[0].rstrip(".") + more, remedy)


def _evaluation(candidate: Candidate) -> Outcome:
    results = _told(candidate, "evaluation.results")
    told = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    needed = ("value", "dataset", "n", "command")
    on_test = [row for row in told if row.get("split") == "test" and all(map(row.get, needed))]
    if on_test:
        first = on_test[0]
        figure = f"{first.get('metric')} {first['value']:.6g} on {first['dataset']}"
        return Outcome(True, f"{len(on_test)} figures on a test split, such as {figure}")
    return Outcome(
        False,
        f"none of {len(told)} figures is on a test split with value, dataset, n and command",
        "`jgpt2 evaluate RUN --dataset D` on the test split, and build the card again",
    )


def _licence(candidate: Candidate) -> Outcome:
    names = {of: _told(candidate, f"identity.licenses.{of}") for of in ("weights", "code", "data")}
    if missing := [of for of, name in names.items() if not name]:
        return Outcome(False, f"none named for {', '.join(missing)}", "name it, and build the card")
    shown = {of: ", ".join(name) if isinstance(name, list) else name for of, name in names.items()}
    return Outcome(True, "; ".join(f"{of}: {name}" for of, name in shown.items()))


def _data_statement(candidate: Candidate) -> Outcome:
    texts = {of: _told(candidate, f"data.statement.{of}") for of in ("ja", "en")}
    if missing := [of for of, text in texts.items() if not str(text or "").strip()]:
        remedy = "write it into the card's file of facts, and build the card"
        return Outcome(False, f"none in {', '.join(missing)}", remedy)
    return Outcome(True, "in Japanese and English")


def _measured(kind: str) -> Callable[[Candidate], Outcome]:
    """The gate of one kind of safety figures: there are some, with n, and they say from where."""

    def gate(candidate: Candidate) -> Outcome:
        told = _told(candidate, f"safety.{kind}")
        remedy = f"measure it and give the card its {kind} figures, or waive it with a reason"
        if not isinstance(told, dict) or not isinstance(told.get("figures"), dict):
            return Outcome(False, "nothing measured", remedy)
        counts = {
            path: value
            for path, value in told["figures"].items()
            if path.rpartition(".")[2] == "n" and value
        }
        missing = [key for key in ("source", "command") if not told.get(key)]
        if not counts:
            missing.append("n")
        if missing:
            return Outcome(False, f"figures without {', '.join(missing)}", remedy)
        path, n = next(iter(counts.items()))
        return Outcome(True, f"{len(told['figures'])} figures ({path} = {n}) from {told['source']}")

    return gate


def _earlier_stage(candidate: Candidate) -> Outcome:
    earlier = candidate.policy.before(candidate.stage)
    if not earlier:
        return Outcome(True, "no stage comes before")
    for stage in earlier:
        line = ledger.latest(candidate.lines, stage.name)
        if line is None:
            remedy = f"publish {stage.name} first"
            return Outcome(False, f"{stage.name} is not published", remedy)
        if line["event"] == "withdrawn":
            told = f"{stage.name} was withdrawn on {line['time'][:10]}: {line['reason']}"
            return Outcome(False, told, f"answer its reason, and publish {stage.name} again")
    return Outcome(True, f"published: {', '.join(stage.name for stage in earlier)}")


def _cool_off(candidate: Candidate) -> Outcome:
    earlier = candidate.policy.before(candidate.stage)
    if not earlier:
        return Outcome(True, "no stage comes before")
    name, days = earlier[-1].name, candidate.stage.cool_off_days
    line = ledger.published(candidate.lines, name)
    if line is None:
        return Outcome(False, f"{name} is not published, so that no day counts", f"publish {name}")
    end = ledger.time_of(line) + datetime.timedelta(days=days)
    told = f"{(candidate.now - ledger.time_of(line)).days} of {days} days since {name}"
    if candidate.now < end:
        return Outcome(False, told, f"wait until {end:%Y-%m-%d %H:%M} UTC")
    return Outcome(True, told)


def _review(candidate: Candidate) -> Outcome:
    answers = dataclasses.asdict(candidate.stage.review)
    if missing := [question for question, answer in answers.items() if not answer.strip()]:
        remedy = f"answer under [stage.review] of {candidate.stage.name} in the policy"
        return Outcome(False, f"no answer on {', '.join(missing)}", remedy)
    return Outcome(True, f"answered: {', '.join(answers)}")


def _told(candidate: Candidate, path: str) -> Any:
    """What the card says at a dotted path; None where it says nothing, or there is no card."""
    try:
        value: Any = json.loads((candidate.folder / CARD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_GATES: dict[str, Callable[[Candidate], Outcome]] = {
    "manifest": _manifest,
    "card": _card,
    "evaluation": _evaluation,
    "licence": _licence,
    "data_statement": _data_statement,
    "detector": _measured("detector"),
    "bias": _measured("bias"),
    "memorisation": _measured("memorisation"),
    "earlier_stage": _earlier_stage,
    "cool_off": _cool_off,
    "review": _review,
}
