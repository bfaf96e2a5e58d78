"""What tpu/ runs on machines: the scripts are clean, the image and the hosts install alike."""

import json
import re
import subprocess
import sys
from pathlib import Path

from . import cases

TPU = cases.ROOT / "tpu"
IMAGE = (TPU / "Dockerfile").read_text("utf-8")


def check(*scripts):
    checker = Path(sys.executable).with_name("shellcheck")
    return subprocess.run([checker, *scripts], capture_output=True, text=True)


def test_the_scripts_are_clean():
    scripts = sorted(TPU.glob("**/*.sh"))
    assert [script.name for script in scripts] == ["host.sh", "startup.sh"]
    done = check(*scripts)
    assert done.returncode == 0, done.stdout


def test_a_planted_fault_in_a_script_is_found(tmp_path):
    planted = (TPU / "host.sh").read_text("utf-8").replace('mkdir -p "$folder"', "mkdir -p $folder")
    script = tmp_path / "host.sh"
    script.write_text(planted, "utf-8")
    done = check(script)
    assert done.returncode == 1
    assert "SC2086" in done.stdout


def test_python_is_the_first_process_of_the_image():
    (entry,) = re.findall("^ENTRYPOINT (.*)$", IMAGE, re.MULTILINE)
    # A list: a shell in between would be process 1, and would keep SIGTERM to itself.
    assert json.loads(entry) == ["python", "-m", "jgpt2"]


def test_the_image_copies_what_there_is():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", IMAGE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"uv.lock", "jgpt2", "configs", "tokenizers", "tpu"} <= set(names)
    assert [name for name in names if not (cases.ROOT / name).exists()] == []


def test_image_and_hosts_install_alike():
    script = (TPU / "startup.sh").read_text("utf-8")
    (of_image,) = re.findall(r"astral-sh/uv:(\S+)", IMAGE)
    (of_host,) = re.findall(r"^uv_version=(\S+)", script, re.MULTILINE)
    assert of_image == of_host
    assert re.findall("^RUN (uv sync .*)$", IMAGE, re.MULTILINE)[-1] in script
