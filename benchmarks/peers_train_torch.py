"""One peer's training step, for `peers_train.py`: one step for each line read.

    python peers_train_torch.py nanogpt|transformers SHAPE.json [--nanogpt PATH] [--device gpu]

AdamW, clipping at 1, no dropout, random tokens, the same batch at every step. On a CPU float32; on
a GPU bfloat16 by autocast, torch.compile, and fused AdamW.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import peers_train_serve


def main() -> None:
    """Reads the shape, makes the model, and steps when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=["nanogpt", "transformers"])
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--nanogpt", help="checkout of nanoGPT")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    versions = {"torch": importlib.metadata.version("torch")}
    if args.peer == "transformers":
        versions["transformers"] = importlib.metadata.version("transformers")
    peak = peers_train_serve.peak_bytes if args.device == "cpu" else _device_peak_bytes
    peers_train_serve.serve(_step(args), versions, peak)


def _device_peak_bytes() -> int:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.cuda.max_memory_allocated()


def _step(args: argparse.Namespace) -> Callable[[], float]:
    import torch  # pyright: ignore[reportMissingImports]

    device = "cuda" if args.device == "gpu" else "cpu"
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    shape = args.shape
    model, loss_of = _MODELS[args.peer](shape, args.nanogpt)
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=device == "cuda"
    )
    run = torch.compile(model) if device == "cuda" else model
    cast = torch.autocast(device, torch.bfloat16) if device == "cuda" else contextlib.nullcontext()
    rows = torch.randint(0, shape["vocab"], (shape["batch"], shape["context"] + 1), device=device)
    inputs, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def step() -> float:
        with cast:
            loss = loss_of(run, inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def _nanogpt(shape: dict[str, int], path: str) -> tuple[Any, Callable[..., Any]]:
    sys.path.insert(0, path)
    import model as nanogpt  # pyright: ignore[reportMissingImports]

    with contextlib.redirect_stdout(io.StringIO()):
        made = nanogpt.GPT(
            nanogpt.GPTConfig(
                block_size=shape["context"],
                vocab_size=shape["vocab"],
                n_layer=shape["layers"],
                n_head=shape["heads"],
                n_embd=shape["embed_dim"],
                dropout=0.0,
                bias=True,
            )
        )
    return made, lambda run, inputs, targets: run(inputs, targets)[1]


def _transformers(shape: dict[str, int], path: str | None) -> tuple[Any, Callable[..., Any]]:
    del path
    import transformers  # pyright: ignore[reportMissingImports]

    transformers.logging.set_verbosity_error()
    made = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=shape["vocab"],
            n_positions=shape["context"],
            n_embd=shape["embed_dim"],
            n_layer=shape["layers"],
            n_head=shape["heads"],
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="sdpa",
        )
    )
    # It shifts the labels itself: one prediction fewer a row.
    return made, lambda run, inputs, _: run(input_ids=inputs, labels=inputs, use_cache=False).loss


_MODELS = {"nanogpt": _nanogpt, "transformers": _transformers}


if __name__ == "__main__":
    main()
