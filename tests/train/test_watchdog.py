"""The watchdog, each time in a process of its own that may end."""

import signal
import socket
import subprocess
import sys
import time

import pytest

HEAD = """
import ctypes, faulthandler, os, signal, sys, threading, time
from jgpt2.train import activity as activities, watchdog

activity = activities.Activity(age_s=0)

def watched(floor_s=0.5, allowance_s=0.5):
    return watchdog.Watchdog(
        activity, floor_s=floor_s, allowance_s=allowance_s, describe="process 1 of 2"
    )

def steps(num_steps, step_s):
    activity.begin_steps()
    for step in range(41, 41 + num_steps):
        time.sleep(step_s)
        activity.step_done(step)

"""
ABORTED = 134
KILLED_BY_ABORT = -6  # which a shell, and so a launcher, calls 134


def run(code, timeout=60):
    command = [sys.executable, "-c", HEAD + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_a_run_that_makes_no_step_ends_with_its_stacks():
    done = run("""
def the_place_where_it_is_stuck():
    time.sleep(60)

threading.Thread(target=time.sleep, args=(60,), name="another", daemon=True).start()
with watched(allowance_s=40):
    steps(3, 0.01)
    print("this is not lost")
    the_place_where_it_is_stuck()
""")
    assert done.returncode == ABORTED, done.stderr
    assert done.stdout == "this is not lost\n"
    said, _, stacks = done.stderr.partition("\n")
    host = socket.gethostname()
    assert said.startswith(f"jgpt2: process 1 of 2 on {host} stands still: step after step 43 for ")
    assert said.endswith("the same command goes on from the last checkpoint.")
    assert "with a limit of 0.5 s" in said
    assert "in the_place_where_it_is_stuck" in stacks
    assert stacks.count("most recent call first") >= 3  # the main one, the watchdog's, the other


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("time.sleep(60)", "stands still: init after step None"),
        (
            "with activity.during('restore'): time.sleep(60)",
            "stands still: restore after step None",
        ),
        (
            "steps(2, 0)\n    with activity.during('evaluation'): time.sleep(60)",
            "stands still: evaluation after step 42",
        ),
        (
            "steps(2, 0)\n    with activity.during('data_wait'): time.sleep(60)",
            "stands still: data_wait after step 42",
        ),
        ("activity.begin_steps(); time.sleep(60)", "stands still: step after step None"),
    ],
)
def test_every_activity_is_watched(code, said):
    done = run(f"with watched():\n    {code}\n")
    assert done.returncode == ABORTED
    assert said in done.stderr


def test_ten_medians_are_allowed_where_they_are_more_than_the_floor():
    done = run("""
with watched(floor_s=0.3, allowance_s=40):
    steps(7, 0.2)
    started_s = time.monotonic()
    time.sleep(1.0)
    print("still here", flush=True)
    time.sleep(60)
""")
    assert done.returncode == ABORTED
    assert done.stdout == "still here\n"
    limit_s = float(done.stderr.partition("with a limit of ")[2].partition(" s")[0])
    assert 2.0 <= limit_s < 10


def test_a_process_stuck_in_c_that_holds_the_interpreters_lock_ends_the_same_way():
    done = run("""
def the_call_into_c():
    ctypes.PyDLL(None).sleep(60)  # a PyDLL does not release the lock

with watched(allowance_s=40):
    steps(3, 0.3)  # the timer follows once a poll
    the_call_into_c()
""")
    assert done.returncode == KILLED_BY_ABORT, done.stderr
    assert done.stderr.startswith("Fatal Python error: Aborted\n")
    assert "in the_call_into_c" in done.stderr


def test_a_stderr_that_nobody_reads_does_not_stop_it():
    # The pipe is full: whoever writes to it is stuck, the watchdog as well.
    done = run("""
reader, writer = os.pipe()
os.dup2(writer, 2)
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
with watched(allowance_s=40):
    steps(3, 0.01)
    os.write(2, b"x" * 4096)
""")
    assert done.returncode == KILLED_BY_ABORT


def test_long_work_has_its_allowance_and_beats_renew_it():
    done = run("""
with watched(floor_s=0.3, allowance_s=2.5):
    with activity.during("compile"):
        time.sleep(1.2)
    steps(3, 0.1)
    with activity.during("evaluation"):
        for _ in range(8):
            time.sleep(0.5)
            activity.beat()
    with activity.during("save"):
        time.sleep(1.2)
    steps(8, 0.1)
print("done")
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_nothing_is_ended_after_the_run():
    done = run("""
for _ in range(3):
    before = faulthandler.is_enabled()
    activity.beat()
    with watched():
        time.sleep(0.3)
    assert faulthandler.is_enabled() == before
time.sleep(1.5)
ctypes.PyDLL(None).sleep(3)
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]
activity.beat()
try:
    with watched():
        raise OSError
except OSError:
    time.sleep(1.5)
print("done")
os.kill(os.getpid(), signal.SIGALRM)  # and this signal means again what it meant
""")
    assert done.returncode == -14, done.stderr
    assert done.stderr == ""


def test_it_watches_within_a_second_of_what_is_allowed():
    started_s = time.monotonic()
    done = run("with watched(floor_s=2, allowance_s=2):\n    steps(1, 0)\n    time.sleep(60)\n")
    assert done.returncode == ABORTED
    assert time.monotonic() - started_s < 30
    silent_s = float(done.stderr.partition(" for ")[2].partition(" s")[0])
    assert 2 <= silent_s < 10


def test_a_process_that_was_stopped_for_a_while_goes_on():
    command = [
        sys.executable,
        "-c",
        HEAD
        + """
with watched(floor_s=4, allowance_s=4):
    steps(3, 0.01)
    print("ready", flush=True)
    steps(20, 0.1)
print("done")
""",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(6)  # longer than a step may take, and shorter than the timer of the system
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "done\n"
    assert process.returncode == 0
