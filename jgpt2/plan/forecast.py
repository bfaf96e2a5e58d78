"""The answer for one topology: does it fit, how fast, how long, how much, and what holds it up.

A forecast is plain data, the JSON that `jgpt2 plan --json` prints; `report` draws it. Its step time
is an estimate from the compiler's schedule: ±25 % absolute, ±10 % between variants of one program.
"""

import dataclasses
from typing import Any

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import count
from jgpt2.plan import calibration, compiled, estimate, hlo, interconnect, prices
from jgpt2.plan.topology import Topology
from jgpt2.plan.vocabulary import Vocabulary
from jgpt2.train import budget

ERROR = {"absolute": 0.25, "between_variants": 0.10}
"""Stated error of the step time, until a real run has calibrated it."""
CONVENTION = (
    "mfu: 6 FLOPs per weight of a matrix product (the tied head included) and 6·N·D·T for causal "
    "attention, as in metrics.jsonl; mfu_full_attention: 12·N·D·T, attention counted in full; "
    "recomputation in neither; over the dense bf16 peak"
)
_UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("step_time_s", "bottleneck", "mfu", "mfu_full_attention", "tokens_per_s",
     "tokens_per_s_per_chip", "bytes_per_s", "hours", "chip_hours", "cost_usd", "cost_jpy",
     "calibration")
) | {"classes_s": {}, "collectives": [], "kernels": [], "costliest": [], "remarks": []}  # fmt: skip
"""What is said of a step that does not fit."""
_REMEDIES = (
    "a larger batch.accumulation, model.remat, a larger mesh.fsdp, a smaller batch, or more chips"
)


def forecast(
    experiment: config.Experiment,
    *,
    topology: Topology,
    vocabulary: Vocabulary,
    step: compiled.Compiled,
    price: prices.Price,
    calibrated: calibration.Calibration | None,
) -> dict[str, Any]:
    """The forecast of a compiled step; without times and costs where it does not fit."""
    made = {
        **_identity(experiment, topology, vocabulary),
        "mesh": step.mesh,
        **_memory(step, topology),
        "price": dataclasses.asdict(price),
        "versions": step.versions,
        "compile_s": round(step.compile_s, 1),
    }
    if not step.fits:
        return made | _UNKNOWN
    estimated = estimate_of(step, topology)
    if calibrated:
        estimated = calibrated.apply(estimated)
    made |= {
        **_time(estimated),
        **_rates(experiment, topology, vocabulary, estimated.seconds),
        "calibration": dataclasses.asdict(calibrated) if calibrated else None,
        "error": ERROR,
    }
    return made | _budget(experiment, vocabulary, topology, price, estimated.seconds)


def estimate_of(step: compiled.Compiled, topology: Topology) -> estimate.Estimate:
    """The estimate of a compiled step, before any calibration."""
    network = interconnect.Network(topology, [tuple(place) for place in step.places])
    return estimate.estimate(hlo.parse(step.hlo), network)


def _identity(
    experiment: config.Experiment, topology: Topology, vocabulary: Vocabulary
) -> dict[str, Any]:
    model = experiment.model
    return {
        "name": experiment.name,
        "topology": topology.name,
        "chip": topology.chip.name,
        "chips": topology.num_chips,
        "slices": topology.slices,
        "devices": topology.num_devices,
        "model": dataclasses.asdict(model),
        "batch": dataclasses.asdict(experiment.batch),
        "parameters": count.parameters(model, vocabulary.vocab_size),
        "tokenizer": vocabulary.name,
        "vocab_size": vocabulary.vocab_size,
        "bytes_per_token": vocabulary.bytes_per_token,
        "bytes_per_token_basis": vocabulary.basis,
        "flops_per_token": count.flops_per_token(model, vocabulary.vocab_size),
        "convention": CONVENTION,
    }


def _memory(step: compiled.Compiled, topology: Topology) -> dict[str, Any]:
    """Memory of one device: what the program's buffers take, and what fills them."""
    limit = topology.hbm_bytes
    if not step.fits:
        assert step.needed_bytes is not None
        return {
            "fits": False,
            "hbm_bytes": step.needed_bytes,
            "hbm_limit_bytes": step.available_bytes,
            "hbm_parts": {name: step.memory[name] for name in ("parameters", "optimizer_state")},
            "verdict": f"does not fit: needs {step.needed_bytes / 1e9:.1f} of "
            f"{(step.available_bytes or limit) / 1e9:.1f} GB a device; try {_REMEDIES}",
        }
    memory = step.memory
    state = memory["parameters"] + memory["optimizer_state"] + memory["batch"]
    parts = {
        "parameters": memory["parameters"],
        "optimizer_state": memory["optimizer_state"],
        "batch": memory["batch"],
        "padding": max(0, memory["arguments"] - state),
        "temporaries": memory["temporaries"],
        "outputs": max(0, memory["outputs"] - memory["aliased"]),
    }
    total = memory["arguments"] + memory["temporaries"] + parts["outputs"]
    with_code = total + memory["code"]
    return {
        "fits": with_code <= limit,
        "hbm_bytes": total,
        "hbm_limit_bytes": limit,
        "hbm_code_bytes": memory["code"],
        "hbm_parts": parts,
        "verdict": f"fits: {with_code / 1e9:.1f} of {limit / 1e9:.1f} GB a device"
        if with_code <= limit
        else f"is too tight: {with_code / 1e9:.1f} of {limit / 1e9:.1f} GB a device with its code; "
        f"try {_REMEDIES}",
    }


def _time(estimated: estimate.Estimate) -> dict[str, Any]:
    largest = max(estimated.classes_s, key=lambda name: estimated.classes_s[name])
    return {
        "step_time_s": estimated.seconds,
        "classes_s": estimated.classes_s,
        "bottleneck": {
            "class": largest,
            "share": estimated.classes_s[largest] / estimated.seconds,
        },
        "collectives": estimated.collectives,
        "kernels": estimated.kernels,
        "costliest": estimated.costliest,
        "remarks": estimated.remarks,
    }


def _rates(
    experiment: config.Experiment, topology: Topology, vocabulary: Vocabulary, step_s: float
) -> dict[str, Any]:
    model = experiment.model
    tokens_per_s = budget.tokens_per_step(experiment) / step_s
    causal = count.flops_per_token(model, vocabulary.vocab_size)
    full = count.flops_per_token(model, vocabulary.vocab_size, counts_masked=True)
    peak = topology.peak_flops * topology.num_devices
    per_token = vocabulary.bytes_per_token
    return {
        "mfu": causal * tokens_per_s / peak,
        "mfu_full_attention": full * tokens_per_s / peak,
        "tokens_per_step": budget.tokens_per_step(experiment),
        "tokens_per_s": tokens_per_s,
        "tokens_per_s_per_chip": tokens_per_s / topology.num_chips,
        "bytes_per_s": per_token and per_token * tokens_per_s,
    }


def _budget(
    experiment: config.Experiment,
    vocabulary: Vocabulary,
    topology: Topology,
    price: prices.Price,
    step_s: float,
) -> dict[str, Any]:
    """Steps, hours and money of the run's budget."""
    steps = num_steps(experiment, vocabulary)
    tokens = steps * budget.tokens_per_step(experiment)
    hours = steps * step_s / 3600
    chip_hours = hours * topology.num_chips
    return {
        "steps": steps,
        "tokens": tokens,
        "bytes": vocabulary.bytes_per_token and tokens * vocabulary.bytes_per_token,
        "hours": hours,
        "chip_hours": chip_hours,
        "cost_usd": price.cost_usd(chip_hours),
        "cost_jpy": price.cost_jpy(chip_hours),
    }


def num_steps(experiment: config.Experiment, vocabulary: Vocabulary) -> int:
    """Optimizer steps of the budget; InputError where its bytes cannot be turned into tokens."""
    per_token = vocabulary.bytes_per_token
    if experiment.budget.num_bytes is not None and per_token is None:
        raise InputError(
            f"budget.num_bytes={experiment.budget.num_bytes} counts bytes, and a vocabulary of "
            f"{vocabulary.name} does not say how many a token stands for; give --bytes-per-token, "
            "or the tokenizer by --tokenizer NAME without --vocab-size."
        )
    return budget.num_steps(
        experiment, vocab_size=vocabulary.vocab_size, bytes_per_token=per_token or 1.0
    )
