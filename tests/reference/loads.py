"""What transformers makes of an exported folder: python loads.py FOLDER ASKED.json ANSWER.npz

ASKED holds `rows` of ids, `texts`, `prompts` of ids and `new_tokens`; ANSWER gets the logits of the
rows, the greedy continuations, and of each text its ids and what they decode to.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    folder, asked_file, answer_file = map(Path, sys.argv[1:])
    asked = json.loads(asked_file.read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(torch.tensor(asked["rows"])).logits.numpy()
        written = [
            model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                do_sample=False,
                min_new_tokens=asked["new_tokens"],
                max_new_tokens=asked["new_tokens"],
            )[0].tolist()
            for prompt in asked["prompts"]
        ]
    ids = [tokenizer(text)["input_ids"] for text in asked["texts"]]
    told = {
        "written": written,
        "ids": ids,
        "decoded": [tokenizer.decode(row) for row in ids],
        "class": type(model).__name__,
        "eot": tokenizer.eos_token_id,
        "vocab_size": model.config.vocab_size,
    }
    np.savez(answer_file, logits=logits, told=json.dumps(told))


main()
