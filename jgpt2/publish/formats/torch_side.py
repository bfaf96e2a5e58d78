"""What transformers makes of an exported folder: python torch_side.py FOLDER ASKED.json ANSWER.npz.

Runs in an environment of its own, with torch and without this project: `verify` hands it to that
Python. ASKED holds `rows` of ids, `texts`, `prompts` of ids and `new_tokens`; ANSWER gets the
logits of the rows, the greedy continuations, and of each text its ids and what they decode to.
"""

import json
import sys
from pathlib import Path


def main(folder: Path, asked_file: Path, answer_file: Path) -> None:
    """Loads, computes and reads in float32, and writes the answer."""
    import numpy as np
    import transformers  # pyright: ignore[reportMissingImports]

    asked = json.loads(asked_file.read_text(encoding="utf-8"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text)["input_ids"] for text in asked["texts"]]
    told = {
        "ids": ids,
        "decoded": [tokenizer.decode(row) for row in ids],
        "eot": tokenizer.eos_token_id,
        "versions": {"transformers": transformers.__version__},
    }
    logits = np.zeros(0)
    if asked["rows"]:
        import torch  # pyright: ignore[reportMissingImports]

        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        prompts = torch.tensor(asked["prompts"])
        with torch.no_grad():
            logits = model.eval()(torch.tensor(asked["rows"])).logits.numpy()
            written = model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                min_new_tokens=asked["new_tokens"],
                max_new_tokens=asked["new_tokens"],
            )
        told |= {"class": type(model).__name__, "vocab_size": model.config.vocab_size}
        told["written"] = written.tolist()
        told["versions"]["torch"] = torch.__version__
    np.savez(answer_file, logits=logits, told=json.dumps(told))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
