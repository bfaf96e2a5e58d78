"""The mapping to GPT2LMHeadModel's names and back."""

import jax
import numpy as np
import pytest

from jgpt2.errors import InputError
from jgpt2.model import layout


@pytest.fixture
def named(tiny, made, vocab_size):
    _, params = made(tiny())
    return layout.to_gpt2_names(params, vocab_size)


def test_names_and_back_is_the_identity(tiny, made, vocab_size, named):
    _, params = made(tiny())
    back, size = layout.from_gpt2_names(named)
    assert size == vocab_size
    assert named["transformer.wte.weight"].shape == (vocab_size, 32)
    assert named["transformer.h.1.attn.c_attn.weight"].shape == (32, 96)
    assert named["transformer.h.1.attn.c_attn.bias"].shape == (96,)
    jax.tree.map(np.testing.assert_array_equal, params, back)


def test_stacked_parameters_get_the_same_names(tiny, made, vocab_size, named):
    _, stacked = made(tiny(scan_layers=True))
    for name, tensor in layout.to_gpt2_names(stacked, vocab_size).items():
        np.testing.assert_array_equal(tensor, named[name])


@pytest.mark.parametrize("scan_layers", [False, True])
def test_the_shapes_are_known_without_the_arrays(tiny, vocab_size, named, scan_layers):
    shapes = layout.gpt2_shapes(tiny(scan_layers=scan_layers), vocab_size)
    assert shapes == {name: tensor.shape for name, tensor in named.items()}


def test_a_tensor_under_both_of_its_names_is_refused(named):
    twice = {**named, "wte.weight": named["transformer.wte.weight"]}
    with pytest.raises(InputError, match=r"has transformer\.wte\.weight twice"):
        layout.from_gpt2_names(twice)


def test_names_without_prefix_tied_heads_and_mask_buffers_are_accepted(named):
    bare = {name.removeprefix("transformer."): tensor for name, tensor in named.items()}
    bare["h.0.attn.bias"] = np.ones((1, 1, 16, 16))
    bare["lm_head.weight"] = bare["wte.weight"]
    params, _ = layout.from_gpt2_names(bare)
    expected, _ = layout.from_gpt2_names(named)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_missing_and_unknown_names_are_refused(named):
    lacking = {name: tensor for name, tensor in named.items() if "h.1.ln_2" not in name}
    with pytest.raises(InputError, match=r"lacks transformer.h.1.ln_2.bias, .* \(2 in all\)"):
        layout.from_gpt2_names(lacking)
    with pytest.raises(InputError, match="has unknown transformer\\.rotary"):
        layout.from_gpt2_names({**named, "rotary": np.ones(1)})


def test_an_untied_head_is_refused(named):
    head = named["transformer.wte.weight"] + 1
    with pytest.raises(InputError, match=r"lm_head.weight differs .* not tied"):
        layout.from_gpt2_names({**named, "lm_head.weight": head})
