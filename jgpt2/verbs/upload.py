"""`jgpt2 upload`: an exported folder as a revision of a repository on the Hugging Face Hub."""

from pathlib import Path
from typing import Any

import tyro

from jgpt2.verbs import answer


def upload(
    folder: tyro.conf.Positional[Path],
    repo: tyro.conf.Positional[str],
    publish: bool = False,
    revision: str = "main",
    public: bool = False,
    token_file: Path | None = None,
    json: bool = False,
) -> None:
    """Show what would be sent to the Hugging Face Hub; with --publish, send it.

    All files become visible in one commit. A command that was cut off is run again: what has
    arrived is not sent a second time.

    Args:
        folder: Folder of `jgpt2 export`; every file is verified first.
        repo: OWNER/NAME there; made if need be.
        publish: Send it. Without this flag nothing is sent or made there.
        revision: Branch; made if need be. A name such as step-1000 must be the folder's step.
        public: Make the repository public; else private. One that exists must be it already.
        token_file: File that holds the token; else HF_TOKEN or `hf auth login`.
        json: Print one JSON document.
    """
    from jgpt2.publish import hub, hub_client

    prepared = hub.prepare(folder, repo, revision=revision, is_public=public)
    token = hub_client.token(token_file, is_needed=publish)
    difference, unreachable = None, None
    try:
        difference = (hub.publish if publish else hub.compare)(prepared, token)
    except hub_client.UnreachableError as error:
        if publish:
            raise
        unreachable = error.reason
    states = difference.states if difference else {}
    value = {
        "endpoint": hub_client.endpoint(),
        "repo": repo,
        "revision": revision,
        "is_sent": publish and difference is not None and not difference.is_none,
        "commit": difference and difference.commit,
        "unreachable": unreachable,
        "files": {
            name: {**entry, "before": states.get(name)} for name, entry in prepared.files.items()
        },
        "removed": difference.removed if difference else [],
    }
    answer.give(value, _text(value, publish), json)


def _text(value: dict[str, Any], is_publish: bool) -> str:
    """A table of the files, and below it what was done."""
    from jgpt2 import table

    rows = [[name, *entry.values()] for name, entry in value["files"].items()]
    rows += [[name, None, None, "removed"] for name in value["removed"]]
    differing = [one for one in value["files"].values() if one["before"] != "unchanged"]
    size = sum(one["num_bytes"] for one in differing)
    of_all = f"{len(differing)} of {len(value['files'])} files, {size:,} bytes"
    commit = value["commit"]
    if value["is_sent"]:
        said = f"{of_all} sent in commit {commit}; all checksums there are the folder's."
    elif is_publish:
        said = f"equal already in commit {commit}; nothing was sent."
    elif value["unreachable"]:
        said = f"{of_all}, some of which may be there: {value['unreachable']}."
    else:
        said = f"{of_all} to send{f' on top of commit {commit}' if commit else ''}."
    ending = "" if is_publish else " Nothing was sent: --publish sends it."
    shown = table.text(["file", "bytes", "SHA-256", "before"], rows)
    return f"{shown}\n{value['endpoint']}/{value['repo']} at {value['revision']}: {said}{ending}"
