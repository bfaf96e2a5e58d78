import contextlib
import io
import json
import os
import pty
import sys

import pytest

from jgpt2 import progress, runs
from jgpt2.errors import DamageError
from jgpt2.train import log


def train_row(step, **fields):
    timings = {"data_wait_s": 0.0012, "tokens_per_s": 12345.6, "mfu": None}
    return {"step": step, "bytes": 100 * step, "loss": 1.5, "bpb": 2.25, **timings, **fields}


def evaluation_row(step):
    ratios = {"bits_per_byte": 2.5, "bits_per_char": 6.25}
    return {"step": step, "split": "validation", "num_documents": 3, **ratios}


def opened(folder, first_step=0, last_step=4):
    return log.RunLog(folder, name="試し", first_step=first_step, last_step=last_step)


def written(folder):
    return [(row["kind"], row["step"]) for row in runs.metrics(folder)]


@pytest.fixture
def folder(tmp_path):
    """Three steps and one evaluation, and a fourth step that a kill cut off."""
    with opened(tmp_path) as run_log:
        assert run_log.num_bytes == 0
        for step in (1, 2):
            run_log.train(train_row(step))
        run_log.evaluation(evaluation_row(2))
        run_log.train(train_row(3))
    with (tmp_path / runs.METRICS).open("a") as file:
        file.write('{"kind": "train", "st')
    return tmp_path


def test_lines_are_there_as_soon_as_they_are_logged(tmp_path):
    with opened(tmp_path) as run_log:
        run_log.train(train_row(1))
        assert runs.metrics(tmp_path) == [{"kind": "train"} | train_row(1)]
        run_log.evaluation(evaluation_row(1))
        assert runs.metrics(tmp_path)[1] == {"kind": "evaluation"} | evaluation_row(1)


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (0, []),
        (1, [("train", 1)]),
        (2, [("train", 1), ("train", 2), ("evaluation", 2)]),
        (3, [("train", 1), ("train", 2), ("evaluation", 2), ("train", 3)]),
    ],
)
def test_lines_past_the_restored_step_are_cut(folder, step, kept):
    lines = (folder / runs.METRICS).read_text("utf-8").splitlines()
    with opened(folder, first_step=step) as run_log:
        assert run_log.num_bytes == 100 * step
    assert written(folder) == kept
    assert (folder / runs.METRICS).read_text("utf-8").splitlines() == lines[: len(kept)]


def test_metrics_that_end_before_the_restored_step_are_damage(folder):
    with pytest.raises(DamageError) as refused:
        opened(folder, first_step=4)
    assert str(refused.value) == (
        f"{folder / runs.METRICS} ends before step 4, the step of the newest checkpoint; restore "
        "the file, or train into another --run folder."
    )
    assert len(runs.metrics(folder)) == 4


def test_tensorboard_gets_the_numbers(folder):
    (events,) = (folder / "tensorboard").iterdir()
    content = events.read_bytes()
    for tag in (b"train/loss", b"evaluation/bits_per_byte"):
        assert tag in content
    for tag in (b"train/mfu", b"train/step", b"evaluation/split"):
        assert tag not in content


def test_plain_lines_come_at_intervals_and_at_the_end(tmp_path, capsys, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now_s)
    console = log.Console(name="試し", first_step=10, last_step=210)
    console.start()
    for step in range(11, 14):
        now_s += 0.4 * progress.PLAIN_INTERVAL_S
        console.train(train_row(step))
    console.train(train_row(210))
    console.evaluation(evaluation_row(210))
    console.stop()
    facts = "loss 1.500  bpb 2.250  12,346 tokens/s  data wait 1.2 ms"
    assert capsys.readouterr().err.splitlines() == [
        f"試し step 13/210  {facts}  left 13:08",  # 197 steps at 4 s
        f"試し step 210/210  {facts}  left 0:00",
        "試し step 210: validation 2.5000 bits per byte, 6.250 per character (3 documents)",
    ]


def test_a_terminal_shows_progress_whatever_the_name(monkeypatch, tmp_path):
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "200")
        with log.RunLog(tmp_path, name="[/b] [red]", first_step=0, last_step=2) as run_log:
            run_log.say("[going on] :smile:")
            run_log.train(train_row(1))
            run_log.evaluation(evaluation_row(1))
            run_log.train(train_row(2))
    written = b""
    with contextlib.suppress(OSError):  # the end of what was written to a closed terminal
        while piece := os.read(outer, 1 << 16):
            written += piece
    shown = written.decode()
    os.close(outer)
    for text in ("[/b] [red]", "2/2", "[going on] :smile:", "validation 2.5000 bits", "loss 1.500"):
        assert text in shown, shown


def test_no_terminal_and_no_progress_bar(tmp_path, monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with opened(tmp_path, last_step=1) as run_log:
        run_log.train(train_row(1))
    assert "\x1b" not in stderr.getvalue()
    assert json.loads((tmp_path / runs.METRICS).read_text("utf-8"))["step"] == 1
