"""What the model is made of where the config leaves it open."""

import dataclasses

import jax

from jgpt2.model import tuning


def test_remat_left_open_keeps_what_blocks_name_on_a_cpu_and_all_elsewhere(tiny):
    model = tiny()
    assert model.remat is None
    assert tuning.remat(model) == "names"
    for platform, expected in (("tpu", "none"), ("gpu", "none"), ("cpu", "names")):
        device = jax.sharding.AbstractDevice("any", None, platform)
        mesh = jax.sharding.AbstractMesh((1,), ("data",), abstract_device=device)
        with jax.sharding.use_abstract_mesh(mesh):
            assert tuning.remat(model) == expected


def test_remat_of_the_config_stands_everywhere(tiny):
    assert tuning.remat(dataclasses.replace(tiny(), remat="none")) == "none"
