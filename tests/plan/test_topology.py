"""Google's names of topologies."""

import os
import subprocess
import sys

import pytest

from jgpt2.errors import InputError
from jgpt2.plan import topology


@pytest.mark.parametrize(
    ("name", "chips", "full"),
    [
        ("v5e-1", 1, "v5e:1x1"),
        ("v5e-16", 16, "v5e:4x4"),
        ("v5litepod-16", 16, "v5e:4x4"),
        ("V5E:4x4", 16, "v5e:4x4"),
        ("v6e-256", 256, "v6e:16x16"),
        ("v4-8", 4, "v4:2x2x1"),
        ("v4:2x2x2", 8, "v4:2x2x2"),
        ("v5p-128", 64, "v5p:4x4x4"),
        ("v5p:8x8x8", 512, "v5p:8x8x8"),
        ("tpu7x-8", 8, "tpu7x:2x2x2"),
        ("2xv5e-256", 512, "2xv5e:16x16"),
        ("2xv5e:16x16", 512, "2xv5e:16x16"),
        ("4xv4-8", 16, "4xv4:2x2x1"),
    ],
)
def test_names(name, chips, full):
    parsed = topology.parse(name)
    assert (parsed.num_chips, parsed.name) == (chips, full)
    assert topology.parse(parsed.name) == parsed


def test_a_tpu7x_has_two_devices_a_chip_that_share_its_rates():
    parsed = topology.parse("tpu7x-4")
    assert (parsed.num_chips, parsed.num_devices) == (4, 8)
    assert parsed.peak_flops * 2 == parsed.chip.peak_flops
    assert parsed.hbm_bytes * 2 == parsed.chip.hbm_bytes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v9-8", "no topology is called 'v9-8'; give a type such as v5e-16 or a shape such as"),
        ("h100-8", "chips: v4, v5e, v5p, v6e, tpu7x."),
        ("v5e", "no topology is called 'v5e'"),
        ("v5e-12", "v5e types count chips; choose one of v5e-1, v5e-4, v5e-8, v5e-16, v5e-32"),
        ("v5p-4", "v5p types count TensorCores, two a chip; choose one of v5p-8, v5p-16"),
        ("v5e:2x2x1", "v5e:2x2x1 does not have the 2 axes of a v5e slice; give a shape such as"),
        ("v4:4x4", "give a shape such as v4:4x4x4"),
        ("0xv5e-16", "0xv5e-16 has no slice"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(name, message):
    with pytest.raises(InputError) as refused:
        topology.parse(name)
    assert message in str(refused.value)


def test_without_the_compiler_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(topology, "version", lambda: None)
    with pytest.raises(InputError, match=r"libtpu is not installed; .* uv sync --extra tpu"):
        topology.devices(topology.parse("v5e-16"))
    monkeypatch.setattr(topology, "version", lambda: "0.0.52")
    said = topology._why_not(topology.parse("v5e:3x5"), "no\n such shape")
    assert "libtpu 0.0.52 does not know v5e:3x5 (no such shape)" in said
    assert "4x4" in said


LISTING = """
from jgpt2.plan import topology
for name in ("v4-8", "v5e-16", "v5p-8", "v6e-8", "tpu7x-8", "2xv5e-16"):
    parsed = topology.parse(name)
    devices = topology.devices(parsed)
    print(name, len(devices) == parsed.num_devices, devices[0].device_kind in
          parsed.chip.device_kinds)
"""


@pytest.mark.skipif(topology.version() is None, reason="libtpu is not installed (extra `tpu`)")
def test_the_compiler_lists_the_devices_and_is_silent():
    environment = {name: value for name, value in os.environ.items() if "TPU" not in name}
    done = subprocess.run(
        [sys.executable, "-c", LISTING],
        capture_output=True, text=True, check=True, env=environment | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.stderr == ""
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [["True", "True"]] * 6
