"""What an upload refuses, what the hub refuses, and that no message shows the token."""

import pytest

from jgpt2 import manifest
from jgpt2.errors import DamageError, InputError
from jgpt2.publish import hub, hub_client
from tests.publish.hub_stub import Meanwhile, Refused
from tests.publish.uploads import LARGER, REPO, TOKEN, publish, there

pytestmark = [
    # The library itself passes a file in a way that its HTTP client calls old.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
]


def token_file(folder, content=TOKEN + "\n"):
    file = folder.parent / "secret"
    file.write_text(content, "utf-8")
    return file


@pytest.mark.parametrize("name", ["config.json", LARGER])
def test_another_checksum_there_is_damage(server, export, command, name):
    server.damaged = {name}
    folder = export()
    outcome = command("upload", folder, REPO, "--publish", "--token-file", token_file(folder))
    assert outcome.exit_code == 3
    assert name in outcome.err
    assert server.find(REPO, "main") in outcome.err


def test_what_others_commit_meanwhile_is_not_overwritten(server, export, published):
    theirs = {"config.json": b"theirs"}
    server.faults["batch"] = [Meanwhile(lambda: server.push(REPO, theirs))]
    with pytest.raises(InputError, match=r"412 .*somebody has changed it since"):
        publish(export())
    assert there(server) == published | theirs


@pytest.mark.parametrize(
    ("kind", "fault", "words"),
    [
        ("info", Refused(401, f"Invalid credentials, {TOKEN}, in Authorization header"), "<token>"),
        ("create", Refused(403, "You don't have the rights"), "a repository of your own"),
        ("create", Refused(409, "You already created this"), "somebody has changed it"),
        ("preupload", Refused(404, "gone"), "may not write there"),
        ("commit", Refused(400, "too many files"), "too many files"),
        ("commit", Refused(503, "busy"), "answered 503"),
        ("put", Refused(403, "expired"), "answered 403"),
    ],
)
def test_what_the_hub_refuses_is_explained(server, export, kind, fault, words):
    server.faults[kind] = [fault] * 3
    with pytest.raises(InputError, match=words) as refused:
        publish(export())
    assert fault.message.split(",")[0] in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_hub_that_stays_broken_is_left_after_five_attempts_more(server, export, waits):
    server.faults["preupload"] = [Refused(502)] * 6
    with pytest.raises(hub_client.UnreachableError, match="answered 502"):
        publish(export())
    assert waits == [1, 2, 4, 8, 8]


def test_a_card_without_metadata_is_refused_before_anything_is_sent(server, export):
    with pytest.raises(InputError, match="no metadata"):
        publish(export(more={"README.md": b"# plain\n"}))
    assert server.sent("put") == 0


def test_who_sees_it_is_not_changed_by_an_upload(server, export):
    folder = export()
    publish(folder, is_public=True)
    assert not server.repositories[REPO].private
    with pytest.raises(InputError, match=r"is public already.*with --public"):
        publish(folder)
    server.repositories[REPO].private = True
    with pytest.raises(InputError, match=r"is private already.*without --public"):
        hub.compare(hub.prepare(folder, REPO, is_public=True), TOKEN)


def test_a_wrong_token_is_refused_and_not_shown(server, export, command):
    folder = export()
    given = ["--publish", "--token-file", token_file(folder, "hf_wrong")]
    outcome = command("upload", folder, REPO, *given)
    assert outcome.exit_code == 2
    assert "does not accept the token" in outcome.err
    assert "hf_wrong" not in outcome.err + outcome.out


def test_a_token_is_needed_and_read_with_care(server, export, command, monkeypatch):
    folder = export()
    outcome = command("upload", folder, REPO, "--publish")
    assert (outcome.exit_code, server.requests) == (2, [])
    assert "needs a token" in outcome.err
    for content in ("", "two words", "全角"):
        with pytest.raises(InputError, match="is no token") as refused:
            hub_client.token(token_file(folder, content))
        assert not content or content not in str(refused.value)
    with pytest.raises(InputError, match=r"cannot be read .FileNotFoundError"):
        hub_client.token(folder / "none")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub_client.token() == TOKEN
    monkeypatch.setattr(hub_client.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"install jgpt2\[hub\]"):
        hub_client.token()


@pytest.mark.parametrize("repo", ["tiny", "me/", "a/b/c", "me/日本", "me/a--b", "me/x.git", "-/x"])
def test_a_name_that_is_no_repository_is_refused(export, repo):
    with pytest.raises(InputError, match="OWNER/NAME"):
        hub.prepare(export(), repo)


def test_a_folder_is_verified_before_a_byte_is_sent(export, tmp_path):
    folder = export()
    for revision in ("", "a b", "../x", "版"):
        with pytest.raises(InputError, match="no name of a revision"):
            hub.prepare(folder, REPO, revision=revision)
    with pytest.raises(InputError, match="give --revision step-1000"):
        hub.prepare(folder, REPO, revision="step-500")
    assert hub.prepare(folder, REPO, revision="draft").revision == "draft"
    (folder / "notes.txt").write_text("?", "utf-8")
    with pytest.raises(InputError, match=r"notes\.txt, which its manifest\.json does not list"):
        hub.prepare(folder, REPO)
    (folder / "config.json").write_text("{}", "utf-8")
    with pytest.raises(DamageError, match=r"config\.json does not match"):
        hub.prepare(folder, REPO)
    manifest.write(tmp_path, kind="dataset", name="ja", identity={}, parents={})
    with pytest.raises(InputError, match="holds a dataset, not a export"):
        hub.prepare(tmp_path, REPO)
