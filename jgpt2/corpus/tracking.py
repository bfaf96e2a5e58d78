"""How far the shards in work are: each worker notes it in a small file, one thread adds it up.

A crawl file of a gigabyte takes an hour to extract, so finished shards alone would say too little.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

from jgpt2 import progress
from jgpt2.corpus import shards

_INTERVAL_S = 1.0


@contextlib.contextmanager
def followed(planned: Sequence[shards.Shard], told: progress.Report | None) -> Iterator[None]:
    """Tells every second how many input bytes of the shards are done, and once more at the end."""
    total_bytes = sum(shard.num_bytes for shard in planned)
    if told is None or not total_bytes:  # a pipe has no size
        yield
        return
    over = threading.Event()
    finished: set[str] = set()

    def tell() -> None:
        told(sum(_done(shard, finished) for shard in planned), total_bytes)

    def follow() -> None:
        while not over.wait(_INTERVAL_S):
            tell()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    tell()


def _done(shard: shards.Shard, finished: set[str]) -> int:
    if shard.key not in finished and shard.record.exists():
        finished.add(shard.key)
    if shard.key in finished:
        return shard.num_bytes
    try:
        return min(int(shard.position.read_text("ascii")), shard.num_bytes)
    except (FileNotFoundError, ValueError):  # not begun, or just being written
        return 0
