"""Small scheduled programs, written by hand, whose cost follows from what they say."""

from typing import Any

import pytest

from jgpt2 import config
from jgpt2.plan import (
    compiled,
    estimate,
    forecast,
    hlo,
    interconnect,
    prices,
    topology,
    vocabulary,
)

LAYOUT = "{1,0:T(8,128)}"


def cycles(number: int) -> str:
    return f'backend_config={{"window_config":{{"estimated_cycles":"{number}"}}}}'


def program(*lines: str, before: str = "") -> str:
    """A module whose entry holds the lines."""
    body = "\n".join(f"  {line}" for line in lines)
    return (
        "HloModule jit_step, is_scheduled=true, num_partitions=16\n\n"
        f"{before}\nENTRY %main (p: f32[8,128]) -> f32[8,128] {{\n"
        f"  %p = f32[8,128]{LAYOUT} parameter(0)\n{body}\n}}\n"
    )


@pytest.fixture
def estimated():
    """The estimate of a program on a topology, v5e-16 unless told."""

    def of(text: str, name: str = "v5e-16") -> estimate.Estimate:
        where = topology.parse(name)
        network = interconnect.Network(where, interconnect.in_order(where))
        return estimate.estimate(hlo.parse(text), network)

    return of


MEMORY = {
    "parameters": 400,
    "optimizer_state": 800,
    "batch": 40,
    "arguments": 1300,
    "outputs": 1250,
    "aliased": 1200,
    "temporaries": 5000,
    "code": 70,
}


def stepped(text: str = "", **changes: Any) -> compiled.Compiled:
    """A compiled step of a program written by hand, on one v5e-16."""
    places = interconnect.in_order(topology.parse("v5e-16"))
    made = {
        "hlo": text,
        "mesh": {"data": 16, "fsdp": 1, "tensor": 1},
        "places": [list(place) for place in places],
        "memory": MEMORY,
        "needed_bytes": None,
        "available_bytes": None,
        "compile_s": 12.34,
        "versions": {"jax": "1", "libtpu": "2"},
    }
    return compiled.Compiled(**made | changes)


SECOND = 1_500_000_000
"""Cycles of a v5e."""
EXPERIMENT = config.Experiment(
    name="試し",
    model=config.Model(layers=2, embed_dim=128, heads=2, context=128),
    batch=config.Batch(sequences=32),
    budget=config.Budget(steps=7200),
)
VOCABULARY = vocabulary.Vocabulary("sp", 1000, 4.0, "measured")


def forecasted(text: str, **changes: Any) -> dict[str, Any]:
    """The forecast of a program; what it takes can be changed."""
    given: dict[str, Any] = {
        "topology": topology.parse("v5e-16"),
        "vocabulary": VOCABULARY,
        "step": stepped(text),
        "price": prices.find("v5e", usd_per_chip_hour=2.0, jpy_per_usd=150.0),
        "calibrated": None,
    }
    return forecast.forecast(changes.pop("experiment", EXPERIMENT), **given | changes)


@pytest.fixture
def one_second() -> dict[str, Any]:
    """The forecast of a step that takes a second: three quarters products, a quarter vectors."""
    return forecasted(
        program(
            f"%conv = f32[8,128]{LAYOUT} convolution(%p, %p), {cycles(SECOND * 3 // 4)}",
            f"%sum = f32[8,128]{LAYOUT} add(%p, %p), {cycles(SECOND // 4)}",
        )
    )
