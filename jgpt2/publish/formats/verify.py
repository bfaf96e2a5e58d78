"""Is what was written the model? Read back from the disk, and by the program it was written for.

Our own reader compares every weight; where an environment with `transformers` is at hand, it loads
the folder there, and logits, greedy continuations and ids of hard texts are compared with ours.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jgpt2 import config
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2, layout
from jgpt2.publish.formats import stress
from jgpt2.tokenizer.base import Tokenizer

DType = Literal["float32", "bfloat16", "float16"]

ROUNDING: dict[DType, float] = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
"""Largest difference of a logit, against the run's own float32 weights, by what is stored."""
TOLERANCE = 1e-4
"""Largest difference of a logit between two programs with the same float32 weights."""
_PROBE = (2, 256)
_PROMPTS, _PROMPT_TOKENS, _NEW_TOKENS = 50, 8, 16
_TORCH_SIDE = Path(__file__).with_name("torch_side.py")

Forward = Callable[[gpt2.Params, Int[np.ndarray, "B T"]], Float[np.ndarray, "B T U"]]


@functools.lru_cache(maxsize=8)
def forward(shape: config.Model, vocab_size: int) -> Forward:
    """(params, ids) -> float32 logits over the true vocabulary, compiled once for a shape."""
    plain = dataclasses.replace(shape, compute_dtype="float32", scan_layers=False)
    graphdef, _ = gpt2.abstract(plain, vocab_size)
    compiled = jax.jit(lambda params, ids: gpt2.forward(graphdef, params, ids)[..., :vocab_size])
    return lambda params, ids: np.array(compiled(params, jnp.asarray(ids, jnp.int32)))


def weights(read: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """DamageError unless what was read from the disk is what was to be written, bit for bit."""
    differing = sorted(set(read) ^ set(wanted)) or [
        name
        for name, tensor in wanted.items()
        if read[name].dtype != tensor.dtype or not np.array_equal(read[name], tensor)
    ]
    if differing:
        raise DamageError(f"the folder does not hold the weights it was given: {differing[:3]}.")


def rounding(
    read: Mapping[str, np.ndarray], given: gpt2.Params, *, shape: config.Model, dtype: DType
) -> dict[str, Any]:
    """How far logits moved by storing the weights in `dtype`; `read` is under GPT-2's names.

    Raises DamageError where that is above what the type explains.
    """
    loaded, vocab_size = layout.from_gpt2_names(read)
    given = layout.unstack_blocks(given) if shape.scan_layers else given
    ids = rows(vocab_size, shape.context)
    logits = forward(shape, vocab_size)
    difference = float(np.abs(logits(loaded, ids) - logits(given, ids)).max())
    if not difference <= ROUNDING[dtype]:
        raise DamageError(
            f"logits of what was written differ by {difference:g} from the run's, above "
            f"{ROUNDING[dtype]:g} for {dtype}; it was not published. Export as float32."
        )
    return {
        "tensors": len(read),
        "ids": list(ids.shape),
        "max_logit_difference": difference,
        "tolerance": ROUNDING[dtype],
    }


def python_with_transformers(given: Path | None) -> Path | None:
    """The Python that loads exported folders: `given`, else this one if it has torch; or None.

    Raises InputError where there is no such program.
    """
    if given is None:
        has_both = all(importlib.util.find_spec(name) for name in ("transformers", "torch"))
        return Path(sys.executable) if has_both else None
    if not given.is_file():
        raise InputError(
            f"{given} is no program; give --python the Python of an environment that has "
            "transformers and torch, such as .venv/bin/python."
        )
    return given


def transformers(
    folder: Path,
    read: Mapping[str, np.ndarray],
    *,
    shape: config.Model,
    tokenizer: Tokenizer,
    python: Path,
) -> dict[str, Any]:
    """The folder as `transformers` loads it, compared with the weights that it holds.

    Raises DamageError where logits, a continuation, ids or decoded text differ, InputError where
    that environment cannot load the folder.
    """
    params, vocab_size = layout.from_gpt2_names(read)
    ids = rows(vocab_size, shape.context)
    prompts = _prompts(vocab_size, shape.context)
    new_tokens = min(_NEW_TOKENS, shape.context - prompts.shape[1])
    logits, told = ask(
        python, folder, rows=ids, prompts=prompts, new_tokens=new_tokens, texts=stress.TEXTS
    )
    ours = forward(shape, vocab_size)
    difference = float(np.abs(ours(params, ids) - logits).max())
    written = np.asarray(told["written"])
    num_ties = _compare_continuations(ours, params, written, prompts.shape[1], tokenizer.eot)
    wrong = {
        f"a logit by {difference:g}, above {TOLERANCE:g}": not difference <= TOLERANCE,
        "a greedy continuation": num_ties is None,
        "the end-of-text id": told["eot"] != tokenizer.eot,
        "the ids of a text": told["ids"]
        != [ids.tolist() for ids in tokenizer.encode_batch(stress.TEXTS)],
        "a decoded text": told["decoded"] != list(stress.TEXTS),
    }
    if any(wrong.values()):
        differs = " and ".join(what for what, is_wrong in wrong.items() if is_wrong)
        raise DamageError(
            f"transformers {told['versions']['transformers']} loads another model or vocabulary "
            f"than was exported: {differs} differ; it was not published."
        )
    return {
        "versions": told["versions"],
        "class": told["class"],
        "ids": list(ids.shape),
        "max_logit_difference": difference,
        "tolerance": TOLERANCE,
        "continuations": {"equal": len(prompts), "new_tokens": new_tokens, "ties": num_ties},
        "texts_with_equal_ids": len(stress.TEXTS),
    }


def ask(python: Path, folder: Path, **asked: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Logits and what else `torch_side.py` tells of a folder, run by another Python.

    Raises InputError with the last line it said where it fails.
    """
    plain = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in asked.items()
    }
    with tempfile.TemporaryDirectory(prefix="jgpt2-") as scratch:
        question, answer = Path(scratch) / "asked.json", Path(scratch) / "answer.npz"
        question.write_text(json.dumps(plain), "utf-8")
        # From stdin: a script's own folder would come first where that Python looks for modules.
        command = [str(python.absolute()), "-", folder.resolve(), question, answer]
        done = subprocess.run(
            command,
            input=_TORCH_SIDE.read_text("utf-8"),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=scratch,
            env=_environment(),
        )
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[-1]
            raise InputError(
                f"{python} could not load the exported folder (it said: {said}); give --python "
                "the Python of an environment with transformers and torch."
            )
        with np.load(answer) as content:
            return content["logits"], json.loads(str(content["told"]))


def _environment() -> dict[str, str]:
    """Without paths of this project's Python, and without a network."""
    own = ("PYTHONPATH", "PYTHONHOME")
    return {k: v for k, v in os.environ.items() if k not in own} | {"HF_HUB_OFFLINE": "1"}


def rows(vocab_size: int, context: int) -> Int[np.ndarray, "B T"]:
    """Random ids at which logits are compared."""
    size = _PROBE[0], min(context, _PROBE[1])
    return np.random.default_rng(0).integers(vocab_size, size=size, dtype=np.int32)


def _prompts(vocab_size: int, context: int) -> Int[np.ndarray, "B T"]:
    size = _PROMPTS, min(_PROMPT_TOKENS, context // 2)
    return np.random.default_rng(1).integers(vocab_size, size=size, dtype=np.int32)


def _compare_continuations(
    ours: Forward, params: gpt2.Params, written: Int[np.ndarray, "B T"], start: int, eot: int
) -> int | None:
    """How many rows part from ours at a tie, within the tolerance; None where one parts at none.

    `written` are their prompts and continuations; EOT was forbidden there.
    """
    scores = ours(params, written)[:, start - 1 : -1]
    scores[..., eot] = -np.inf
    chosen = np.take_along_axis(scores, written[:, start:, None], axis=-1)[..., 0]
    behind = scores.max(axis=-1) - chosen
    if (behind > 2 * TOLERANCE).any():
        return None
    return int((behind > 0).any(axis=-1).sum())
