"""`jgpt2 doctor`: what keeps a run from starting on these hosts."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jgpt2.processes import Settings, joined
from jgpt2.verbs import answer

if TYPE_CHECKING:
    from jgpt2.doctor import Finding

_ALONE = Settings()


def doctor(
    expect_devices: int | None = None,
    writable: tuple[Path, ...] = (),
    config: Path | None = None,
    json: bool = False,
    processes: Settings = _ALONE,
) -> int:
    """Look for what keeps a run from starting: devices, locks, paths, hosts that differ.

    Exit code 0 when all is well, 2 otherwise. Started on every host of a pod, as a run is, it
    compares them; process 0 prints for all.

    Args:
        expect_devices: Devices that all hosts together must have.
        writable: Folders or buckets to write, read and remove a small file in.
        config: Config whose fingerprint all hosts must agree on.
        json: Print one JSON document.
        processes: How the processes find each other.
    """
    from jgpt2 import doctor as examiner

    with joined(processes) as group:
        findings = examiner.examine(
            group, expect_devices=expect_devices, writable=writable, config=config
        )
        is_well = all(finding.is_well for finding in findings)
        if group.is_first:
            rows = [dataclasses.asdict(finding) for finding in findings]
            answer.give({"is_well": is_well, "findings": rows}, _table(findings), json)
    return 0 if is_well else 2


def _table(findings: "list[Finding]") -> str:
    width = max(len(finding.check) for finding in findings)
    hosts = max(len(finding.host) for finding in findings)
    lines = []
    for finding in findings:
        sign = "ok   " if finding.is_well else "WRONG"
        lines.append(f"{sign} {finding.host:<{hosts}} {finding.check:<{width}} {finding.what}")
        if finding.remedy:
            lines.append(f"      {'':<{hosts}} {'':<{width}} -> {finding.remedy}")
    wrong = sum(not finding.is_well for finding in findings)
    return "\n".join([*lines, f"{wrong} findings need a hand" if wrong else "all is well"])
