import contextlib
import os
import pty
import sys
import time

from jgpt2 import progress


def test_plain_lines_come_at_intervals(capsys, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with progress.of_work("tokenizing", "bytes") as report:
        report(0, 60_000)
        now_s += progress.PLAIN_INTERVAL_S
        report(0, 60_000)
        for done in (20_000, 40_000):
            now_s += 0.6 * progress.PLAIN_INTERVAL_S
            report(done, 60_000)
    assert capsys.readouterr().err.splitlines() == [
        "tokenizing: 0 of 60,000 bytes, 0 bytes/s, inf s left",
        "tokenizing: 40,000 of 60,000 bytes, 1,818 bytes/s, 11 s left",
    ]


def test_a_terminal_shows_a_bar_even_before_the_clock_ticks(monkeypatch):
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(time, "monotonic", lambda: 5.0)
        with progress.of_work("dataset", "bytes") as report:
            report(1_000, 2_000)
    written = b""
    with contextlib.suppress(OSError):  # the end of what was written to a closed terminal
        while piece := os.read(outer, 1 << 16):
            written += piece
    os.close(outer)
    shown = written.decode()
    assert "dataset" in shown
    assert "1,000 of 2,000 bytes" in shown


def test_say_goes_to_stderr(capsys):
    progress.say("一行")
    assert capsys.readouterr() == ("", "一行\n")
