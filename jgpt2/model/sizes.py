"""The named shapes: OpenAI's four GPT-2 sizes, Megatron's 8.3B, and a tiny one for a laptop's CPU.

Shapes are of Radford et al. 2019 (table 2) and Shoeybi et al. 2019 (Megatron-LM, section 5.3).
Above 24 layers one block is compiled and looped over; what it keeps for the backward pass is what
fits a TPU's memory at the best speed (docs/performance.md).

The `-128` shapes are another architecture: half the heads, each 128 wide, which is what a TPU's
matrix unit holds; attention costs half. They have GPT-2's parameter count (but for `xl-128`, whose
width is 1536), and no checkpoint of OpenAI's fits them.
"""

import dataclasses

from jgpt2 import config
from jgpt2.errors import InputError

TINY = config.Model(layers=4, embed_dim=192, heads=3, context=256, compute_dtype="float32")
SMALL = config.Model(layers=12, embed_dim=768, heads=12)
MEDIUM = config.Model(layers=24, embed_dim=1024, heads=16)
LARGE = config.Model(layers=36, embed_dim=1280, heads=20, scan_layers=True, remat="names")
XL = config.Model(layers=48, embed_dim=1600, heads=25, scan_layers=True, remat="attention")
MEGATRON_8B = config.Model(layers=72, embed_dim=3072, heads=24, scan_layers=True, remat="full")

SMALL_128 = dataclasses.replace(SMALL, heads=6)
MEDIUM_128 = dataclasses.replace(MEDIUM, heads=8)
LARGE_128 = dataclasses.replace(LARGE, heads=10)
XL_128 = dataclasses.replace(XL, embed_dim=1536, heads=12)

_SIZES = {
    "tiny": TINY,
    "small": SMALL,
    "medium": MEDIUM,
    "large": LARGE,
    "xl": XL,
    "8b": MEGATRON_8B,
    "small-128": SMALL_128,
    "medium-128": MEDIUM_128,
    "large-128": LARGE_128,
    "xl-128": XL_128,
}

# Radford et al. print 117M and 345M; the released weights count 124M and 355M, and so on.
_ALIASES = {
    "117m": "small",
    "124m": "small",
    "345m": "medium",
    "355m": "medium",
    "762m": "large",
    "774m": "large",
    "1542m": "xl",
    "1558m": "xl",
    "8.3b": "8b",
}


def names() -> list[str]:
    """The canonical names, the smallest size first."""
    return list(_SIZES)


def by_name(name: str) -> tuple[str, config.Model]:
    """The canonical name and the shape of a size given by any of its names, in any case.

    >>> by_name("345M")[0], by_name("XL")[1].layers
    ('medium', 48)
    """
    canonical = _ALIASES.get(name.lower(), name.lower())
    if canonical not in _SIZES:
        names = (
            " = ".join([size, *(alias.upper() for alias, of in _ALIASES.items() if of == size)])
            for size in _SIZES
        )
        raise InputError(f"no model size is called {name!r}; choose one of {', '.join(names)}.")
    return canonical, _SIZES[canonical]


def names_of(model: config.Model) -> list[str]:
    """Every name of the size that has the shape of `model`, the canonical one first.

    >>> names_of(SMALL), names_of(dataclasses.replace(TINY, layers=5))
    (['small', '117M', '124M'], [])
    """
    shape = model.layers, model.embed_dim, model.heads
    for name, size in _SIZES.items():
        if (size.layers, size.embed_dim, size.heads) == shape:
            return [name, *(alias.upper() for alias, of in _ALIASES.items() if of == name)]
    return []
