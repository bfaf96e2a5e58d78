import time

import pytest

from jgpt2.train import activity as activities


class Clock:
    """A clock that a test turns."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def turn(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def activity(clock):
    return activities.Activity(clock, age_s=0)


def spent(activity):
    """What took any time, rounded."""
    return {kind: round(value, 9) for kind, value in activity.seconds().items() if value}


def test_seconds_go_to_the_innermost_activity_and_add_up(activity, clock):
    started_s = clock()
    clock.turn(2)
    with activity.during("restore"):
        clock.turn(3)
        with activity.during("compile"):
            clock.turn(5)
        clock.turn(0.5)
    clock.turn(1)
    activity.begin_steps()
    with activity.during("data_wait"):
        clock.turn(0.25)
    clock.turn(4)
    activity.step_done(8)
    with activity.during("evaluation"), activity.during("data_wait"):
        clock.turn(8)
    with activity.during("save"):
        clock.turn(6)
    expected = {"init": 3, "restore": 3.5, "compile": 5, "data_wait": 8.25, "step": 4, "save": 6}
    assert spent(activity) == expected
    assert sum(activity.seconds().values()) == pytest.approx(clock() - started_s)


def test_what_goes_on_is_counted_before_it_is_over(activity, clock):
    clock.turn(1)
    with activity.during("compile"):
        clock.turn(2)
        assert (activity.kind, spent(activity)) == ("compile", {"init": 1, "compile": 2})
        clock.turn(2)
        assert spent(activity) == {"init": 1, "compile": 4}
    assert (activity.kind, activity.last_step) == ("init", None)


def test_an_error_ends_an_activity(activity, clock):
    with pytest.raises(OSError, match="disk"), activity.during("save"):
        clock.turn(3)
        raise OSError("disk")
    clock.turn(1)
    assert spent(activity) == {"init": 1, "save": 3}


def test_the_age_of_the_process_is_part_of_its_start(clock):
    activity = activities.Activity(clock, age_s=20)
    clock.turn(1)
    assert spent(activity) == {"init": 21}
    assert activity.silent_s() == 1


def test_the_age_of_this_process():
    begun_s = time.monotonic() - activities.process_age_s()
    time.sleep(0.05)
    assert time.monotonic() - activities.process_age_s() == pytest.approx(begun_s, abs=0.03)


def test_steps_and_long_work_are_signs_of_life_and_waiting_for_data_is_none(activity, clock):
    activity.begin_steps()
    clock.turn(5)
    with activity.during("data_wait"):
        clock.turn(1)
    assert activity.silent_s() == 6
    activity.step_done(1)
    assert (activity.silent_s(), activity.last_step) == (0, 1)
    clock.turn(2)
    with activity.during("evaluation"):
        assert activity.silent_s() == 0
        clock.turn(30)
        assert activity.silent_s() == 30
        activity.beat()
        assert activity.silent_s() == 0
        clock.turn(4)
    assert activity.silent_s() == 0


def test_the_median_is_of_recent_steps_and_of_nothing_but_stepping(activity, clock):
    activity.begin_steps()
    assert activity.usual_step_s() == 0
    for step in range(1, 301):
        with activity.during("data_wait"):
            clock.turn(0.5)
        with activity.during("evaluation"):
            clock.turn(1000)
        clock.turn(1 if step <= 200 else 3)
        activity.step_done(step)
        if step == 200:
            assert activity.usual_step_s() == pytest.approx(1.5)
    assert activity.usual_step_s() == pytest.approx(3.5)


def test_telling_what_goes_on_costs_microseconds():
    activity = activities.Activity(age_s=0)
    activity.begin_steps()
    started_s = time.process_time()
    for step in range(10_000):
        with activity.during("data_wait"):
            pass
        activity.step_done(step)
    each_s = (time.process_time() - started_s) / 10_000
    assert each_s < 200e-6, f"{each_s * 1e6:.1f} µs a step"  # about 5 on an idle machine
