"""What the report shows of single runs: curves, bits by part of the text, continuations."""

from collections.abc import Iterable, Sequence
from typing import Any

from jgpt2.ablation import study as studies
from jgpt2.ablation.finished import Finished, shown

_LENGTHS = (0, 1024, 4096, 16_384)
"""Where classes of documents begin, in bytes."""


def curves(plan: studies.Plan, finished: Sequence[Finished]) -> dict[str, dict[str, list[float]]]:
    """Arm -> validation bits per byte over bytes, FLOPs and seconds of training."""
    found = {}
    for one in shown(plan, finished):
        points: dict[str, list[float]] = {"bytes": [], "flops": [], "seconds": [], "bits": []}
        seconds, trained = 0.0, {}
        for row in one.metrics:
            if row["kind"] == "train":
                seconds += row["step_time_s"]
                trained = row
            elif row["kind"] == "evaluation":
                points["bytes"].append(trained["bytes"])
                points["flops"].append(trained["flops"])
                points["seconds"].append(seconds)
                points["bits"].append(row["bits_per_byte"])
        found[one.cell.arm] = points
    return found


def breakdowns(plan: studies.Plan, finished: Sequence[Finished]) -> dict[str, Any]:
    """Kind of part -> part -> arm -> bits per byte; and the bytes of each part."""
    by_arm = {one.cell.arm: _parts(one.measures) for one in shown(plan, finished)}
    return {
        kind: {
            part: {
                "num_bytes": num_bytes,
                "bits_per_byte": {
                    arm: parts_of[kind][part][0] / num_bytes for arm, parts_of in by_arm.items()
                },
            }
            for part, (_, num_bytes) in parts.items()
            if num_bytes
        }
        for kind, parts in next(iter(by_arm.values())).items()
    }


def _parts(measured: dict[str, Any]) -> dict[str, dict[str, tuple[float, int]]]:
    """Kind of part -> part -> (bits, bytes)."""
    documents = measured["documents"]
    columns = list(zip(documents["source"], documents["num_bytes"], documents["bits"], strict=True))
    sources = sorted(set(documents["source"]))
    return {
        "source": {
            name: _sum((bits, size) for source, size, bits in columns if source == name)
            for name in sources
        },
        "script": {
            name: (part["bits"], part["num_bytes"]) for name, part in measured["by_script"].items()
        },
        "length": {
            _range(low, high): _sum(
                (bits, size)
                for _, size, bits in columns
                if low <= size and (high is None or size < high)
            )
            for low, high in zip(_LENGTHS, (*_LENGTHS[1:], None), strict=True)
        },
        "position": {
            _range(part["from_byte"], part["to_byte"]): (part["bits"], part["num_bytes"])
            for part in measured["by_position"]
        },
    }


def _sum(pairs: Iterable[tuple[float, int]]) -> tuple[float, int]:
    listed = list(pairs)
    return sum(bits for bits, _ in listed), sum(size for _, size in listed)


def _range(low: int, high: int | None) -> str:
    return f"{low:,}+" if high is None else f"{low:,}-{high:,}"


def continuations(plan: studies.Plan, finished: Sequence[Finished]) -> list[dict[str, Any]]:
    """Of each prompt, what every arm has made of it."""
    return [
        {
            "prompt": prompt,
            "arms": {
                one.cell.arm: one.measures["continuations"][index]
                for one in shown(plan, finished)
                if "continuations" in one.measures
            },
        }
        for index, prompt in enumerate(plan.study.prompts)
    ]
