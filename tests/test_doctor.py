"""The doctor: each fault is found, named, and given its remedy."""

import json
import os
import time

import jax
import pytest

from jgpt2 import doctor, manifest
from jgpt2.launch import local
from jgpt2.processes import Group
from tests.conftest import QUICK


@pytest.fixture
def places(tmp_path):
    made = doctor.Places(tmp_path / "lock", tmp_path / "proc", tmp_path / "dev")
    made.proc.mkdir()
    (made.dev / "vfio").mkdir(parents=True)
    return made


def process(places, pid, *opened):
    folder = places.proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text("python\n")
    for number, path in enumerate(opened):
        (folder / "fd" / str(number)).symlink_to(path)


def found(check, places, **named):
    (finding,) = [f for f in doctor.examine(Group(), places=places, **named) if f.check == check]
    return finding


def test_all_is_well_on_a_host_without_a_tpu(places, tmp_path):
    process(places, 7, "/dev/null")
    findings = doctor.examine(
        Group(), expect_devices=jax.device_count(), writable=[tmp_path / "新 しい"], places=places
    )
    assert all(finding.is_well and not finding.remedy for finding in findings)
    assert found("TPU lock", places).what == "no TPU on this host"


@pytest.mark.parametrize("node", ["accel0", "vfio/3"])
def test_a_stale_lock_is_found(places, node):
    (places.dev / node).touch()
    assert found("TPU lock", places).what == "free"
    places.lock.touch()
    finding = found("TPU lock", places)
    assert not finding.is_well
    assert finding.remedy == f"its process is gone: remove {places.lock}"


@pytest.mark.parametrize("held", ["lock", "device"])
def test_the_holder_of_a_tpu_is_named(places, held):
    (places.dev / "accel0").touch()
    places.lock.touch()
    process(places, 41, places.lock if held == "lock" else places.dev / "accel0")
    finding = found("TPU lock", places)
    assert (finding.is_well, finding.what) == (False, "held by process 41 (python)")
    assert finding.remedy == "end what is left of an earlier run: kill 41"


def test_a_tpu_without_its_library_is_found(places):
    assert found("libtpu", places).is_well
    (places.dev / "accel0").touch()
    finding = found("libtpu", places)
    assert finding.is_well == (finding.what != "not installed")
    assert finding.is_well or finding.remedy == "install the extra: uv sync --extra tpu"


def test_another_number_of_devices_is_found(places):
    finding = found("devices", places, expect_devices=jax.device_count() + 1)
    assert not finding.is_well
    assert finding.remedy.startswith(f"{jax.device_count() + 1} were expected: start the same")


def test_a_folder_that_cannot_be_written_is_found(places, tmp_path):
    (tmp_path / "file").touch()
    finding = found(f"writable {tmp_path / 'file'}", places, writable=[tmp_path / "file"])
    assert not finding.is_well
    assert finding.remedy == "give a folder that you may write to, or allow it"


class Two(Group):
    """This process and another, which says the same but for what is changed."""

    def __init__(self, **changes):
        super().__init__(count=2)
        self._changes = changes

    def exchange(self, name, value, *, timeout_s=600):
        common = {key: self._changes.get(key, said) for key, said in value["common"].items()}
        other = value | {"host": "1 other", "common": common}
        return [value, other | {"time": value["time"] + self._changes.get("late_s", 0)}]


@pytest.mark.parametrize(
    ("changes", "check", "remedy"),
    [
        ({"code": "0.0"}, "same code", "bring the same commit to every host"),
        ({"config": "0" * 64}, "same config", "give every host the same config"),
        ({"jax": "0.1"}, "same jax", "install from the same uv.lock on every host"),
        ({"late_s": 9}, "clocks", "start all hosts within seconds, or set their clocks by NTP"),
    ],
)
def test_hosts_that_differ_are_found(places, changes, check, remedy):
    assert all(finding.is_well for finding in doctor.examine(Two(), places=places))
    (wrong,) = [f for f in doctor.examine(Two(**changes), places=places) if not f.is_well]
    assert (wrong.check, wrong.remedy) == (check, remedy)


def test_the_verb_says_it_by_its_exit_code_and_as_json(command, tmp_path):
    outcome = command("doctor", "--json", "--writable", tmp_path)
    told = json.loads(outcome.out)
    assert told["is_well"] is (outcome.exit_code == 0)
    assert {"devices", "libtpu", "same code"} <= {row["check"] for row in told["findings"]}
    (code,) = [row for row in told["findings"] if row["check"] == "same code"]
    assert code["what"] == manifest.code_version()[:40]
    outcome = command("doctor", "--expect-devices", 12345)
    assert outcome.exit_code == 2
    assert "WRONG" in outcome.out and "-> 12345 were expected" in outcome.out


@pytest.mark.slow
def test_two_processes_are_compared_and_one_prints(capfd):
    started_s = time.monotonic()
    arguments = ["doctor", "--expect-devices", "2"]
    outcome = local.run(arguments, processes=2, devices=1, environment={"XLA_FLAGS": QUICK})
    assert outcome.attempts == [[0, 0]]
    assert time.monotonic() - started_s < 60
    said = capfd.readouterr().out
    assert said.count("all is well") == 1
    assert f"0 {os.uname().nodename}" in said and f"1 {os.uname().nodename}" in said
