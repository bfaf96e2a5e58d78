"""How the processes of a run meet, hear of each other, and leave together."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from jgpt2 import processes
from jgpt2.errors import InputError
from jgpt2.launch import local

NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_one_process_waits_for_nobody():
    group = processes.join(processes.Settings())
    assert (group.index, group.count, group.is_first) == (0, 1, True)
    assert group.exchange("a", {"x": 1}, timeout_s=0) == [{"x": 1}]
    assert group.from_first("b", "mine") == "mine"
    group.barrier("c")
    heard = []
    group.on_news(heard.append)
    group.tell({"kind": "stop"})
    assert heard == [{"kind": "stop"}]


@pytest.mark.parametrize(
    ("fields", "variables", "message"),
    [
        ({"index": 1}, {}, "--processes.coordinator, --processes.count not given: several"),
        ({}, {"JAX_NUM_PROCESSES": "2"}, "--processes.coordinator, --processes.index not given"),
        ({}, {"JAX_PROCESS_ID": "two"}, "JAX_PROCESS_ID='two' is not a number; give one, or unset"),
        (
            {"coordinator": "localhost:1", "count": 2, "index": 2},
            {},
            "process 2 of 2 does not exist; --processes.index counts from 0 to 1.",
        ),
    ],
)
def test_what_is_not_enough_to_meet_is_refused(fields, variables, message, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        processes.join(processes.Settings(**fields))


def test_an_error_of_one_process_alone_goes_its_way():
    with pytest.raises(ZeroDivisionError), processes.joined(processes.Settings()):
        _ = 1 / 0


def together(body, count=2, **named):
    """Runs the body in each of several processes; `group` and `index` are there."""
    code = f"""
import sys, time
from jgpt2 import processes
from jgpt2.errors import DamageError, InputError

settings = processes.Settings(heartbeat_s=20, shutdown_s=20)
with processes.joined(settings) as group:
    index = group.index
{textwrap.indent(textwrap.dedent(body), "    ")}
"""
    command = [sys.executable, "-c", code]
    own = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    return local.run(
        [], processes=count, devices=1, max_restarts=0, environment=own, command=command, **named
    )


@pytest.mark.slow
def test_values_are_exchanged_by_index_as_often_as_asked(capfd):
    outcome = together(
        """
        for round in range(3):
            assert group.exchange("x", [index, round]) == [[0, round], [1, round], [2, round]]
        assert group.from_first("y", index) == 0
        group.barrier("z")
        """,
        count=3,
    )
    assert outcome.attempts == [[0, 0, 0]], capfd.readouterr().err


@pytest.mark.slow
def test_who_does_not_come_is_named(capfd):
    outcome = together(
        """
        if index != 1:
            group.barrier("meeting", timeout_s=3)
        time.sleep(60)
        """,
        count=2,
    )
    assert outcome.exit_code == 134
    said = capfd.readouterr().err
    assert "process 1 did not reach 'meeting' within 3 s (said by process 0 of 2 on " in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raised", "exit_code", "index"),
    [
        ('InputError("a wrong config")', 2, 0),
        ('DamageError("a wrong file")', 3, 1),
        ('RuntimeError("a bug")', 1, 0),
        ("KeyboardInterrupt", 130, 1),
    ],
)
def test_an_error_of_one_ends_all_with_its_code_at_once(raised, exit_code, index, capfd):
    started_s = time.monotonic()
    outcome = together(
        f"""
        group.barrier("begun")
        if index == {index}:
            raise {raised}
        time.sleep(600)
        """
    )
    assert outcome.attempts == [[exit_code, exit_code]], capfd.readouterr().err
    assert time.monotonic() - started_s < 45
    said = capfd.readouterr().err
    assert f"leaving with {exit_code}: process {index} on {os.uname().nodename} failed: " in said


@pytest.mark.slow
def test_one_process_that_is_told_so_also_joins():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"""
import json
from jgpt2 import processes

settings = processes.Settings(coordinator="127.0.0.1:{port}", count=1, index=0)
with processes.joined(settings) as group:
    print(json.dumps([group.index, group.count, group.exchange("x", 1)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [0, 1, [1]]
