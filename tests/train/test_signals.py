import os
import signal
import subprocess
import sys
import time

import pytest

from jgpt2 import checkpoint, configio, runs
from jgpt2.train import signals


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, signals.EXIT_INTERRUPTED), (signal.SIGTERM, signals.EXIT_RESTART)],
)
def test_the_first_signal_is_a_request(number, exit_code):
    before = signal.getsignal(number)
    with signals.listening() as stop:
        assert stop.exit_code is None
        signal.raise_signal(number)
        assert stop.exit_code == exit_code
    assert signal.getsignal(number) is before
    assert (signals.EXIT_INTERRUPTED, signals.EXIT_RESTART) == (130, 42)


def test_an_interrupt_that_is_no_signal_goes_its_way():
    with pytest.raises(KeyboardInterrupt), signals.listening():
        raise KeyboardInterrupt


def test_the_second_signal_ends_the_process_at_once_whatever_still_writes():
    code = """
import signal, threading, time
from jgpt2.train import signals

with signals.listening() as stop:
    threading.Thread(target=time.sleep, args=(600,)).start()
    signal.raise_signal(signal.SIGTERM)
    assert stop.exit_code == 42
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        print("left", flush=True)
    print("not reached")
"""
    started_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stdout == "left\n"
    assert done.stderr == "jgpt2: interrupted; the last complete checkpoint stands\n"
    assert time.monotonic() - started_s < 30


def test_ctrl_c_saves_and_the_same_command_goes_on(places, change, tmp_path):
    run, record = tmp_path / "run", tmp_path / "config.json"
    record.write_text(configio.to_json(change(budget={"steps": 3})), "utf-8")
    command = [sys.executable, "-m", "jgpt2", "train", record, "--run", run]
    command += ["--datasets", places.datasets, "--tokenizers", places.tokenizers]
    own = {"XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla")}
    named = {"env": os.environ | own, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **named) as process:
        while not (run / runs.METRICS).exists():  # from here on the run listens; it compiles first
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "saved step 1; run the same command to go on" in said
    assert checkpoint.steps(run / runs.CHECKPOINTS) == [1]
    done = subprocess.run(command, check=False, **named)
    assert done.returncode == 0, done.stderr
    assert f"going on from step 1 of {run}" in done.stderr
    trained = [row["step"] for row in runs.metrics(run) if row["kind"] == "train"]
    assert trained == [1, 2, 3]
    assert checkpoint.steps(run / runs.CHECKPOINTS) == [1, 3]
