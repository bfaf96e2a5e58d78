"""The table of TPUs: its own arithmetic, what other tables say, and that a wheel has it."""

import math
import subprocess
import sys
import zipfile

import pytest

from jgpt2.errors import InputError
from jgpt2.launch import accelerators, files
from jgpt2.plan import topology

from . import cases

ROWS = accelerators.everything()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_chips_are_the_product_of_the_topology_and_of_the_hosts(row):
    assert row.chips == math.prod(map(int, row.topology.split("x")))
    assert row.chips == row.hosts * row.chips_per_host
    assert row.machine.endswith(f"-{row.chips_per_host}t")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_plan_means_the_same_by_the_name(row):
    planned = topology.parse(row.name)
    assert planned.num_chips == row.chips
    assert "x".join(map(str, planned.shape)) == row.topology
    assert topology.parse(f"{row.chip}:{row.topology}").num_chips == row.chips


def test_the_table_has_every_generation():
    assert {row.chip for row in ROWS} == {"v4", "v5e", "v5p", "v6e", "tpu7x"}
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_row_is_found_by_each_of_its_names():
    for row in ROWS:
        assert accelerators.find(row.name) == row
        assert accelerators.find(f"{row.chip}:{row.topology}") == row
        assert row.gcloud is None or accelerators.find(row.gcloud) == row


@pytest.mark.parametrize(
    ("name", "said"),
    [("v5e-12", "v5e-8, v5e-16"), ("tpu7x-8", "tpu7x:2x2x1, tpu7x:2x2x2"), ("h100", "v4-8, v4-16")],
)
def test_another_name_is_refused_with_the_choices(name, said):
    with pytest.raises(InputError, match=said):
        accelerators.find(name)


@pytest.mark.slow
def test_a_wheel_holds_what_a_launch_needs(tmp_path):
    build = ["uv", "build", "--wheel", "--out-dir", str(tmp_path), str(cases.ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    code = "from jgpt2.launch import accelerators, files; print(files.__file__);"
    code += "print(len(accelerators.everything()), files.path('host.sh'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    place, found = done.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    assert found == f"{len(ROWS)} {tmp_path}/site/jgpt2/launch/tpu/host.sh"
    for name in ("accelerators.toml", "host.sh", "startup.sh"):
        packed = tmp_path / "site" / "jgpt2" / "launch" / "tpu" / name
        assert packed.read_bytes() == files.path(name).read_bytes()
