"""One peer in PyTorch for `peers_decode.py`, which starts it in the peers' environment.

python peers_decode_torch.py transformers|nanogpt SHAPE BATCH cpu|gpu [NANOGPT]
"""

import contextlib
import importlib.metadata
import io
import sys

import peers_decode_work as work
import torch


def main() -> None:
    """Decodes random prompts with fresh weights."""
    name, shape, batch, device, nanogpt = (*sys.argv[1:], "")[:5]
    torch.manual_seed(0)
    model = _transformers(shape) if name == "transformers" else _nanogpt(shape, nanogpt)
    model = model.eval()
    if device == "gpu":
        model = model.to("cuda", torch.bfloat16)
    size = (int(batch), work.PROMPT_TOKENS)
    ids = torch.randint(1, work.SHAPES[shape][3], size).to(next(model.parameters()).device)
    generate = _generate_transformers if name == "transformers" else _generate_nanogpt

    def write(new_tokens: int) -> int:
        with torch.no_grad():
            written = generate(model, ids, new_tokens)
        if device == "gpu":
            torch.cuda.synchronize()
        return (written.shape[1] - work.PROMPT_TOKENS) * written.shape[0]

    versions = {"torch": torch.__version__}
    if name == "transformers":
        versions["transformers"] = importlib.metadata.version("transformers")
    work.serve(
        lambda: write(work.NEW_TOKENS),
        lambda: write(1),
        batch=int(batch),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        versions=versions,
    )


def _transformers(shape: str) -> torch.nn.Module:
    import transformers

    transformers.logging.set_verbosity_error()
    layers, width, heads, vocab_size = work.SHAPES[shape]
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocab_size,
            n_positions=work.CONTEXT,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            bos_token_id=0,
            eos_token_id=None,
            pad_token_id=0,
            attn_implementation="sdpa",
        )
    )


def _generate_transformers(model, ids: torch.Tensor, new_tokens: int) -> torch.Tensor:
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=True,
        top_k=work.TOP_K,
        temperature=1.0,
        use_cache=True,
    )


def _nanogpt(shape: str, folder: str) -> torch.nn.Module:
    sys.path.insert(0, folder)
    layers, width, heads, vocab_size = work.SHAPES[shape]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints; our stdout holds JSON alone
        from model import GPT, GPTConfig

        return GPT(
            GPTConfig(
                block_size=work.CONTEXT,
                vocab_size=vocab_size,
                n_layer=layers,
                n_head=heads,
                n_embd=width,
                dropout=0.0,
                bias=True,
            )
        )


def _generate_nanogpt(model, ids: torch.Tensor, new_tokens: int) -> torch.Tensor:
    return model.generate(ids, new_tokens, temperature=1.0, top_k=work.TOP_K)


if __name__ == "__main__":
    main()
