"""What the model is made of on which devices, where its config leaves the choice open.

The devices are those of the mesh that the code is traced for (`jax.set_mesh`), never those of the
machine that traces it: a step for a TPU can be compiled on a laptop.
"""

from typing import Literal

import jax

from jgpt2 import config
from jgpt2.model import sharding

Platform = Literal["cpu", "gpu", "tpu"]


def platform() -> Platform:
    """The kind of the devices of the mesh in use; cpu without a mesh."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is None or device.platform == "cpu":
        return "cpu"
    return "tpu" if device.platform == "tpu" else "gpu"


def is_whole_on(*platforms: Platform) -> bool:
    """Whether what is traced runs on these, each with whole arrays: none is cut by the compiler."""
    mesh = jax.sharding.get_abstract_mesh()
    return platform() in platforms and (sharding.is_manual() or mesh.size <= 1)


def attention(model: config.Model, positions: int) -> str:
    """The kernel for rows of that many positions: the config's, or the fastest known here.

    The figures behind the choice are in docs/performance.md.
    """
    if model.attention is not None:
        return model.attention
    where = platform()
    if where == "tpu":
        from jgpt2.model import pallas_attention

        if pallas_attention.fits(positions, model.embed_dim, model.heads):
            return "pallas"
        if positions % 128 == 0:
            return "splash"
    if where == "gpu" and model.compute_dtype == "bfloat16":
        return "cudnn"
    return "blockwise" if where == "cpu" else "plain"


def remat(model: config.Model) -> config.Remat:
    """What the backward pass recomputes: the config's choice, or what costs least here.

    A CPU makes what is elementwise again in the time that it takes to store and read it, in half
    of the memory.
    """
    if model.remat is not None:
        return model.remat
    return "names" if platform() == "cpu" else "none"


def loss_chunks(model: config.Model, rows: int, vocab_rows: int) -> int:
    """Parts that the logits of `rows` tokens are made in: few, each of some memory of the device.

    Every part adds its gradient of the token table to that of the parts before it.
    """
    if model.loss_chunks is not None:
        return model.loss_chunks
    chunks = 1
    while rows % (2 * chunks) == 0 and rows // chunks * vocab_rows * 2 > _LOGITS_BYTES[platform()]:
        chunks *= 2
    return chunks


_LOGITS_BYTES = {"cpu": 512e6, "gpu": 2e9, "tpu": 512e6}
"""Most bytes of the logits of a part, in bfloat16."""
