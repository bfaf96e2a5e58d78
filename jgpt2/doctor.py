"""What keeps a run from starting on a host: devices, locks, paths, and hosts that differ.

Each check gives one finding with its remedy. With several processes all of them look, and what they
must have in common (code, config, time of day) is compared through `jgpt2.processes`.
"""

import importlib.metadata
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jgpt2 import configio, manifest, storage
from jgpt2.processes import Group, tpu_nodes

_CLOCK_S = 5.0
"""How far the clocks of hosts may be apart: logs are read side by side."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    is_well: bool
    what: str
    remedy: str = ""
    """What to do; empty where all is well."""
    host: str = ""


@dataclass(frozen=True)
class Places:
    """Where the system keeps what is looked at."""

    lock: Path = Path("/tmp/libtpu_lockfile")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")


def examine(
    group: Group,
    *,
    expect_devices: int | None = None,
    writable: Sequence[Path] = (),
    config: Path | None = None,
    places: Places | None = None,
) -> list[Finding]:
    """The findings of all processes, the same list on each of them; locks before devices."""
    places = places or Places()
    own = [*_locks(places), _libtpu(places), *(_writes(path) for path in writable)]
    own.append(_devices(expect_devices))
    host = f"{group.index} {socket.gethostname()}"
    common = {
        "code": manifest.code_version(),
        "config": "none" if config is None else configio.fingerprint(configio.load(config)),
        "jax": importlib.metadata.version("jax"),
    }
    told = group.exchange(
        "doctor",
        {
            "host": host,
            "findings": [asdict(finding) | {"host": host} for finding in own],
            "common": common,
            "time": time.time(),
        },
    )
    findings = [Finding(**finding) for one in told for finding in one["findings"]]
    return [*findings, *_compared(told)]


def _locks(places: Places) -> list[Finding]:
    """The lock file of libtpu, and the processes that hold it or a TPU."""
    nodes = tpu_nodes(places.dev)
    holders = _holders(places.proc, {*nodes, places.lock})
    if holders:
        listed = ", ".join(f"{pid} ({name})" for pid, name in sorted(holders.items()))
        remedy = f"end what is left of an earlier run: kill {' '.join(map(str, sorted(holders)))}"
        return [Finding("TPU lock", False, f"held by process {listed}", remedy)]
    if places.lock.exists() and nodes:
        remedy = f"its process is gone: remove {places.lock}"
        return [Finding("TPU lock", False, f"{places.lock} is stale", remedy)]
    return [Finding("TPU lock", True, "free" if nodes else "no TPU on this host")]


def _holders(proc: Path, held: set[Path]) -> dict[int, str]:
    found: dict[int, str] = {}
    for folder in proc.glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            opened = {link.readlink() for link in (folder / "fd").iterdir()}
            if opened & held:
                found[int(folder.name)] = (folder / "comm").read_text("utf-8").strip()
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def _libtpu(places: Places) -> Finding:
    has_tpu = bool(tpu_nodes(places.dev))
    try:
        return Finding("libtpu", True, importlib.metadata.version("libtpu"))
    except importlib.metadata.PackageNotFoundError:
        remedy = "install the extra: uv sync --extra tpu" if has_tpu else ""
        return Finding("libtpu", not has_tpu, "not installed", remedy)


def _writes(folder: Path) -> Finding:
    """Whether a file can be written there, read back, and removed."""
    path, text = folder / f".jgpt2-doctor-{uuid.uuid4().hex}", uuid.uuid4().hex
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        is_same = path.read_text("utf-8") == text
        path.unlink()
    except OSError as error:
        remedy = "give a folder that you may write to, or allow it"
        return Finding(f"writable {folder}", False, str(error), remedy)
    except Exception as error:  # of a bucket: whatever its client raises
        remedy = "check the name, the rights of this host's account, and the extra gcs"
        return Finding(f"writable {folder}", False, f"{type(error).__name__}: {error}", remedy)
    free_bytes = storage.free_bytes(folder)
    what = "yes" if free_bytes is None else f"{free_bytes / 1e9:,.1f} GB free"
    remedy = "" if is_same else "it reads back otherwise: use another"
    return Finding(f"writable {folder}", is_same, what, remedy)


def _devices(expected: int | None) -> Finding:
    import jax

    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    what = f"{len(devices)} x {', '.join(kinds)}, {jax.local_device_count()} of this process"
    if expected in (None, len(devices)):
        return Finding("devices", True, what)
    remedy = (
        f"{expected} were expected: start the same command on every host, and see which is missing"
    )
    return Finding("devices", False, what, remedy)


def _compared(told: list[dict[str, Any]]) -> list[Finding]:
    """What all hosts must have in common."""
    remedies = {
        "code": "bring the same commit to every host",
        "config": "give every host the same config",
        "jax": "install from the same uv.lock on every host",
    }
    findings = []
    for name, remedy in remedies.items():
        values = {one["common"][name] for one in told}
        if len(values) == 1:
            findings.append(Finding(f"same {name}", True, values.pop()[:40], host="all"))
        else:
            listed = "; ".join(f"{one['host']}: {one['common'][name][:24]}" for one in told)
            findings.append(Finding(f"same {name}", False, listed, remedy, host="all"))
    apart_s = max(one["time"] for one in told) - min(one["time"] for one in told)
    is_close = apart_s < _CLOCK_S
    remedy = "" if is_close else "start all hosts within seconds, or set their clocks by NTP"
    findings.append(Finding("clocks", is_close, f"{apart_s:.1f} s apart", remedy, host="all"))
    return findings
