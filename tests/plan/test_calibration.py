"""A real run's say in the estimate."""

import dataclasses
import json

import pytest

from jgpt2 import configio, manifest
from jgpt2.errors import InputError
from jgpt2.plan import calibration, report, topology
from jgpt2.plan import forecast as forecasts
from tests.plan.conftest import EXPERIMENT, forecasted, stepped
from tests.plan.test_forecast import one_second_text

TOPOLOGY = topology.parse("v5e-16")


@pytest.fixture
def estimate():
    return forecasts.estimate_of(stepped(one_second_text()), TOPOLOGY)


def ran(folder, steps, experiment=EXPERIMENT):
    folder.mkdir()
    (folder / "config.json").write_text(configio.to_json(experiment), "utf-8")
    manifest.write(folder, kind="run", name="r", identity={}, parents={}, files=["config.json"])
    rows = [{"kind": "train", "step": i, "step_time_s": s} for i, s in enumerate(steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    return folder


def calibrated(run, estimate):
    return calibration.from_run(run, EXPERIMENT, estimate=estimate, chip="v5e", topology="v5e:4x4")


def test_the_scale_is_the_median_of_steady_steps_over_the_estimate(tmp_path, estimate):
    made = calibrated(ran(tmp_path / "run", [60.0] * 10 + [1.2, 1.1, 9.0]), estimate)
    assert made.scale == pytest.approx(1.2)
    scaled = made.apply(estimate)
    assert scaled.seconds == pytest.approx(1.2)
    assert scaled.classes_s["vector"] == pytest.approx(1.2)


def test_a_written_calibration_is_read_for_its_chip_alone(tmp_path, estimate):
    file = tmp_path / "較正.json"
    made = calibrated(ran(tmp_path / "run", [1.5] * 11), estimate)
    calibration.write(file, made)
    calibration.write(file, dataclasses.replace(made, chip="v5p", scale=0.9))
    calibration.write(file, dataclasses.replace(made, scale=1.3))
    assert calibration.read(file, "v5e") == dataclasses.replace(made, scale=1.3)
    assert calibration.read(file, "v6e") is None
    forecast = forecasted(one_second_text(), calibrated=calibration.read(file, "v5e"))
    assert forecast["step_time_s"] == pytest.approx(1.3)
    assert forecast["calibration"]["scale"] == 1.3
    assert "1300.0 ms, calibrated by 試し" in report.text([forecast])


def test_scales_of_classes_count_before_the_whole(estimate):
    made = calibration.Calibration(chip="v5e", scale=2.0, classes={"vector": 3.0})
    assert made.apply(estimate).seconds == pytest.approx(3.0)


def test_a_run_of_another_shape_cannot_calibrate(tmp_path, estimate):
    other = dataclasses.replace(
        EXPERIMENT, batch=dataclasses.replace(EXPERIMENT.batch, sequences=8)
    )
    run = ran(tmp_path / "run", [1.0] * 20, other)
    with pytest.raises(InputError, match=r"ran with another batch\.sequences than the plan; plan"):
        calibrated(run, estimate)


def test_a_run_that_is_too_short_cannot_calibrate(tmp_path, estimate):
    with pytest.raises(InputError, match="has 10 steps, of which the first 10 are left out"):
        calibrated(ran(tmp_path / "run", [1.0] * 10), estimate)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be used"),
        ('{"chips": [{"chip": "v5e", "scale": 0}]}', "a scale is not above 0"),
        ('{"chips": [{"chip": "v5e"}]}', "cannot be used"),
        ('{"chips": [{"chip": "v5e", "scale": 1, "classes": {"luck": 2}}]}', "no class is called"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_kept(tmp_path, estimate, text, message):
    file = tmp_path / "c.json"
    file.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        calibration.read(file, "v5e")
    with pytest.raises(InputError, match=message):
        calibration.write(file, calibration.Calibration(chip="v5e", scale=1.0))
    assert file.read_text("utf-8") == text
    with pytest.raises(InputError, match="no calibration at"):
        calibration.read(tmp_path / "none.json", "v5e")
