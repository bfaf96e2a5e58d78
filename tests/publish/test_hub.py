"""Uploads to a hub on the loopback: what is sent, what a cut leaves, what the same command does."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.utils import get_session

from jgpt2 import manifest, storage
from jgpt2.errors import InputError
from jgpt2.publish import hub_client
from tests.conftest import ROOT
from tests.publish import hub_stub
from tests.publish.hub_stub import Cut, Late, Lost, Refused
from tests.publish.uploads import LARGER, REPO, TOKEN, contents, publish, there

READING = {"info", "commits"}
pytestmark = [
    # The library itself passes a file in a way that its HTTP client calls old.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
]


def test_a_folder_is_there_byte_for_byte_after_one_commit(server, export):
    folder = export()
    done = publish(folder)
    assert there(server) == contents(folder)
    assert set(done.states.values()) == {"new"}
    assert done.commit == server.find(REPO, "main")
    assert server.repositories[REPO].private
    assert server.messages == ["tiny, step 1000"]
    large = sum(len(content) for name, content in contents(folder).items() if name[-3:] != "son")
    assert server.sent("put") == large - len((folder / "README.md").read_bytes())
    order = [kind for kind in server.kinds() if kind not in ("put", "verify")]
    assert order == [
        *("info", "create", "info"),
        *("yaml", "preupload", "batch", "commit"),
        "info",
    ]
    assert server.kinds().count("put") == server.kinds().count("verify") == 3
    assert not any(one.has_token for one in server.requests if one.kind == "put")


def test_the_library_would_take_another_way_by_itself():
    # Else the test above would not show that it is kept from it.
    assert importlib.util.find_spec("hf_xet")
    assert not constants.HF_HUB_DISABLE_XET
    assert not constants.HF_HUB_DISABLE_TELEMETRY


def test_a_dry_run_sends_and_makes_nothing(server, export, command):
    folder = export()
    answer = command("upload", folder, REPO, "--json").json()
    assert server.repositories == {}
    assert set(server.kinds()) <= READING
    assert {name: entry["sha256"] for name, entry in answer["files"].items()} == {
        name: hub_stub.digest(content) for name, content in contents(folder).items()
    }
    assert {entry["before"] for entry in answer["files"].values()} == {"new"}
    assert (answer["is_sent"], answer["commit"], answer["unreachable"]) == (False, None, None)
    publish(folder)
    del server.requests[:]
    outcome = command("upload", export("other", seed=1), REPO)
    assert set(server.kinds()) <= READING
    assert "Nothing was sent: --publish sends it" in outcome.out
    shown = {line.split()[0]: line.split()[-1] for line in outcome.out.splitlines()[1:-1]}
    assert shown["config.json"] == "unchanged"
    assert shown["model-00001-of-00002.safetensors"] == "changed"


def test_a_dry_run_needs_no_hub(waits, export, command, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    answer = command("upload", export(), REPO, "--json").json()
    assert "could not be reached" in answer["unreachable"]
    assert {entry["before"] for entry in answer["files"].values()} == {None}
    assert waits == []
    assert "some of which may be there" in command("upload", export("other"), REPO).out
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline" in command("upload", export("third"), REPO, "--json").json()["unreachable"]


def test_a_large_file_goes_in_parts(server, export):
    server.part_bytes = 70_000
    folder = export()
    publish(folder)
    assert there(server) == contents(folder)
    assert server.kinds().count("put") == 5 + 3 + 1
    assert server.kinds().count("complete") == 2


def storage_path(folder, name):
    return f"/storage/{hub_stub.digest((folder / name).read_bytes())}"


def test_a_cut_leaves_nothing_visible_and_the_same_command_goes_on(
    server, export, waits, published
):
    folder = export()
    server.faults[storage_path(folder, LARGER)] = [Cut(100_000)] * 6
    with pytest.raises(hub_client.UnreachableError, match="Run the same command again"):
        publish(folder)
    assert waits == [1, 2, 4, 8, 8]
    assert there(server) == published
    assert server.sent("put") >= 6 * 100_000
    del server.requests[:]
    publish(folder)
    assert there(server) == contents(folder)
    assert server.sent("put") == (folder / LARGER).stat().st_size  # the others had arrived


def test_a_cut_within_a_command_is_sent_again_by_itself(server, export, waits, caplog):
    folder = export()
    server.faults[storage_path(folder, LARGER)] = [Cut(1000)]
    server.faults["batch"] = [Refused(503)]
    publish(folder)
    assert there(server) == contents(folder)
    assert waits == [1, 1]
    assert caplog.text == ""  # the library would show the address of storage


def test_a_cut_in_a_part_sends_that_file_again(server, export, published):
    server.part_bytes = 100_000
    folder = export()
    server.faults[storage_path(folder, LARGER) + "/3"] = [Cut(10)] * 6
    with pytest.raises(InputError, match="could not be reached"):
        publish(folder)
    assert there(server) == published
    del server.requests[:]
    publish(folder)
    assert server.sent("put") == (folder / LARGER).stat().st_size
    assert there(server) == contents(folder)


def test_a_cut_before_the_commit_leaves_nothing_visible(server, export, published):
    folder = export()
    server.faults["commit"] = [Cut(0)]
    with pytest.raises(InputError, match="Nothing is visible before the commit"):
        publish(folder)
    assert there(server) == published
    del server.requests[:]
    publish(folder)
    assert there(server) == contents(folder)
    assert server.sent("put") == 0
    assert server.kinds().count("commit") == 1


def test_a_commit_whose_answer_is_lost_is_found(server, export, command, published):
    folder = export()
    server.faults["commit"] = [Lost()]
    with pytest.raises(InputError, match="a commit that was made is found"):
        publish(folder)
    made = server.find(REPO, "main")
    del server.requests[:]
    done = publish(folder)
    assert done.is_none
    assert done.commit == made == server.find(REPO, "main")
    assert set(server.kinds()) == {"info"}
    assert there(server) == contents(folder)


def test_a_repository_whose_answer_is_lost_is_found(server, export):
    folder = export()
    server.faults["create"] = [Lost()]
    with pytest.raises(InputError, match="could not be reached"):
        publish(folder)
    publish(folder)
    assert there(server) == contents(folder)


def test_a_hub_that_says_nothing_is_left(server, export, published, monkeypatch):
    monkeypatch.setattr(hub_client, "_SILENCE_S", 0.2)
    server.faults["commit"] = [Late(0.5)]
    with pytest.raises(hub_client.UnreachableError, match="timed out"):
        publish(export())
    monkeypatch.setattr(hub_client, "ANSWER_S", 0.2)
    server.faults["info"] = [Late(0.5)]
    with pytest.raises(hub_client.UnreachableError, match="timed out"):
        publish(export("other"))
    assert get_session().timeout.read is None


def test_checkpoints_are_revisions_and_main_is_left_alone(server, export, published, tmp_path):
    folders = {step: export(f"step {step}", step=step, seed=step) for step in (500, 1000)}
    for step, folder in folders.items():
        publish(folder, revision=f"step-{step}")
    assert there(server) == published
    for step, folder in folders.items():
        assert there(server, f"step-{step}") == contents(folder)
        read = hf_hub_download(
            REPO,
            "tokenizer/tokenizer.model",
            revision=f"step-{step}",
            cache_dir=tmp_path / "cache",
            token=TOKEN,
        )
        wanted = (folder / "tokenizer" / "tokenizer.model").read_bytes()
        assert wanted == Path(read).read_bytes()


def test_a_new_revision_never_shows_another_model(server, export, published):
    server.faults["commit"] = [Cut(0)]
    with pytest.raises(InputError, match="Nothing is visible"):
        publish(export(), revision="step-1000")
    assert there(server, "step-1000") == {}


def test_what_would_be_loaded_in_place_of_the_folder_is_removed(server, export, command):
    publish(export(more={"tokenizer/old.model": b"old"}))
    server.push(REPO, {"LICENSE": b"free", "README.md": b"by hand", "notes/x.md": b"stray"})
    folder = export("single", more={"model.safetensors": b"whole"})
    for name in (LARGER, "model-00002-of-00002.safetensors", "README.md", manifest.FILE_NAME):
        (folder / name).unlink()
    manifest.write(
        folder,
        kind="export",
        name="single",
        identity={"step": 1000},
        parents={},
        files=storage.files(folder),
    )
    gone = [
        *(LARGER, "model-00002-of-00002.safetensors"),
        *("notes/x.md", "tokenizer/old.model"),
    ]
    outcome = command("upload", folder, REPO)
    assert all(f"{name} " in outcome.out for name in gone)
    assert sorted(publish(folder).removed) == gone
    stays = {"LICENSE": b"free", "README.md": b"by hand"}
    assert there(server) == contents(folder) | stays
    assert publish(folder).is_none


def test_the_command_speaks_to_the_hub_of_the_environment(server, export, tmp_path):
    folder = export()
    given = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "jgpt2", "upload", folder, REPO, "--publish"]
    for said in ("7 of 7 files", "equal already"):
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | given
        )
        assert said in done.stdout
        assert done.stderr == ""
        assert TOKEN not in done.stdout
    assert there(server) == contents(folder)
    assert "unknown" not in server.kinds()
