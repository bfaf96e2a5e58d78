"""Write the logits of random GPT-2s of three shapes: python logits.py FOLDER.

One file per shape with the weights under `transformers`' names, `ids` [B, T] and `logits`
[B, T, vocabulary]. `tests/model/test_reference.py` holds our logits against them.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch_gpt2
from safetensors.numpy import save_file

# Depth, width, heads, head width, vocabulary (never a multiple of 128) and context all differ.
SHAPES = {
    "2x32": {"layers": 2, "width": 32, "heads": 2, "vocab": 101, "context": 24},
    "3x48": {"layers": 3, "width": 48, "heads": 3, "vocab": 257, "context": 40},
    "2x64": {"layers": 2, "width": 64, "heads": 8, "vocab": 515, "context": 32},
}
BATCH = 2
# Large enough for logits of several units: with 0.02 an absolute tolerance would hide errors.
SCALE = 0.2


def main(folder: Path) -> None:
    for seed, (name, shape) in enumerate(SHAPES.items()):
        model = torch_gpt2.build(**shape, scale=SCALE, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        ids = rng.integers(0, shape["vocab"], (BATCH, shape["context"]), dtype=np.int32)
        with torch.no_grad():
            logits = model(torch.from_numpy(ids).long()).logits.numpy()
        tensors = {**torch_gpt2.weights(model), "ids": ids, "logits": logits}
        facts = {"heads": str(shape["heads"])}
        save_file(tensors, folder / f"logits-{name}.safetensors", metadata=facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
