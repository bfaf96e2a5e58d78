"""A finished run with all that was found out about it: one line of `rows.jsonl`."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import runs
from jgpt2.ablation import cells, controls
from jgpt2.ablation import study as studies


@dataclasses.dataclass(frozen=True)
class Finished:
    """One run with all that was found out about it."""

    cell: cells.Cell
    measures: dict[str, Any]
    vocabulary: controls.Vocabulary
    body: str
    metrics: list[dict[str, Any]]
    """Rows of metrics.jsonl."""

    @property
    def row(self) -> dict[str, Any]:
        """The run as one line of rows.jsonl."""
        cell, measured = self.cell, self.measures
        documents = measured["documents"]
        num_bytes = sum(documents["num_bytes"])
        bits = sum(documents["bits"])
        trained = [row for row in self.metrics if row["kind"] == "train"]
        return {
            "arm": cell.arm,
            "body": self.body,
            "tokenizer": self.vocabulary.name,
            "control": cell.control,
            "seed": cell.seed,
            "run": measured["run"],
            "vocab_size": self.vocabulary.vocab_size,
            "layers": cell.experiment.model.layers,
            "embed_dim": cell.experiment.model.embed_dim,
            "peak_lr": cell.experiment.optimizer.peak_lr,
            **dataclasses.asdict(controls.cost(cell.experiment, self.vocabulary)),
            "bits_per_byte": bits / num_bytes,
            "bits_per_byte_without_eot": (bits - sum(documents["eot_bits"])) / num_bytes,
            "bits_per_byte_equal_bytes": sum(documents["bits_equal_bytes"]) / num_bytes,
            "bits_per_char": bits / sum(documents["num_chars"]),
            **{name: measured["tokens"][name] for name in ("bytes_per_token", "chars_per_token")},
            "byte_share": measured["tokens"]["byte_share"],
            "is_lower_bound": measured["tokens"]["is_lower_bound"],
            **measured["inference"],
            "rare_kanji_recall": _share(measured["rare_kanji"], "num_recalled", "num_occurrences"),
            "valid_utf8_share": measured["samples"]["valid_utf8_share"],
            "training_memory_bytes": measured.get("training_memory_bytes"),
            "training_s": round(sum(row["step_time_s"] for row in trained), 1),
            **measured["times"],
        }


def gather(
    plan: studies.Plan,
    found: Sequence[cells.Cell],
    measured: Sequence[dict[str, Any]],
    vocabularies: Mapping[str, controls.Vocabulary],
    out: Path,
) -> list[Finished]:
    """Puts cells and measures together with what the runs in `out` have logged."""
    return [
        Finished(
            cell=cell,
            measures=record,
            vocabulary=vocabularies[cell.experiment.tokenizer],
            body=studies.body_name(plan.arms[cell.arm].model),
            metrics=runs.metrics(cell.folder(out)),
        )
        for cell, record in zip(found, measured, strict=True)
    ]


def shown(plan: studies.Plan, finished: Sequence[Finished]) -> list[Finished]:
    """The run of each arm that stands for it where one is shown: primary control, first seed."""
    wanted = plan.study.primary, plan.study.seeds[0]
    return [one for one in finished if (one.cell.control, one.cell.seed) == wanted]


def _share(counts: dict[str, Any], part: str, whole: str) -> float | None:
    return counts[part] / counts[whole] if counts[whole] else None
