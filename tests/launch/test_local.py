"""The local launcher: exit codes, restarts, signals, lines, on tiny workers of plain Python."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jgpt2.errors import InputError
from jgpt2.launch import local, workers

PYTHON = (sys.executable, "-c")
ME = "import os, sys, time, pathlib, signal\nme = int(os.environ['JAX_PROCESS_ID'])\n"


def launch(code, *, processes=2, **options):
    given = {"devices": 1, "max_restarts": 0, "grace_s": 20.0, "command": PYTHON} | options
    return local.run([ME + textwrap.dedent(code)], processes=processes, **given)


def exits_in_turn(folder, *codes):
    """A worker whose attempts end with these codes, each `codes[attempt][process]`."""
    return f"""
        mark = pathlib.Path({str(folder)!r}) / f"{{me}}"
        attempt = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (attempt + 1))
        sys.exit({codes!r}[attempt][me])
    """


def test_all_done():
    assert launch("") == local.Outcome(0, [[0, 0]])


def test_each_process_knows_its_place(capfd, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "5")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_x=1")
    code = """
        names = "JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES JAX_PROCESS_ID JAX_PLATFORMS XLA_FLAGS"
        print([os.environ[name] for name in (names + " GIVEN").split()])
        print(sorted(n for n in os.environ if "PROXY" in n.upper() or "CPU_DEVICES" in n))
    """
    assert launch(code, devices=3, environment={"GIVEN": "港 の朝"}).exit_code == 0
    out, err = capfd.readouterr()
    first = [eval(line) for line in out.splitlines()]
    other = [eval(line.removeprefix("[1] ")) for line in err.splitlines()]
    port = first[0][0].removeprefix("127.0.0.1:")
    shared = ["cpu", "--xla_x=1 --xla_force_host_platform_device_count=3", "港 の朝"]
    assert port.isdigit()
    assert first == [[f"127.0.0.1:{port}", "2", "0", *shared], []]
    assert other == [[f"127.0.0.1:{port}", "2", "1", *shared], []]


def test_jax_sees_as_many_devices_as_were_asked_for(capfd):
    code = "import jax; print(jax.device_count(), jax.default_backend())"
    assert launch(code, processes=1, devices=3).exit_code == 0
    assert capfd.readouterr().out == "3 cpu\n"


def test_processes_find_each_other(capfd):
    code = """
        import jax
        given = [os.environ["JAX_COORDINATOR_ADDRESS"], int(os.environ["JAX_NUM_PROCESSES"]), me]
        jax.distributed.initialize(*given, cluster_detection_method="deactivate")
        print(jax.process_count(), jax.process_index(), jax.device_count())
    """
    assert launch(code, devices=2) == local.Outcome(0, [[0, 0]])
    out, err = capfd.readouterr()
    assert out == "2 0 4\n"
    assert "[1] 2 1 4\n" in err


def test_the_command_is_passed_on_as_it_is(command, capfd):
    asked = ["launch", "local", "--processes", "2", "--", "count", "117M", "--vocab-size", "50257"]
    outcome = command(*asked, "--json")
    assert outcome.exit_code == 0
    assert outcome.json() == command(*asked[5:], "--json").json()
    assert outcome.err.count("[1] ") > 1


def test_a_launch_without_a_command_is_refused(command):
    for asked in (["--processes", "2"], ["--processes", "2", "--"]):
        outcome = command("launch", "local", *asked)
        assert outcome.exit_code == 2
        assert "which command shall be launched?" in outcome.err


def test_stdout_of_process_0_is_the_answer_and_all_else_is_marked(capfd, tmp_path):
    code = "print(f'答え {me}', flush=True); print(f'line {me}', file=sys.stderr)"
    logs = tmp_path / "記録 一"
    assert launch(code, logs=logs).exit_code == 0
    out, err = capfd.readouterr()
    assert out == "答え 0\n"
    assert sorted(err.splitlines()) == ["[0] line 0", "[1] line 1", "[1] 答え 1"]
    for index in range(2):
        kept = (logs / f"process-{index}.log").read_text("utf-8")
        assert sorted(kept.splitlines()) == [f"line {index}", f"答え {index}"]


@pytest.mark.parametrize("code", [2, 3])
def test_what_is_never_retried_ends_the_launch_soon(code):
    started_s = time.monotonic()
    outcome = launch(f"sys.exit({code}) if me else time.sleep(60)", max_restarts=5)
    assert outcome == local.Outcome(code, [[137, code]])
    assert time.monotonic() - started_s < 20


def test_saved_states_do_not_count(tmp_path, capfd):
    codes = ((42, 42), (42, 42), (42, 0), (0, 0))
    outcome = launch(exits_in_turn(tmp_path, *codes))
    assert outcome == local.Outcome(0, [list(attempt) for attempt in codes])
    assert capfd.readouterr().err.count("state saved, restart") == 3


def test_failures_count(tmp_path, capfd):
    codes = ((134, 134), (1, 42), (143, 0), (0, 0))
    outcome = launch(exits_in_turn(tmp_path, *codes), max_restarts=2)
    assert outcome.attempts == [list(attempt) for attempt in codes[:3]]
    assert outcome.exit_code == 143
    said = capfd.readouterr().err
    assert "restart 2 of 2" in said
    assert "2 restarts are used up" in said


def test_a_failure_is_restarted_until_it_is_done(tmp_path):
    outcome = launch(exits_in_turn(tmp_path, (134, 134), (0, 0)), max_restarts=1)
    assert outcome == local.Outcome(0, [[134, 134], [0, 0]])


def test_the_first_failure_names_the_launch():
    assert launch("time.sleep(me); sys.exit((7, 134)[me])").exit_code == 7


def test_those_that_stay_are_killed_after_the_grace_stopped_ones_too(capfd):
    started_s = time.monotonic()

    def stop(processes, attempt):
        os.kill(processes[0].pid, signal.SIGSTOP)
        os.kill(processes[1].pid, signal.SIGKILL)

    outcome = launch("time.sleep(60)", grace_s=1.0, on_start=stop)
    assert outcome == local.Outcome(137, [[137, 137]])
    assert time.monotonic() - started_s < 20
    assert "processes [0] have not ended in time" in capfd.readouterr().err


def test_one_that_is_done_waits_for_the_others():
    assert launch("time.sleep(2 * me)", grace_s=0.2) == local.Outcome(0, [[0, 0]])


def test_what_a_worker_started_ends_with_it(tmp_path):
    code = f"""
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pathlib.Path({str(tmp_path)!r}, str(me)).write_text(str(child.pid))
        sys.exit(1)
    """
    started_s = time.monotonic()
    assert launch(code).exit_code == 1
    assert time.monotonic() - started_s < 20
    for index in range(2):
        child = int((tmp_path / str(index)).read_text())
        # It closes its pipes, which the launch has waited for, before the kernel calls it ended.
        until_s = time.monotonic() + 5
        while is_running(child):
            assert time.monotonic() < until_s


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


WAITS = """
def hear(*_):
    print(f'heard', file=sys.stderr, flush=True)
    ANSWER
signal.signal(signal.SIGTERM, hear)
print('ready', file=sys.stderr, flush=True)
while True: time.sleep(0.1)
"""


def signalled(answer, *numbers, marks=1):
    """Exit code and stderr of a launch that was sent the signals, one after the other was heard."""
    code = ME + WAITS.replace("ANSWER", answer)
    run = "import sys; from jgpt2.launch import local; sys.exit(local.run([sys.argv[1]], "
    run += "processes=2, devices=1, command=(sys.executable, '-c')).exit_code)"
    process = subprocess.Popen(
        [sys.executable, "-c", run, code], stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    said = []
    for number, word in zip((*numbers, None), ("ready", "heard", "heard"), strict=False):
        if number is None:
            break
        while sum(word in line for line in said) < 2:
            said.append(process.stderr.readline())
            assert said[-1], said
        process.send_signal(number)
    rest = process.communicate(timeout=60)[1]
    return process.returncode, "".join(said) + rest


def test_sigterm_is_passed_on_and_nothing_is_restarted():
    code, said = signalled("sys.exit(42)", signal.SIGTERM)
    assert code == 42
    assert said.count("heard") == 2
    assert said.count("ready") == 2


def test_ctrl_c_is_passed_on_as_sigterm():
    assert signalled("sys.exit(42)", signal.SIGINT)[0] == 130


def test_a_second_signal_kills():
    assert signalled("", signal.SIGTERM, signal.SIGTERM)[0] == 137
    assert signalled("", signal.SIGINT, signal.SIGINT)[0] == 130


def test_work_that_is_done_when_it_shall_stop_is_done():
    assert signalled("sys.exit(0)", signal.SIGTERM)[0] == 0


def test_damage_is_told_when_it_shall_stop():
    assert signalled("sys.exit(3)", signal.SIGTERM)[0] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"processes": 0}, "--processes 0 launches nothing"),
        ({"devices": 0}, "--devices 0 launches nothing"),
        ({"max_restarts": -1}, "--max-restarts -1 is below 0"),
        ({"grace_s": -0.5}, "--grace-s -0.5 is below 0"),
    ],
)
def test_numbers_that_launch_nothing_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        launch("", **options)


def test_a_command_that_does_not_exist_leaves_no_process():
    with pytest.raises(FileNotFoundError):
        launch("", command=("/no/such/program",))


def test_an_error_of_who_watches_leaves_no_process():
    seen = []

    def watch(processes, attempt):
        seen.extend(processes)
        raise RuntimeError("watcher")

    with pytest.raises(RuntimeError, match="watcher"):
        launch("time.sleep(60)", on_start=watch)
    assert [process.returncode for process in seen] == [-9, -9]


def test_ports_differ_between_attempts():
    ports = {
        workers.variables(None, processes=1, devices=1)["JAX_COORDINATOR_ADDRESS"] for _ in "12"
    }
    assert len(ports) == 2
