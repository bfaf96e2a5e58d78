"""What all implementations do for `peers_decode.py`: shapes, lengths, and the talk with it.

Imports nothing heavy, for it runs in the peers' environments, too.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

# layers, width, heads, vocabulary
SHAPES = {"tiny": (6, 320, 5, 8000), "gpt2": (12, 768, 12, 50257)}
CONTEXT = 256
PROMPT_TOKENS = 32
NEW_TOKENS = 128
TOP_K = 40


def serve(
    write: Callable[[], int],
    first_tokens: Callable[[], object],
    *,
    batch: int,
    dtype: str,
    versions: dict[str, str],
) -> None:
    """Tells what is ready after one batch that warms up, then makes one for each line of stdin.

    `write()` makes a batch and gives the number of its tokens; `first_tokens()` is what the very
    first call takes, compilation included.
    """
    started_s = time.perf_counter()
    first_tokens()
    first_s = time.perf_counter() - started_s
    write()
    _say(
        {
            "prompt_tokens": PROMPT_TOKENS,
            "new_tokens": NEW_TOKENS,
            "top_k": TOP_K,
            "dtype": dtype,
            "first_tokens_s": round(first_s, 3),
            "versions": versions,
        }
    )
    for _ in sys.stdin:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        num_tokens = write()
        taken = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}
        assert num_tokens == batch * NEW_TOKENS, f"{num_tokens} tokens are not what was asked"
        _say(taken)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
