"""What a run folder tells of its life: checkpoints, where the time went, and what happened.

Read by `jgpt2 inspect`; nothing here is written.
"""

import collections
from pathlib import Path
from typing import Any

from jgpt2 import integrity, runs
from jgpt2.train import goodput

_LAST_EVENTS = 5


def of(run: Path) -> dict[str, Any]:
    """Steps, checkpoints, goodput and events of a run; every checkpoint's files are verified.

    Raises DamageError when a file of a checkpoint is not what its record says.
    """
    rows, events = runs.metrics(run), runs.events(run)
    trained = [row for row in rows if row["kind"] == "train"]
    return {
        "step": trained[-1]["step"] if trained else 0,
        "checkpoints": [_checkpoint(run / runs.CHECKPOINTS, step) for step in _steps(run)],
        "set_aside": integrity.names_set_aside(run / runs.CHECKPOINTS),
        "goodput": goodput.total(rows).record(),
        "events": dict(collections.Counter(row["event"] for row in events)),
        "last_events": events[-_LAST_EVENTS:],
    }


def lines(account: dict[str, Any]) -> list[str]:
    """The account for a reader."""
    told = [f"step: {account['step']}"]
    for found in account["checkpoints"]:
        bits = found["bits_per_byte"]
        score = "not evaluated" if bits is None else f"{bits:.4f} bits per byte"
        told.append(f"checkpoint {found['step']}: {found['num_bytes']:,} bytes, verified, {score}")
    told += [f"set aside: checkpoints/{name}" for name in account["set_aside"]]
    spent = account["goodput"]
    total_s = sum(spent["seconds"].values())
    told.append(
        f"goodput: {spent['goodput']:.1%} of {total_s:,.0f} s went into steps that count "
        f"({spent['num_segments']} starts, {spent['lost_steps']} steps done again)"
    )
    for kind, seconds in sorted(spent["seconds"].items(), key=lambda item: -item[1]):
        if seconds:
            told.append(f"  {kind:<10} {seconds:>10,.1f} s {seconds / total_s:>6.1%}")
    for row in account["last_events"]:
        facts = {key: value for key, value in row.items() if key not in ("time", "event", "digest")}
        told.append(
            f"event {row['time'][:19]} {row['event']}: "
            + ", ".join(f"{key} {value}" for key, value in facts.items())
        )
    return told


def _steps(run: Path) -> list[int]:
    return integrity.steps(run / runs.CHECKPOINTS)


def _checkpoint(folder: Path, step: int) -> dict[str, Any]:
    integrity.verify(folder, step)
    record = integrity.read(folder, step)
    return {
        "step": step,
        "bits_per_byte": record.bits_per_byte,
        "num_bytes": record.num_bytes,
        "code_version": record.code_version,
    }
