"""The processes of one run: how they join, agree, hear of each other, and leave together.

Everything here goes through JAX's coordination service, which process 0 holds: small messages over
the network between hosts, never through devices, so a host whose device is stuck still answers.
"""

import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jgpt2 import failure
from jgpt2.errors import InputError

_PREFIX = "jgpt2"
_DONE = "done"
_NEWS_WAIT_S = 10
"""How long one request for news waits on the coordinator before it is made again."""
_FAREWELL_S = 5
"""How long process 0, which holds the coordinator, waits for the others to have read its news."""
_PARTING_S = 1.0
"""What those that said goodbye are given to be gone: JAX aborts whoever loses the coordinator."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the processes of a run find each other; TPU VMs, GKE and Slurm need none of it."""

    coordinator: str | None = None
    """HOST:PORT of process 0; None takes JAX_COORDINATOR_ADDRESS, or what the cluster says."""
    count: int | None = None
    """Processes in all; None takes JAX_NUM_PROCESSES, or what the cluster says."""
    index: int | None = None
    """Which of them this is, from 0; None takes JAX_PROCESS_ID, or what the cluster says."""
    heartbeat_s: int = 60
    """A process that was silent for so long is lost, and all others end (with 134)."""
    shutdown_s: int = 60
    """How long the first to finish waits for the last."""
    start_s: int = 300
    """How long the first to start waits for the last."""


class AbsentError(RuntimeError):
    """Some processes did not come to a meeting in time; the message names them."""


class Group:
    """The processes of a run as one of them sees them; without a client it is the only one."""

    def __init__(self, client: Any = None, *, index: int = 0, count: int = 1) -> None:
        self.index, self.count = index, count
        self._client = client
        self._rounds: dict[str, Iterator[int]] = {}
        self._on_news: list[Callable[[dict[str, Any]], None]] = []

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which writes what is written once."""
        return self.index == 0

    def exchange(self, name: str, value: Any, *, timeout_s: float = 600) -> list[Any]:
        """The JSON values that all processes give under this name, by index.

        Every process calls it as often under one name as the others do. Raises AbsentError naming
        those that did not come within the time.
        """
        if self._client is None:
            return [value]
        key = f"{_PREFIX}/{name}/{next(self._rounds.setdefault(name, itertools.count()))}"
        self._client.key_value_set(f"{key}/{self.index}", json.dumps(value))
        until_s = time.monotonic() + timeout_s
        values, absent = [], []
        for index in range(self.count):
            left_s = max(until_s - time.monotonic(), 0.001)
            said = self._wait(f"{key}/{index}", left_s)
            values.append(None if said is None else json.loads(said))
            absent += [index] if said is None else []
        if absent:
            raise AbsentError(
                f"{_listed(absent)} did not reach {name!r} within {timeout_s:.0f} s "
                f"(said by process {self.index} of {self.count} on {socket.gethostname()}): "
                "look at the last lines of its log; the run goes on from its last checkpoint when "
                "it is started again."
            )
        return values

    def barrier(self, name: str, *, timeout_s: float = 600) -> None:
        """Returns when all processes have come here; AbsentError names those that do not."""
        self.exchange(name, None, timeout_s=timeout_s)

    def from_first(self, name: str, value: Any, *, timeout_s: float = 600) -> Any:
        """What process 0 gives; the values of the others are not looked at."""
        return self.exchange(name, value, timeout_s=timeout_s)[0]

    def tell(self, news: dict[str, Any]) -> None:
        """Sends news to every process, this one included; all hear all news in one order."""
        if self._client is None:
            for heed in self._on_news:
                heed(news)
            return
        for number in itertools.count():
            try:
                self._client.key_value_set(f"{_PREFIX}-news/{number}", json.dumps(news))
            except Exception as error:
                if "ALREADY_EXISTS" not in str(error):
                    raise
            else:
                return

    def on_news(self, heed: Callable[[dict[str, Any]], None]) -> None:
        """Calls `heed` with all news from here on, in the thread that hears them."""
        self._on_news.append(heed)

    def _listen(self) -> None:
        number = 0
        while True:
            try:
                said = self._wait(f"{_PREFIX}-news/{number}", _NEWS_WAIT_S)
            except Exception:
                return  # the coordinator is gone: JAX itself ends this process, or it is leaving
            if said is not None:
                number += 1
                news = json.loads(said)
                if news["kind"] == _DONE:
                    return
                for heed in self._on_news:
                    heed(news)

    def _wait(self, key: str, timeout_s: float) -> str | None:
        try:
            return self._client.blocking_key_value_get(key, int(timeout_s * 1000))
        except Exception as error:
            if "DEADLINE_EXCEEDED" in str(error):
                return None
            raise

    def _leave_on_failure(self, news: dict[str, Any]) -> None:
        if news.get("kind") != "failure" or news["index"] == self.index:
            return
        said = f"process {news['index']} on {news['host']} failed: {news['message']}"
        print(f"jgpt2: leaving with {news['exit_code']}: {said}", file=sys.stderr)
        self._client.key_value_set(f"{_PREFIX}-left/{self.index}", "")
        _exit(news["exit_code"])

    def _leave_all(self, message: str, exit_code: int) -> None:
        news = {"kind": "failure", "index": self.index, "host": socket.gethostname()}
        with contextlib.suppress(Exception):  # without a coordinator there is nobody to tell
            self.tell(news | {"message": message, "exit_code": exit_code})
            until_s = time.monotonic() + _FAREWELL_S
            for index in range(1, self.count) if self.is_first else ():
                self._wait(f"{_PREFIX}-left/{index}", max(until_s - time.monotonic(), 0.001))
            if self.is_first:
                time.sleep(_PARTING_S)
        _exit(exit_code)


@contextlib.contextmanager
def joined(settings: Settings) -> Iterator[Group]:
    """Joins the other processes of the run, and leaves together with them.

    An error in one process ends all of them at once with its exit code: a plain exit would wait in
    JAX's shutdown barrier while the others wait in a collective. Raises InputError when what is
    given is not enough to find the others.
    """
    group = join(settings)
    if group.count == 1:
        yield group
        return
    group.on_news(group._leave_on_failure)
    listener = threading.Thread(target=group._listen, name="news", daemon=True)
    listener.start()
    try:
        yield group
        group.barrier("leave", timeout_s=settings.shutdown_s)
        if group.is_first:
            group.tell({"kind": _DONE})
        listener.join()  # a thread that waits in C++ when Python ends aborts the process
    except BaseException as error:
        explained = failure.explain(error)
        if explained is None:
            traceback.print_exc()
            explained = failure.Failure(f"{type(error).__name__}: {error}", _code_of(error))
        where = f"process {group.index} of {group.count} on {socket.gethostname()}"
        print(f"jgpt2: {where}: {explained.message}", file=sys.stderr)
        group._leave_all(explained.message, explained.exit_code)


def join(settings: Settings) -> Group:
    """Makes this process one of the run's; alone where neither flags nor a cluster say otherwise.

    Before the first use of a device.
    """
    coordinator = settings.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    count = _number(settings.count, "JAX_NUM_PROCESSES")
    index = _number(settings.index, "JAX_PROCESS_ID")
    given = {"coordinator": coordinator, "count": count, "index": index}
    missing = [f"--processes.{name}" for name, value in given.items() if value is None]
    if not missing:
        _check(count, index)
        return _initialise(settings, coordinator, count, index, "deactivate")
    if _is_in_cluster():
        return _initialise(settings, coordinator, count, index, None)
    if len(missing) < len(given):
        raise InputError(
            f"{', '.join(missing)} not given: several processes need coordinator, count and index, "
            "by flags or by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; give "
            "all three, or none for one process."
        )
    return Group()


def _initialise(
    settings: Settings,
    coordinator: str | None,
    count: int | None,
    index: int | None,
    detection: str | None,
) -> Group:
    import jax
    from jax._src import distributed

    jax.distributed.initialize(
        coordinator,
        count,
        index,
        cluster_detection_method=detection,
        initialization_timeout=settings.start_s,
        heartbeat_timeout_seconds=settings.heartbeat_s,
        shutdown_timeout_seconds=settings.shutdown_s,
    )
    state = distributed.global_state
    return Group(state.client, index=state.process_id, count=state.num_processes)


def _is_in_cluster() -> bool:
    """Whether JAX can ask the surroundings: a step of Slurm, or a host with TPUs."""
    if "SLURM_STEP_NODELIST" in os.environ and "SLURM_LOCALID" in os.environ:
        return True
    return bool(tpu_nodes(Path("/dev"))) and "TPU_SKIP_MDS_QUERY" not in os.environ


def tpu_nodes(dev: Path) -> list[Path]:
    """The TPUs of this host, as the system shows them in its folder of devices."""
    return [*dev.glob("accel[0-9]*"), *(dev / "vfio").glob("[0-9]*")]


def _code_of(error: BaseException) -> int:
    """A collective that breaks off says that another process is lost: no bug of this one."""
    import jax

    lost = isinstance(error, AbsentError | jax.errors.JaxRuntimeError)
    return failure.EXIT_ABORTED if lost else failure.EXIT_BUG


def _number(given: int | None, variable: str) -> int | None:
    said = os.environ.get(variable)
    if given is not None or said is None:
        return given
    if not said.isdecimal():
        raise InputError(f"{variable}={said!r} is not a number; give one, or unset it.")
    return int(said)


def _check(count: int | None, index: int | None) -> None:
    assert count is not None
    assert index is not None
    if not 0 <= index < count:
        raise InputError(
            f"process {index} of {count} does not exist; --processes.index counts from 0 to "
            f"{count - 1}."
        )


def _listed(indices: list[int]) -> str:
    shown = ", ".join(map(str, indices[:8])) + (", ..." if len(indices) > 8 else "")
    return f"process{'es' if len(indices) > 1 else ''} {shown}"


def _exit(exit_code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
