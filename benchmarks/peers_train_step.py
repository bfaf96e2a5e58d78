"""The project's own training step, for `peers_train.py`: one step for each line read.

    python peers_train_step.py SHAPE.json [--device gpu]

The step that `jgpt2 train` compiles, on random tokens, the same batch at every step.
"""

import argparse
import json

import peers_train_serve

from jgpt2 import host_memory


def main() -> None:
    """Reads the shape, compiles the step, and steps when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    host_memory.keep()  # as the command does, before JAX is imported
    import jax
    import numpy as np

    from jgpt2 import config
    from jgpt2.model import sharding
    from jgpt2.train import program

    if args.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    shape = args.shape
    model = config.Model(
        layers=shape["layers"],
        embed_dim=shape["embed_dim"],
        heads=shape["heads"],
        context=shape["context"],
        compute_dtype="float32" if args.device == "cpu" else "bfloat16",
    )
    experiment = config.Experiment(
        name="peers",
        model=model,
        batch=config.Batch(sequences=shape["batch"]),
        budget=config.Budget(steps=1000),
    )
    mesh = sharding.make_mesh(config.Mesh(), jax.devices()[:1])
    built = program.build(experiment, vocab_size=shape["vocab"], num_steps=1000, mesh=mesh)
    rows = np.random.default_rng(0).integers(
        shape["vocab"], size=(shape["batch"], shape["context"] + 1), dtype=np.int32
    )
    with jax.set_mesh(mesh):
        rows = jax.device_put(rows, sharding.batch_sharding(mesh))
        token_bytes = built.place(np.ones(shape["vocab"]), built.abstract_token_bytes)
        given = rows, token_bytes, built.place_limit()
        held = [built.initialise()]

        def step() -> float:
            held[0], metrics = built.step(held[0], *given)
            return float(metrics.loss)

        def device_peak_bytes() -> int:
            return device.memory_stats()["peak_bytes_in_use"]

        device = jax.devices()[0]
        peak = peers_train_serve.peak_bytes if device.platform == "cpu" else device_peak_bytes
        versions = {"jax": jax.__version__}
        peers_train_serve.serve(step, versions, peak, device.device_kind)


if __name__ == "__main__":
    main()
