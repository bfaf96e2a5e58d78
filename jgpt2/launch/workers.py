"""The processes of one attempt on this machine: their environment, their sessions, their lines.

Each is started in a session of its own, so that a Ctrl-C of the terminal reaches the launcher
alone, and so that a worker is killed together with what it started.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self, TextIO

from jgpt2.launch import exits

_DEVICE_COUNT = "--xla_force_host_platform_device_count"
_DRAIN_S = 5.0
"""Longest wait for the last lines of processes that have ended."""


class Workers:
    """The processes of one attempt; a context at whose end they have ended, or are killed.

    `ended` holds exit codes by index, in the order of the ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        variables: Mapping[str, str],
        logs: Path | None,
    ) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ended: dict[int, int] = {}
        self._pumps: list[threading.Thread] = []
        self._writing = threading.Lock()
        try:
            for index in range(processes):
                own = {**variables, "JAX_PROCESS_ID": str(index)}
                self._start(command, index, own, logs)
        except BaseException:
            self.kill()
            raise

    @property
    def codes(self) -> list[int]:
        """Exit codes by index; all have ended."""
        return [self.ended[index] for index in range(len(self.processes))]

    def poll(self) -> bool:
        """Notes who has ended, and kills what they left behind; whether all have ended."""
        for index, process in enumerate(self.processes):
            if index not in self.ended and process.poll() is not None:
                self.ended[index] = exits.of_process(process.returncode)
                _signal_session(process, signal.SIGKILL)
        return len(self.ended) == len(self.processes)

    def terminate(self) -> None:
        """SIGTERM to those that have not ended, not to what they started."""
        for index, process in enumerate(self.processes):
            if index not in self.ended:
                process.terminate()

    def kill(self) -> None:
        """SIGKILL to those that have not ended, stopped ones too, and to what they started."""
        for index, process in enumerate(self.processes):
            if index not in self.ended:
                _signal_session(process, signal.SIGKILL)
                process.wait()
        self.poll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Kills who is left, and waits for the last lines."""
        self.kill()
        until_s = time.monotonic() + _DRAIN_S
        for pump in self._pumps:
            pump.join(max(until_s - time.monotonic(), 0))

    def _start(
        self, command: Sequence[str], index: int, variables: Mapping[str, str], logs: Path | None
    ) -> None:
        process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        assert process.stdout and process.stderr
        log = logs / f"process-{index}.log" if logs is not None else None
        prefix = f"[{index}] ".encode()
        if index == 0:  # its stdout is the answer of the command
            self._pump(process.stdout, sys.stdout, b"", log)
        else:
            self._pump(process.stdout, sys.stderr, prefix, log)
        self._pump(process.stderr, sys.stderr, prefix, log)

    def _pump(self, source: IO[bytes], sink: TextIO, prefix: bytes, log: Path | None) -> None:
        def pump() -> None:
            is_read = True
            with source, log.open("ab") if log else contextlib.nullcontext() as kept:
                for line in source:
                    with self._writing:
                        if kept is not None:
                            kept.write(line)
                            kept.flush()
                        is_read = is_read and _write(sink, prefix + line)

        thread = threading.Thread(target=pump, daemon=True)
        thread.start()
        self._pumps.append(thread)


def variables(given: Mapping[str, str] | None, *, processes: int, devices: int) -> dict[str, str]:
    """The variables that the processes of an attempt share: who they are to JAX, on which devices.

    A proxy would stand between processes of one machine, and is left out.
    """
    made = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    made |= given or {}
    flags = re.sub(rf"{_DEVICE_COUNT}=\d+", "", made.get("XLA_FLAGS", "")).split()
    made.pop("JAX_NUM_CPU_DEVICES", None)  # it would contradict the flag
    return made | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": " ".join([*flags, f"{_DEVICE_COUNT}={devices}"]),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{_free_port()}",
        "JAX_NUM_PROCESSES": str(processes),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # No process of it is left, or only one that has ended and that nobody has waited for.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _write(sink: TextIO, line: bytes) -> bool:
    """Whether someone still reads."""
    try:
        if hasattr(sink, "buffer"):
            sink.buffer.write(line)
        else:
            sink.write(line.decode(errors="replace"))
        sink.flush()
    except (BrokenPipeError, ValueError):  # ValueError: the sink is closed
        return False
    return True
