"""GPT-2s that transformers makes and scores: python foreign.py ASKED.json FOLDER ANSWER.json

ASKED holds `texts`, and `models`: folder name -> {config, is_bare, dtype, shard_size, stride}. Each
is written into FOLDER by `save_pretrained`; ANSWER gets the bits of each text under each model.
Ids are UTF-8 bytes and 256 for the end of a text; ids above that, which no text has, get no share
of the probability.

Every token is scored once: by the window of `n_positions` inputs in which it has the least context
that is still `n_positions - stride` or more, or the first window, and in float64 from the logits.
"""

import json
import math
import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

EOT = 256


def bits(model, text, context, stride):
    row = [EOT, *text.encode(), EOT]
    by_start = {}
    for target in range(1, len(row)):
        start = stride * max(0, math.ceil((target - context) / stride))
        by_start.setdefault(start, []).append(target)
    total = 0.0
    for start, targets in by_start.items():
        window = torch.tensor([row[start : start + context]])
        logits = model(window).logits[0, :, : EOT + 1].double()
        scores = torch.log_softmax(logits, dim=-1)
        for target in targets:
            total -= scores[target - 1 - start, row[target]].item() / math.log(2)
    return total


def main():
    torch.set_num_threads(1)  # the work is small, and threads would wait for each other
    asked_file, folder, answer_file = map(Path, sys.argv[1:])
    asked = json.loads(asked_file.read_text(encoding="utf-8"))
    answer = {}
    for seed, (name, wanted) in enumerate(asked["models"].items()):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(GPT2Config(**wanted["config"])).to(getattr(torch, wanted["dtype"]))
        saved = model.transformer if wanted["is_bare"] else model
        saved.save_pretrained(folder / name, max_shard_size=wanted["shard_size"])
        model = model.float().eval()
        with torch.no_grad():
            answer[name] = [
                bits(model, text, model.config.n_positions, wanted["stride"])
                for text in asked["texts"]
            ]
    answer_file.write_text(json.dumps(answer), encoding="utf-8")


main()
