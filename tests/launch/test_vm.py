"""TPU VMs by gcloud: the calls, a stand-in that answers them, the script on the hosts."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jgpt2.errors import InputError
from jgpt2.launch import accelerators, babysit, calls, vm

from . import cases
from .gcloud import kind

AWKWARD = cases.AWKWARD
TPU = ["--name", AWKWARD, "--project", "my-project", "--zone", "us-west4-a"]
PLACE = vm.Vm(name=AWKWARD, project="my-project", zone="us-west4-a")
NOT_FOUND = [1, "", "ERROR: (gcloud) NOT_FOUND: no such resource"]
COMMAND = ["train", "configs/small.py", "--run", "gs://b/港 の '朝' \"$(id)\" `id` $HOME ; x"]


class StandIn:
    """What `gcloud` was called with, and how it answers."""

    def __init__(self, folder):
        self.folder = folder
        self.answer({})

    def answer(self, script):
        (self.folder / "answers.json").write_text(json.dumps(script), "utf-8")

    @property
    def calls(self):
        noted = self.folder / "calls.jsonl"
        return [json.loads(line) for line in noted.read_text("utf-8").splitlines()]

    @property
    def acts(self):
        """The kinds of calls that change something, in order."""
        asks = ("describe", "status", "logs")
        return [kind(call) for call in self.calls if kind(call).split()[1] not in asks]


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """The stand-in, first on PATH, in a folder with a space and Japanese in its name."""
    folder = tmp_path / "代役 一"
    folder.mkdir()
    script = folder / "gcloud"
    program = Path(__file__).parent / "gcloud.py"
    words = shlex.join([sys.executable, str(program)])
    script.write_text(f'#!/usr/bin/env bash\nexec {words} "$@"\n', "utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(folder))
    return StandIn(folder)


@pytest.fixture
def home(gcloud):
    """A host: the script that setup copies there, and a `jgpt2` that notes what it was given."""
    made = gcloud.folder / "home"
    (made / "jgpt2" / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(cases.ROOT / "tpu" / "host.sh", made)
    python = made / "jgpt2" / ".venv" / "bin" / "python"
    code = (
        "import json, pathlib, sys, time, signal\n"
        "home = pathlib.Path.home()\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
        "(home / 'given.json').write_text(json.dumps(sys.argv[1:]))\n"
        "print('損失 1.25', flush=True)\n"
        "while not (home / 'end').exists(): time.sleep(0.05)\n"
        "sys.exit(int((home / 'end').read_text()))\n"
    )
    program = made / "stand_in.py"
    program.write_text(code, "utf-8")
    words = shlex.join([sys.executable, str(program)])  # a path with a space fits no `#!`
    python.write_text(f'#!/usr/bin/env bash\nexec {words} "$@"\n', "utf-8")
    python.chmod(0o755)
    return made


def until(true, seconds=20):
    start_s = time.monotonic()
    while not true():
        assert time.monotonic() - start_s < seconds
        time.sleep(0.05)


def test_nothing_is_called_unless_it_shall_go(command, gcloud):
    asked = ["launch", "vm", "create", *TPU, "--accelerator", "v5e-16", "--spot"]
    outcome = command(*asked)
    assert outcome.exit_code == 0
    assert not (gcloud.folder / "calls.jsonl").exists()
    printed = shlex.split(outcome.out)
    assert command(*asked, "--go").exit_code == 0
    assert printed == ["gcloud", *gcloud.calls[0]]
    assert f"--description={AWKWARD}" in printed


def test_a_call_that_fails_ends_the_verb_with_its_code(command, gcloud):
    gcloud.answer({"tpu-vm scp": [[7, "", "denied"]]})
    outcome = command("launch", "vm", "setup", *TPU, "--archive", "my code.tar.gz", "--go")
    assert outcome.exit_code == 7
    assert gcloud.acts == ["tpu-vm scp"]


def test_setup_brings_the_commit_that_is_checked_out(command):
    first, copy, install = map(shlex.split, command("launch", "vm", "setup", *TPU).out.splitlines())
    assert first == ["git", "archive", "--format=tar.gz", "--output=jgpt2.tar.gz", "HEAD"]
    assert copy[4:6] == ["scp", "jgpt2.tar.gz"]
    assert [Path(file).name for file in copy[6:8]] == ["startup.sh", "host.sh"]
    assert all(Path(file).is_file() for file in copy[6:8])
    assert "--command=bash startup.sh jgpt2.tar.gz" in install


def test_arguments_arrive_on_the_host_as_they_were_given(command, gcloud, home):
    assert command("launch", "vm", "run", *TPU, "--go", "--", *COMMAND).exit_code == 0
    given = home / "given.json"
    until(lambda: given.exists() and given.read_text())
    assert json.loads(given.read_text()) == ["-m", "jgpt2", *COMMAND]
    (home / "end").write_text("0")


def on_host(home, *arguments):
    done = subprocess.run(
        ["bash", home / "host.sh", *arguments],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def state(home):
    return on_host(home, "status", "run-1")[1].partition(" ")[2]


@pytest.mark.parametrize(
    ("action", "code"), [("end", 3), ("stop", 42), ("kill", 137)], ids=["ends", "stop", "kill"]
)
def test_a_run_on_a_host(home, action, code):
    assert state(home) == "none"
    assert on_host(home, "run", "run-1", "--", "train")[0] == 0
    until(lambda: state(home) == "running" and (home / "given.json").exists())
    refused, _, said = on_host(home, "run", "run-1", "--", "train")
    assert refused == 2
    assert "already running" in said
    until(lambda: "損失 1.25" in on_host(home, "logs", "run-1", "5")[1])
    if action == "end":
        (home / "end").write_text(str(code))
    else:
        assert on_host(home, action, "run-1")[0] == 0
    until(lambda: state(home) == f"exit {code}")
    assert on_host(home, action if action != "end" else "stop", "run-1")[0] == 0


def test_a_run_whose_host_was_started_anew_is_gone(home):
    folder = home / "jgpt2-runs" / "run-1"
    folder.mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / "pid").write_text(str(ended.pid))
    assert state(home) == "gone"


def test_setup_unpacks_and_installs_again_and_again(tmp_path):
    home = tmp_path / "家 一"
    tools = home / ".local" / "bin"
    tools.mkdir(parents=True)
    uv = tools / "uv"
    uv.write_text(
        "#!/usr/bin/env bash\n"
        '[[ $1 == --version ]] && { echo "uv 0.13.9"; exit; }\n'
        'echo "$PWD: uv $*"\n'
        "mkdir -p .venv/bin\n"
        "printf '#!/usr/bin/env bash\\necho 0.1.0\\n' >.venv/bin/python\n"
        "chmod +x .venv/bin/python\n"
    )
    uv.chmod(0o755)
    archive = home / "my code.tar.gz"
    for name in ("古い.py", "新しい.py"):
        source = tmp_path / name.removesuffix(".py")
        source.mkdir()
        (source / name).write_text("x = 1\n", "utf-8")
        subprocess.run(["tar", "-czf", archive, "-C", source, name], check=True)
        done = subprocess.run(
            ["bash", cases.ROOT / "tpu" / "startup.sh", archive.name],
            cwd=home, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"{home}/jgpt2: uv sync --locked --no-dev --extra tpu --extra gcs" in done.stdout
        assert "jgpt2 0.1.0 is installed" in done.stdout
        assert [file.name for file in (home / "jgpt2").glob("*.py")] == [name]
    assert (home / "jgpt2-runs").is_dir()


def look_after(gcloud, script, **changes):
    """The exit code of a babysitter whose looks follow each other at once."""
    gcloud.answer(script)
    given = {
        "vm": PLACE,
        "accelerator": accelerators.find("v5e-16"),
        "command": COMMAND,
        "archive": Path("code.tar.gz"),
        "spot": True,
        "grace_s": 0.0,
    }
    looks = []

    def pause(seconds):
        looks.append(seconds)
        assert len(looks) < 40, gcloud.acts

    return babysit.watch(babysit.Care(**given | changes), pause=pause)


def hosts(*states):
    lines = [f"t1v-n-{i}-w-{i} {state}\n" for i, state in enumerate(states)]
    return [0, "SSH key found; connecting...\n" + "".join(lines), ""]


def all_hosts(state):
    return hosts(*[state] * 4)


ACTIVE = [0, "ACTIVE\n", ""]
READY = {"queued-resources describe": [ACTIVE], "tpu-vm describe": [[0, "READY\n", ""]]}
FRESH = [255, "", "bash: host.sh: No such file or directory"]
START = ["tpu-vm scp", "ssh startup.sh", "ssh run"]
CREATE, DELETE = "queued-resources create", "queued-resources delete"


def test_a_run_is_seen_through_its_preemption(gcloud):
    script = {
        "queued-resources describe": [
            NOT_FOUND, [0, "WAITING_FOR_RESOURCES\n", ""], ACTIVE, ACTIVE, ACTIVE,
            [0, "SUSPENDED\n", ""], NOT_FOUND, [0, "PROVISIONING\n", ""], ACTIVE,
        ],
        "tpu-vm describe": [[0, "READY\n", ""]],
        "ssh status": [
            FRESH, all_hosts("running"), all_hosts("running"),
            FRESH, all_hosts("running"), all_hosts("exit 42"), all_hosts("exit 0"),
        ],
    }  # fmt: skip
    assert look_after(gcloud, script, delete_at_end=True, max_restarts=0) == 0
    assert gcloud.acts == [CREATE, *START, DELETE, CREATE, *START, "ssh run", DELETE]
    for call in gcloud.calls:
        assert call[-2:] == ["--project=my-project", "--zone=us-west4-a"]
    assert len({name for call in gcloud.calls for name in call if name == PLACE.label}) == 1
    runs = [call for call in gcloud.calls if kind(call) == "ssh run"]
    (remote,) = {word for call in runs for word in call if word.startswith("--command=")}
    assert shlex.split(remote.removeprefix("--command="))[5:] == COMMAND


def test_a_node_that_is_gone_behind_an_active_request_is_made_anew(gcloud):
    script = {
        "queued-resources describe": [ACTIVE, ACTIVE, NOT_FOUND, ACTIVE],
        "tpu-vm describe": [[0, "READY\n", ""], [0, "PREEMPTED\n", ""], [0, "READY\n", ""]],
        "ssh status": [FRESH, FRESH, all_hosts("exit 0")],
    }
    assert look_after(gcloud, script) == 0
    assert gcloud.acts == [*START, DELETE, CREATE, *START]


def test_hosts_that_do_not_answer_are_made_anew(gcloud):
    deaf = [255, "", "ssh: connect to host: timed out"]
    part = hosts("running", "running", "running")
    states = [FRESH, all_hosts("running"), deaf, part, deaf, FRESH, all_hosts("exit 0")]
    script = READY | {"ssh status": states}
    assert look_after(gcloud, script) == 0
    assert gcloud.acts == [*START, DELETE, *START]


def test_a_run_that_goes_on_is_only_watched(gcloud):
    script = READY | {"ssh status": [all_hosts("running"), all_hosts("exit 0")]}
    assert look_after(gcloud, script) == 0
    assert gcloud.acts == []


@pytest.mark.parametrize("code", [2, 3])
def test_what_is_never_retried_ends_it(gcloud, code):
    ended = hosts("running", f"exit {code}", "exit 134", "running")
    assert look_after(gcloud, READY | {"ssh status": [FRESH, ended]}) == code
    assert gcloud.acts == [*START, "ssh kill"]


def test_failures_count_and_saved_states_do_not(gcloud):
    failed = hosts("exit 134", "exit 137", "exit 42", "gone")
    states = [FRESH, all_hosts("exit 42"), failed, all_hosts("exit 42"), failed]
    assert look_after(gcloud, READY | {"ssh status": states}, max_restarts=1) == 134
    assert gcloud.acts == [*START, "ssh run", "ssh run", "ssh run"]


def test_hosts_that_stay_when_one_has_ended_are_killed(gcloud):
    stuck = hosts("exit 134", "running", "running", "running")
    killed = hosts("exit 134", "exit 137", "exit 137", "exit 137")
    states = [FRESH, stuck, killed, all_hosts("exit 0")]
    assert look_after(gcloud, READY | {"ssh status": states}) == 0
    assert gcloud.acts == [*START, "ssh kill", "ssh run"]


def test_calls_that_fail_again_and_again_end_it(gcloud, capsys):
    quota = [1, "", "ERROR: quota exceeded"]
    script = {"queued-resources describe": [NOT_FOUND], CREATE: [quota]}
    assert look_after(gcloud, script) == 75
    assert gcloud.acts == [CREATE] * 5
    assert "`create` failed 5 times in a row" in capsys.readouterr().err
    script = {"queued-resources describe": [[1, "", "ERROR: PERMISSION_DENIED"]]}
    assert look_after(gcloud, script) == 75
    assert "PERMISSION_DENIED" in capsys.readouterr().err


def test_a_tpu_that_is_kept_is_told(gcloud, capsys):
    assert look_after(gcloud, READY | {"ssh status": [FRESH, all_hosts("exit 0")]}) == 0
    assert f"{PLACE.label} is kept, and billed, until `vm delete`" in capsys.readouterr().err


def test_a_babysitter_prints_its_plan(command, gcloud):
    asked = [*TPU, "--accelerator", "v5e-16", "--archive", "c.tar.gz", "--delete-at-end"]
    outcome = command("launch", "vm", "babysit", *asked, "--", *COMMAND)
    assert outcome.exit_code == 0
    kinds = [kind(shlex.split(line)[1:]) for line in outcome.out.splitlines()]
    asks = ["queued-resources describe", "ssh status"]
    assert kinds == [CREATE, *START, *asks, DELETE]
    assert not (gcloud.folder / "calls.jsonl").exists()


def test_what_cannot_be_asked_for_is_refused():
    with pytest.raises(InputError, match="no TPU VMs of tpu7x:2x2x1, "):
        vm.create(PLACE, accelerators.find("tpu7x:2x2x1"))
    with pytest.raises(InputError, match="--reserved or --spot"):
        vm.create(PLACE, accelerators.find("v5e-8"), spot=True, reserved=True)
    with pytest.raises(InputError, match="--lines 0 shows nothing"):
        vm.logs(PLACE, lines=0)


def test_a_missing_gcloud_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="gcloud is not installed"):
        calls.make(vm.delete(PLACE))


def test_a_call_that_does_not_answer_is_ended():
    assert calls.ask(["sleep", "60"], timeout_s=0.2) == (124, "", "no answer in 0 s")


EVERY_CALL = {
    "create": vm.create(PLACE, accelerators.find("v5e-16"), spot=True)[0],
    "create of a reservation": vm.create(PLACE, accelerators.find("v4-32"), reserved=True)[0],
    "scp": vm.setup(PLACE, Path("code.tar.gz"))[0],
    "ssh": vm.run(PLACE, COMMAND)[0],
    "state": vm.state(PLACE),
    "node": vm.node_state(PLACE),
    "delete": vm.delete(PLACE)[0],
}


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.parametrize("name", EVERY_CALL)
def test_the_real_gcloud_accepts_the_arguments(name, tmp_path):
    # Without an account it checks the arguments, and then stops before it asks Google.
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path)}
    environment["CLOUDSDK_CORE_DISABLE_PROMPTS"] = "1"

    def said(call):
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode
        return done.stderr

    accepted = said(EVERY_CALL[name])
    assert "do not currently have an active account" in accepted, accepted
    assert "active account" not in said([*EVERY_CALL[name], "--no-such-flag"])
