"""From the measures of all runs to the verdict: rows, comparisons, the choice, the prediction.

Everything is plain data, the one record that the report shows in two languages and that
`rows.jsonl` gives to others. The rule of the choice stands in the plan.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jgpt2.ablation import exhibits, prediction, statistics
from jgpt2.ablation import study as studies
from jgpt2.ablation.finished import Finished, shown
from jgpt2.model import count, sizes

_ScoresOf = Mapping[tuple[studies.Control, str], statistics.Scores]
"""Control and arm -> what the documents cost."""
_RATIOS = ("bits_per_byte", "bits_per_byte_without_eot", "bits_per_byte_equal_bytes")


def conclude(plan: studies.Plan, finished: Sequence[Finished]) -> dict[str, Any]:
    """The record of the whole study.

    Raises InputError when arms were measured on documents of other sizes.
    """
    rows = [one.row for one in finished]
    scores = {key: _scores(finished, *key) for key in _keys(plan)}
    arms = [_arm(plan, rows, scores, *key) for key in _keys(plan)]
    comparisons = [
        row for control in plan.study.controls for row in _comparisons(plan, scores, control)
    ]
    bodies = [
        _best(plan, arms, comparisons, control, body)
        for control in plan.study.controls
        for body in plan.bodies
    ]
    deciding = plan.study.decision.body or list(plan.bodies)[-1]
    return {
        "plan": plan.record(),
        "evaluated": finished[0].measures["evaluated"],
        "decision": next(
            one for one in bodies if (one["control"], one["body"]) == (plan.study.primary, deciding)
        ),
        "best": bodies,
        "comparisons": comparisons,
        "arms": arms,
        "prediction": _prediction(plan, finished, scores),
        "rows": rows,
        "curves": exhibits.curves(plan, finished),
        "breakdowns": exhibits.breakdowns(plan, finished),
        "continuations": exhibits.continuations(plan, finished),
        "segmentation": {
            one.cell.arm: one.measures["segmentation"]
            for one in shown(plan, finished)
            if one.measures["segmentation"]
        },
    }


def _keys(plan: studies.Plan) -> list[tuple[studies.Control, str]]:
    return [(control, arm) for control in plan.study.controls for arm in plan.arms]


def _arm(
    plan: studies.Plan,
    rows: Sequence[dict[str, Any]],
    scores: _ScoresOf,
    control: studies.Control,
    arm: str,
) -> dict[str, Any]:
    """One arm under one control, over its seeds: sums over sums, and each seed's figure."""
    own = [row for row in rows if (row["control"], row["arm"]) == (control, arm)]
    first = dict(own[0])
    by_seed = {str(row["seed"]): row["bits_per_byte"] for row in own}
    seeds = _seeds(plan, scores, control, first["body"])
    low, high = statistics.interval(scores[control, arm], seeds, level=plan.study.level)
    for name in ("seed", "run", "training_s"):
        first.pop(name)
    means = {name: float(np.mean([row[name] for row in own])) for name in _RATIOS}
    means["bits_per_char"] = float(np.mean([row["bits_per_char"] for row in own]))
    return first | means | {"low": low, "high": high, "by_seed": by_seed}


def _scores(finished: Sequence[Finished], control: studies.Control, arm: str) -> statistics.Scores:
    own = [one for one in finished if (one.cell.control, one.cell.arm) == (control, arm)]
    documents = [one.measures["documents"] for one in own]
    return statistics.Scores(
        bits=np.array([given["bits"] for given in documents]),
        num_bytes=np.array(documents[0]["num_bytes"]),
    )


def _seeds(
    plan: studies.Plan, scores: _ScoresOf, control: studies.Control, body: str
) -> statistics.Spread:
    return statistics.spread([scores[control, arm] for arm in plan.bodies[body]])


def _comparisons(
    plan: studies.Plan, scores: _ScoresOf, control: studies.Control
) -> list[dict[str, Any]]:
    """All declared pairs of a control, corrected together."""
    declared = plan.study.pairs
    wanted = None if declared is None else {frozenset(pair) for pair in declared}
    pairs = {}
    for body, names in plan.bodies.items():
        seeds = _seeds(plan, scores, control, body)
        for a, b in itertools.combinations(names, 2):
            tokenizers = frozenset((plan.arms[a].tokenizer, plan.arms[b].tokenizer))
            if wanted is None or tokenizers in wanted:
                pairs[a, b] = statistics.compare(
                    scores[control, a], scores[control, b], seeds, level=plan.study.level
                )
    judged = statistics.verdicts(pairs, level=plan.study.level)
    return [
        {
            "control": control,
            "body": studies.body_name(plan.arms[a].model),
            "arms": [a, b],
            **dataclasses.asdict(pairs[a, b]),
            **dataclasses.asdict(judgement),
        }
        for (a, b), judgement in judged.items()
    ]


def _best(
    plan: studies.Plan,
    arms: Sequence[dict[str, Any]],
    comparisons: Sequence[dict[str, Any]],
    control: studies.Control,
    body: str,
) -> dict[str, Any]:
    """The arm with the fewest bits, those that cannot be told from it, and the one chosen."""
    own = {row["arm"]: row for row in arms if (row["control"], row["body"]) == (control, body)}
    ranking = sorted(own, key=lambda arm: own[arm]["bits_per_byte"])
    best = ranking[0]
    told_apart = {
        other
        for row in comparisons
        if row["control"] == control
        and best in row["arms"]
        and row["verdict"] in ("better", "worse")
        for other in row["arms"]
    }
    tied = [arm for arm in ranking if arm != best and arm not in told_apart]
    tie_by = plan.study.decision.tie
    return {
        "control": control,
        "body": body,
        "best": best,
        "tied": tied,
        "chosen": min([best, *tied], key=lambda arm: own[arm][tie_by]),
        "ranking": ranking,
    }


def _prediction(
    plan: studies.Plan, finished: Sequence[Finished], scores: _ScoresOf
) -> dict[str, Any]:
    """The best vocabulary of sizes that were not trained, or why none can be named."""
    curves, fitted_scores = [], []
    for body, names in plan.bodies.items():
        fitted = [arm for arm in names if plan.arms[arm].tokenizer not in plan.study.fit_without]
        own = [scores[plan.study.primary, arm] for arm in fitted]
        model = plan.arms[names[0]].model
        curves.append(
            prediction.Curve(
                body=body,
                body_parameters=count.body_parameters(model),
                vocab_sizes=np.array([_vocab_size(finished, arm) for arm in fitted]),
                bits_per_byte=np.array([one.bits_per_byte for one in own]),
            )
        )
        fitted_scores.append(own)
    targets = {size: count.body_parameters(sizes.by_name(size)[1]) for size in plan.study.predict}
    return prediction.record(curves, fitted_scores, targets=targets, level=plan.study.level)


def _vocab_size(finished: Sequence[Finished], arm: str) -> int:
    return next(one.vocabulary.vocab_size for one in finished if one.cell.arm == arm)
