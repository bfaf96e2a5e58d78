"""Tasks over worker processes that leave nothing running: not after Ctrl-C, not after a kill."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import process

from jgpt2.errors import InputError


def run[Task, Result](
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    done: Callable[[Result], None],
) -> None:
    """Calls `function` on every task, and `done` with each result, as they come.

    One worker means this process. The first failure stops the rest: tasks that run are finished,
    those that wait are dropped, and it is raised when all workers have ended.
    """
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            done(function(task))
        return
    executor = futures.ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),  # JAX and fork do not go together
        initializer=_watch_parent,
    )
    try:
        with _interrupts_wait():  # workers inherit it: the parent decides what Ctrl-C stops
            waiting = [executor.submit(function, task) for task in tasks]
        for future in futures.as_completed(waiting):
            done(future.result())
    except process.BrokenProcessPool as error:
        raise InputError(
            f"one of {workers} worker processes was ended from outside, most often because memory "
            "ran out; what is finished is kept, so run it again with fewer workers."
        ) from error
    finally:
        with _interrupts_ignored():  # a second Ctrl-C in here would hang the exit of Python 3.12
            executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets them
        return
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


def _watch_parent() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # a worker of a killed parent would wait for tasks for ever
