"""The fastest way to run the same training on a topology: batch per chip, remat, sharding.

The run stays what it is: its batch is not changed, only how many parts it is worked through in
(`batch.accumulation`), what is recomputed (`model.remat`) and how the model is shared out
(`mesh.fsdp`). Candidates are compiled one after another; what cannot win is left out.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, get_args

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import count
from jgpt2.plan.forecast import ERROR
from jgpt2.plan.topology import Topology

_STATE_BYTES = 12
"""Of a parameter: itself and the two moments of AdamW, float32."""
_GRADIENT_BYTES = 4
_ROOM = 0.6
"""Share of the memory that whole copies of state and gradients may take."""
_FSDP = (1, 4, 8, 16)
_HALVINGS = 4
_AS_FAST = 1.01
_REMATS = tuple(get_args(config.Remat))
"""As the config lists them: what recomputes less comes first."""


class Candidate(NamedTuple):
    """One way to run the experiment."""

    fsdp: int
    remat: str
    rows: int
    """Rows of each device at a time."""
    experiment: config.Experiment

    @property
    def flags(self) -> str:
        """What to type after the config."""
        return (
            f"--mesh.fsdp {self.fsdp} --model.remat {self.remat} "
            f"--batch.accumulation {self.experiment.batch.accumulation}"
        )


def candidates(
    experiment: config.Experiment, topology: Topology, vocab_size: int
) -> list[Candidate]:
    """All that may be tried, best hopes first: little sharding, little recomputed, many rows."""
    devices = topology.num_devices
    share = devices // experiment.mesh.tensor
    sequences = experiment.batch.sequences
    if sequences % share:
        raise InputError(
            f"batch.sequences={sequences} does not divide over {share} devices of {topology.name}; "
            f"choose a multiple of {share}, or fewer chips."
        )
    per_device = sequences // share
    made = []
    for fsdp in _shardings(experiment, topology, vocab_size):
        for remat in _REMATS:
            for parts in (2**power for power in range(_HALVINGS)):
                if per_device % parts == 0:
                    made.append(
                        Candidate(
                            fsdp, remat, per_device // parts, _with(experiment, fsdp, remat, parts)
                        )
                    )
    return made


def _shardings(experiment: config.Experiment, topology: Topology, vocab_size: int) -> Sequence[int]:
    """Values of `mesh.fsdp` whose share of state and gradients leaves room for the rest."""
    share = topology.num_devices // experiment.mesh.tensor
    parameters = count.parameters(experiment.model, vocab_size) / experiment.mesh.tensor
    room = _ROOM * topology.hbm_bytes
    found = [
        fsdp
        for fsdp in _FSDP
        if share % fsdp == 0
        and experiment.model.embed_dim % fsdp == 0
        and parameters * (_STATE_BYTES + _GRADIENT_BYTES) / fsdp <= room
    ]
    if not found:
        state = parameters * (_STATE_BYTES + _GRADIENT_BYTES)
        raise InputError(
            f"{experiment.name} needs {state / 1e9:.0f} GB for weights, moments and gradients, too "
            f"much for {topology.name} shared out over {max(_FSDP)} devices; give more mesh.tensor "
            "or chips with more memory."
        )
    # Sharing out costs communication: two steps beyond what is needed are enough to see it.
    return found[:2]


def _with(experiment: config.Experiment, fsdp: int, remat: str, parts: int) -> config.Experiment:
    return dataclasses.replace(
        experiment,
        mesh=dataclasses.replace(experiment.mesh, data=None, fsdp=fsdp),
        model=dataclasses.replace(experiment.model, remat=remat),
        batch=dataclasses.replace(experiment.batch, accumulation=parts),
    )


def search(
    tried: Sequence[Candidate], forecast: Callable[[Candidate], dict[str, Any]], *, most: int
) -> Iterator[tuple[Candidate, dict[str, Any]]]:
    """Candidates with their forecasts as they come, at most so many, without those that cannot win.

    What does not fit tells how many rows would, and that less recomputed does not; where all fit,
    neither fewer rows nor more recomputed can be faster by more than the estimate can tell.
    """
    too_large: list[tuple[Candidate, float]] = []
    done: set[int] = set()
    fitted: set[tuple[int, str]] = set()
    for candidate in tried:
        if most <= 0:
            return
        if (candidate.fsdp, candidate.remat) in fitted or candidate.fsdp in done:
            continue
        if any(_is_larger(candidate, *other) for other in too_large):
            continue
        most -= 1
        found = forecast(candidate)
        yield candidate, found
        if not found["fits"]:
            too_large.append((candidate, _rows_that_fit(candidate, found)))
            continue
        fitted.add((candidate.fsdp, candidate.remat))
        if candidate.experiment.batch.accumulation == 1:
            done.add(candidate.fsdp)


def _rows_that_fit(candidate: Candidate, forecast: dict[str, Any]) -> float:
    """Rows at most that can fit, from what the compiler says that a candidate needs.

    All that is not parameters and moments is taken to shrink with the rows, which is more than it
    does: gradients do not. So nothing is left out that might fit.
    """
    parts = forecast["hbm_parts"]
    state = parts["parameters"] + parts["optimizer_state"]
    needed = max(forecast["hbm_bytes"] - state, 1)
    return candidate.rows * (forecast["hbm_limit_bytes"] - state) / needed


def _is_larger(candidate: Candidate, other: Candidate, rows: float) -> bool:
    """Whether a candidate takes too much memory, where another fits with so many rows at most."""
    return (
        candidate.fsdp <= other.fsdp
        and (candidate.rows > rows or candidate.rows >= other.rows)
        and _REMATS.index(candidate.remat) <= _REMATS.index(other.remat)
    )


def ranked(
    found: Sequence[tuple[Candidate, dict[str, Any]]],
) -> list[tuple[Candidate, dict[str, Any]]]:
    """The fastest first; what does not fit last.

    Of those that are as fast as the first to 1 %, the one tried earliest leads: it shares out and
    recomputes least.
    """
    fastest = sorted(
        found, key=lambda pair: (not pair[1]["fits"], pair[1]["step_time_s"] or float("inf"))
    )
    first = fastest[0][1]
    if not first["fits"]:
        return fastest
    enough_s = first["step_time_s"] * _AS_FAST
    lead = next(pair for pair in found if pair[1]["fits"] and pair[1]["step_time_s"] <= enough_s)
    return [lead, *(pair for pair in fastest if pair is not lead)]


def outcome(forecast: dict[str, Any]) -> str:
    """What came of a candidate, in a few words."""
    if forecast["step_time_s"] is None:
        return forecast["verdict"].partition(";")[0]
    tight = "" if forecast["fits"] else ", too tight"
    return f"{forecast['step_time_s'] * 1e3:.0f} ms a step, MFU {forecast['mfu']:.1%}{tight}"


def account(ranked: Sequence[tuple[Candidate, dict[str, Any]]]) -> dict[str, Any]:
    """What was tried, in order of speed, and what is recommended, why, with the flags to type."""
    (best, first), *others = ranked
    return {
        "recommended": best.flags if first["fits"] else None,
        "reason": _reason(first, [made for _, made in others]),
        "tried": [
            {
                "flags": candidate.flags,
                "fsdp": candidate.fsdp,
                "remat": candidate.remat,
                "rows_per_device": candidate.rows,
                **{name: made[name] for name in ("fits", "hbm_bytes", "step_time_s", "mfu")},
            }
            for candidate, made in ranked
        ],
    }


def _reason(best: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """Why the first is recommended, in one sentence."""
    if not best["fits"]:
        return f"none of the {1 + len(others)} tried fits; {best['verdict']}."
    said = outcome(best)
    slower = [made["step_time_s"] / best["step_time_s"] - 1 for made in others if made["fits"]]
    if slower:
        lead = min(slower)
        said += f", {lead:.0%} faster than the next" if lead >= 0.01 else ", as fast as the next"
        if lead < ERROR["between_variants"]:
            said += " (within the error between variants)"
    unfit = sum(not made["fits"] for made in others)
    return said + (f"; {unfit} tried did not fit." if unfit else ".")
