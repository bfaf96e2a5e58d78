"""Goodput over lives of a process that a test makes second by second."""

import time

import pytest

from jgpt2 import runs
from jgpt2.train import activity as activities
from jgpt2.train import goodput, loop


class Life:
    """One process life of a run: a step takes 2 s and a wait for data of 0.5 s."""

    def __init__(self, rows, first_step, *, down_s=0.0):
        self.now_s = 1000.0
        self.activity = activities.Activity(lambda: self.now_s, age_s=0)
        self.ledger = goodput.Ledger(self.activity)
        self.rows, self.step = rows, first_step
        self.now_s += 3  # init
        self.go_back(first_step, down_s)
        with self.activity.during("compile"):
            self.now_s += 5
        self.activity.begin_steps()
        self.tell()

    def go_back(self, first_step, down_s=0.0):
        def stays(row):
            return row["step"] <= first_step or row["kind"] == goodput.KIND

        cut = [row for row in self.rows if not stays(row)]
        self.rows[:] = [row for row in self.rows if stays(row)]
        self.ledger.begin(self.rows, cut, down_s=down_s)
        self.step = first_step

    def take(self, num_steps):
        for _ in range(num_steps):
            self.step += 1
            with self.activity.during("data_wait"):
                self.now_s += 0.5
            self.now_s += 2
            self.activity.step_done(self.step)
            timings = {"step_time_s": 2.5, "data_wait_s": 0.5}
            self.rows.append({"kind": "train", "step": self.step, **timings})

    def save(self):
        with self.activity.during("save"):
            self.now_s += 1
        self.tell()

    def tell(self):
        self.rows.append({"kind": goodput.KIND} | self.ledger.row(self.step))


def seconds(rows):
    return {kind: s for kind, s in goodput.total(rows).seconds.items() if s}


def test_one_life_that_nothing_interrupted():
    rows = []
    life = Life(rows, 0)
    life.take(4)
    life.save()
    life.take(4)
    life.save()
    assert seconds(rows) == {"init": 3, "compile": 5, "step": 16, "data_wait": 4, "save": 2}
    total = goodput.total(rows)
    assert (total.num_segments, total.lost_steps) == (1, 0)
    assert total.goodput == 16 / 30
    assert total.record() == {
        "goodput": 0.5333,
        "seconds": total.seconds,
        "num_segments": 1,
        "lost_steps": 0,
    }


def test_steps_after_the_last_save_are_lost_and_the_time_without_a_process_counts():
    rows = []
    life = Life(rows, 0)
    life.take(4)
    life.save()
    life.take(3)  # killed here: no row tells of these
    life = Life(rows, 4, down_s=60)
    life.take(2)
    life.save()
    expected = {"init": 6, "compile": 10, "step": 12, "data_wait": 3, "save": 2}
    assert seconds(rows) == expected | {"lost": 7.5, "down": 60}
    assert goodput.total(rows).lost_steps == 3
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_fallback_past_a_row_takes_its_steps_back():
    rows = []
    life = Life(rows, 0)
    for _ in range(3):
        life.take(4)
        life.save()
    life.take(1)
    Life(rows, 4, down_s=7).save()  # the steps 8 and 12 were damaged
    expected = {"init": 6, "compile": 10, "step": 8, "data_wait": 2, "save": 4}
    assert seconds(rows) == expected | {"lost": 9 * 2.5, "down": 7}
    assert goodput.total(rows).lost_steps == 9


def test_a_rewind_within_a_life_takes_its_steps_back():
    rows = []
    life = Life(rows, 0)
    life.take(4)
    life.save()
    life.take(3)
    life.go_back(4)
    life.take(1)
    life.save()
    expected = {"init": 3, "compile": 5, "step": 10, "data_wait": 2.5, "save": 2}
    assert seconds(rows) == expected | {"lost": 7.5}
    total = goodput.total(rows)
    assert (total.num_segments, total.lost_steps) == (1, 3)


def test_all_the_time_of_many_lives_is_accounted_for():
    rows, wall_s = [], 0.0
    for first_step, num_steps in ((0, 3), (0, 9), (8, 5), (12, 2), (8, 12)):
        life = Life(rows, first_step, down_s=10 if rows else 0)
        for _ in range(num_steps):
            life.take(1)
            if life.step % 4 == 0:
                life.save()
        wall_s += life.now_s - 1000 + 10 * (wall_s > 0)
    life.save()
    wall_s += 1
    assert sum(seconds(rows).values()) == pytest.approx(wall_s)
    assert seconds(rows)["step"] == 20 * 2
    assert goodput.total(rows).num_segments == 5


def test_nothing_has_no_goodput():
    assert goodput.total([]).goodput == 0


class StopAfter:
    def __init__(self, num_polls):
        self._left = num_polls

    def poll(self):
        self._left -= 1
        return 42 if self._left == 0 else None


def test_the_time_of_a_run_that_was_stopped_twice_adds_up(trainer, gathered, tmp_path):
    started_s = time.time()
    for num_polls in (3, 5, 0):
        loop.execute(trainer, gathered, tmp_path / "run", StopAfter(num_polls))
        time.sleep(1)
    rows = runs.metrics(tmp_path / "run")
    ended_s = goodput.segments(rows)[-1]["ended"]
    total = goodput.total(rows)
    assert total.num_segments == 3
    assert sum(total.seconds.values()) == pytest.approx(ended_s - started_s, abs=0.5)
    assert 2 < total.seconds["down"] < 4
