"""The ledger of a staged release: what was published, shared and withdrawn, one line each.

`ledger.jsonl` only grows. A line carries its number, a digest of itself and the digest of the line
before, and `ledger.head.json` says how far it goes: an edited, removed or moved line is found. Who
writes all of it anew is not: keep the digest of the last line where others see it.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError

FILE_NAME = "ledger.jsonl"
HEAD = "ledger.head.json"
_LOCK = ".ledger.lock"

Line = dict[str, Any]


def read(folder: Path) -> list[Line]:
    """The lines in order; none where nothing has happened. DamageError names a line in disorder."""
    path = folder / FILE_NAME
    texts = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    lines: list[Line] = []
    for number, text in enumerate(texts, start=1):
        line = _parsed(text)
        if line is None or line["digest"] != _digest(line):
            raise DamageError(f"line {number} of {path} was changed; {_REMEDY}")
        if (line["number"], line["before"]) != (number, lines[-1]["digest"] if lines else None):
            raise DamageError(
                f"line {number} of {path} is not the one that was written there: a line was "
                f"removed, added or moved; {_REMEDY}"
            )
        lines.append(line)
    _require_end(folder, lines)
    return lines


def append(folder: Path, event: str, time: datetime.datetime, **facts: Any) -> Line:
    """Adds one line, such as `published` with its stage, and gives it with number and digest."""
    with storage.locked(folder / _LOCK):
        lines = read(folder)
        line: Line = {
            "number": len(lines) + 1,
            "time": time.astimezone(datetime.UTC).isoformat(timespec="seconds"),
            "event": event,
            **facts,
            "before": lines[-1]["digest"] if lines else None,
        }
        line["digest"] = _digest(line)
        text = "".join(_dumped(one) + "\n" for one in [*lines, line])
        manifest.write_text(folder / FILE_NAME, text)
        # Killed before this, the ledger goes further than its head says, which is no damage.
        manifest.write_json(folder / HEAD, {"lines": line["number"], "digest": line["digest"]})
    return line


def latest(lines: list[Line], stage: str) -> Line | None:
    """The last line that published or withdrew a stage."""
    of_stage = (one for one in reversed(lines) if one["stage"] == stage)
    return next((one for one in of_stage if one["event"] in ("published", "withdrawn")), None)


def published(lines: list[Line], stage: str) -> Line | None:
    """The line that published a stage; None where it is not published, or withdrawn since."""
    line = latest(lines, stage)
    return line if line is not None and line["event"] == "published" else None


def time_of(line: Line) -> datetime.datetime:
    """When a line was written, in UTC."""
    return datetime.datetime.fromisoformat(line["time"])


def _require_end(folder: Path, lines: list[Line]) -> None:
    """DamageError where the last lines are gone."""
    path = folder / HEAD
    if not path.is_file():
        if len(lines) > 1:
            raise DamageError(
                f"{path} is missing, so that nobody knows where {FILE_NAME} ended; {_REMEDY}"
            )
        return
    try:
        head = json.loads(path.read_text("utf-8"))
        count, digest = int(head["lines"]), head["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{path} cannot be read ({error!r}); {_REMEDY}") from error
    if count > len(lines):
        raise DamageError(
            f"line {len(lines) + 1} of {folder / FILE_NAME} is missing: {HEAD} counts {count}; "
            f"{_REMEDY}"
        )
    if count < 1 or lines[count - 1]["digest"] != digest:
        raise DamageError(
            f"line {count} of {folder / FILE_NAME} is not the one that {HEAD} names; {_REMEDY}"
        )


def _parsed(text: bytes) -> Line | None:
    """The line if it is one as it was written, else None."""
    try:
        line = json.loads(text)
        _ = line["number"], line["event"], line["stage"], line["before"], line["digest"]
        time_of(line)
    except (ValueError, KeyError, TypeError):
        return None
    return line if _dumped(line).encode() == text else None


def _dumped(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _digest(line: Mapping[str, Any]) -> str:
    content = {key: value for key, value in line.items() if key != "digest"}
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


_REMEDY = "restore ledger.jsonl and ledger.head.json from a copy."
