"""Options and kernels are taken by the compiler of every chip, without a TPU at hand."""

import dataclasses

import jax
import pytest

from jgpt2 import chips, config
from jgpt2.model import sharding
from jgpt2.plan import topology
from jgpt2.train import compiler, program

TOPOLOGIES = {
    "v4": "v4:2x2x1",
    "v5e": "v5e:2x2",
    "v5p": "v5p:2x2x1",
    "v6e": "v6e:2x2",
    "tpu7x": "tpu7x:2x2x1",
}
EXPERIMENT = config.Experiment(
    name="four chips",
    model=config.Model(
        layers=2, embed_dim=256, heads=2, context=128, scan_layers=True, remat="attention"
    ),
    batch=config.Batch(sequences=16),
    budget=config.Budget(steps=10),
    mesh=config.Mesh(fsdp=None),
)


def devices_of(chip):
    """Devices of a small topology; the test is skipped where there is no TPU compiler."""
    if topology.version() is None:
        pytest.skip("the TPU compiler is not installed (extra `tpu`)")
    return topology.devices(topology.parse(TOPOLOGIES[chip]))


def test_every_chip_with_options_is_compiled_for():
    assert set(compiler.OPTIONS) <= {chip.name for chip in chips.CHIPS}
    tpus = {chip.name for chip in chips.CHIPS if chip.torus_axes}
    assert tpus == set(TOPOLOGIES)


def test_a_chip_is_known_by_its_devices():
    assert compiler.options(chips.by_device_kind("TPU v6 lite")) == compiler.OPTIONS["v6e"]
    assert compiler.options(chips.by_device_kind("TPU v5 lite")) is None
    assert compiler.options(None) is None


@pytest.mark.parametrize("chip", [chip.name for chip in chips.CHIPS if not chip.torus_axes])
def test_the_options_of_gpus_are_known_to_xla(chip):
    # Their compiler needs the GPU; the names and types of its options are read by any.
    double = jax.jit(lambda x: 2 * x, compiler_options=compiler.OPTIONS[chip])
    assert double(21) == 42
    wrong = {f"{name}_not": value for name, value in compiler.OPTIONS[chip].items()}
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        jax.jit(lambda x: 3 * x, compiler_options=wrong)(1)


@pytest.mark.slow
@pytest.mark.parametrize("chip", TOPOLOGIES)
def test_the_step_compiles_with_the_options_of_the_chip(chip):
    mesh = sharding.make_mesh(EXPERIMENT.mesh, devices_of(chip))
    built = program.build(EXPERIMENT, vocab_size=1000, num_steps=10, mesh=mesh)
    text = built.lower().compile().as_text()
    assert text is not None
    assert "attention_forward_128x128" in text
    assert "attention_backward_128x128" in text
    assert "all-gather" in text
    assert "collective-permute" not in text


@pytest.mark.slow
def test_an_option_that_the_compiler_does_not_know_fails_here(monkeypatch):
    monkeypatch.setitem(compiler.OPTIONS, "v5e", {"xla_tpu_no_such_option": "true"})
    mesh = sharding.make_mesh(EXPERIMENT.mesh, devices_of("v5e"))
    built = program.build(
        dataclasses.replace(EXPERIMENT, name="wrong"), vocab_size=1000, num_steps=10, mesh=mesh
    )
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_tpu_no_such_option"):
        built.lower().compile()
