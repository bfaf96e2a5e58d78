"""What llama.cpp makes of a GGUF file: python llama.py FILE ASKED.json ANSWER.npz

ASKED holds `rows` of ids, `texts`, `prompts` of ids, `new_tokens` and the id `eot`, which is never
written; ANSWER gets the logits of the rows, the greedy continuations, and of each text its ids and
what they decode to. Keys and values of attention are kept in float32: llama.cpp's default is half.
"""

import ctypes
import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np


def decoded(model: llama_cpp.Llama, ids: list[int]) -> str:
    """By llama.cpp itself: the method of `Llama` loses pieces of more than 32 bytes."""
    vocab = llama_cpp.llama_model_get_vocab(model.model)
    size = 16 + 64 * len(ids)
    text = ctypes.create_string_buffer(size)
    given = (llama_cpp.llama_token * len(ids))(*ids)
    length = llama_cpp.llama_detokenize(vocab, given, len(ids), text, size, False, False)
    assert length >= 0
    return text.raw[:length].decode(errors="replace")


def logits_of(model: llama_cpp.Llama, ids: list[int]) -> np.ndarray:
    model.reset()
    model.eval(ids)
    return model.scores[: len(ids)].copy()


def continued(model: llama_cpp.Llama, prompt: list[int], new_tokens: int, eot: int) -> list[int]:
    model.reset()
    written = list(prompt)
    model.eval(prompt)
    for _ in range(new_tokens):
        scores = model.scores[len(written) - 1].copy()
        scores[eot] = -np.inf
        written.append(int(scores.argmax()))
        model.eval(written[-1:])
    return written


def main() -> None:
    file, asked_file, answer_file = map(Path, sys.argv[1:])
    asked = json.loads(asked_file.read_text(encoding="utf-8"))
    longest = len(asked["rows"][0])
    model = llama_cpp.Llama(
        str(file),
        n_ctx=longest,
        n_batch=longest,
        n_ubatch=longest,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        logits_all=True,
        verbose=False,
    )
    ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in asked["texts"]]
    told = {
        "ids": ids,
        "decoded": [decoded(model, row) for row in ids],
        "written": [
            continued(model, prompt, asked["new_tokens"], asked["eot"])
            for prompt in asked["prompts"]
        ],
        "version": llama_cpp.__version__,
    }
    logits = np.stack([logits_of(model, row) for row in asked["rows"]])
    np.savez(answer_file, logits=logits, told=json.dumps(told))


main()
