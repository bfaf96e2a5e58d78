import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from jgpt2 import configio, inference, integrity, processes, runs
from jgpt2.train import stop
from tests.conftest import QUICK


def polled(request):
    """What the first poll says that says anything."""
    while (exit_code := request.poll()) is None:
        time.sleep(0.001)
    return exit_code


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 42)],
)
def test_the_first_signal_is_a_request(number, exit_code):
    before = signal.getsignal(number)
    with stop.listening() as request:
        assert request.poll() is None
        signal.raise_signal(number)
        assert polled(request) == exit_code
        assert request.poll() == exit_code
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_the_process_at_once_whatever_still_goes_on(number, exit_code):
    code = f"""
import signal, threading, time
from jgpt2.train import stop

with stop.listening() as request:
    threading.Thread(target=time.sleep, args=(600,)).start()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal({int(number)})
    time.sleep(600)
"""
    started_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == exit_code
    assert done.stderr == "jgpt2: interrupted; the last complete checkpoint stands\n"
    assert time.monotonic() - started_s < 30


class Together(processes.Group):
    """Processes of one run as threads of this one."""

    def __init__(self, index, meetings, all_of_them):
        super().__init__(index=index, count=len(all_of_them))
        self._meetings, self._all = meetings, all_of_them
        all_of_them[index] = self

    def exchange(self, name, value, *, timeout_s=600):
        values, barrier = self._meetings[name]
        values[self.index] = value
        barrier.wait(10)
        return [values[index] for index in range(self.count)]

    def tell(self, news):
        for other in self._all:
            threading.Thread(target=other._on_news[0], args=(news,)).start()


@pytest.mark.parametrize("seed", range(20))
def test_all_processes_stop_at_the_same_poll(seed):
    draw = random.Random(seed)
    count = draw.choice([2, 3, 5])
    everyone, meetings = [None] * count, {"stop": ({}, threading.Barrier(count))}
    requests = [stop.StopRequest(Together(i, meetings, everyone)) for i in range(count)]
    stopped = [0] * count

    def run(index):
        for number in itertools.count(1):
            if requests[index].poll() is not None:
                stopped[index] = number
                return
            time.sleep(draw.random() * 0.003)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(draw.random() * 0.02)
    requests[draw.randrange(count)].ask(42)
    for thread in threads:
        thread.join(20)
    assert len(set(stopped)) == 1 and stopped[0] > 0


def test_ctrl_c_saves_and_the_same_command_goes_on(places, change, tmp_path):
    run, record = tmp_path / "run", tmp_path / "config.json"
    record.write_text(configio.to_json(change(budget={"steps": 3})), "utf-8")
    command = [sys.executable, "-m", "jgpt2", "train", record, "--run", run]
    command += ["--datasets", places.datasets, "--tokenizers", places.tokenizers]
    own = {"XLA_FLAGS": QUICK, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla")}
    named = {"env": os.environ | own, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **named) as process:
        while not (run / runs.METRICS).exists():  # from here on the run listens; it compiles first
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "saved step 1; run the same command to go on" in said
    assert integrity.steps(run / runs.CHECKPOINTS) == [1]
    done = subprocess.run(command, check=False, **named)
    assert done.returncode == 0, done.stderr
    assert f"going on from step 1 of {run}" in done.stderr
    trained = [row["step"] for row in runs.metrics(run) if row["kind"] == "train"]
    assert trained == [1, 2, 3]
    assert integrity.steps(run / runs.CHECKPOINTS) == [1, 3]


def test_evaluate_is_given_up_with_the_code_that_asks_for_a_restart(command, walk, monkeypatch):
    run = walk.root / "runs" / "byte"
    before = (run / runs.EVALUATION).read_bytes() if (run / runs.EVALUATION).exists() else None

    evaluate = inference.evaluate

    def interrupted(*given, report, **named):
        def told(done, total):
            report(done, total)
            signal.raise_signal(signal.SIGTERM)

        return evaluate(*given, report=told, **named)

    monkeypatch.setattr(inference, "evaluate", interrupted)
    outcome = command("evaluate", run, "--text", walk.root / "text")
    assert outcome.exit_code == 42
    assert "stopped; the same command starts it again." in outcome.err
    after = (run / runs.EVALUATION).read_bytes() if (run / runs.EVALUATION).exists() else None
    assert after == before


def test_sigterm_while_token_stores_are_built_asks_for_a_restart(places, change, tmp_path):
    record = tmp_path / "config.json"
    record.write_text(configio.to_json(change()), "utf-8")
    code = """
import sys, time
from jgpt2 import cli
from jgpt2.data import tokens

def build(*given, **named):
    print("building", flush=True)
    time.sleep(600)

tokens.build = build
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "train", record, "--run", tmp_path / "run"]
    command += ["--datasets", places.datasets, "--tokenizers", places.tokenizers]
    named = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **named) as process:
        assert process.stdout.readline() == "building\n"
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 42
    assert said == "jgpt2: stopped; the same command starts it again.\n"
