"""An export folder as a revision of a repository on the Hugging Face Hub, whole or not at all.

Large files are sent first, by checksum: one that has arrived is not sent again. Then one commit
makes all files visible together, on the condition that nobody else has committed meanwhile.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.publish import hub_client

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

MAIN = "main"
State = Literal["new", "changed", "unchanged"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_STEP = re.compile(r"step-([0-9]+)")
_STAYS = re.compile(r"\..*|(README|LICENSE|NOTICE)[^/]*")
"""Files of the hub that a folder without them does not take away."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A verified folder, and where it goes."""

    folder: Path
    repo: str
    revision: str
    is_public: bool
    title: str
    """Of the commit."""
    fingerprint: str
    files: dict[str, dict[str, Any]]
    """Path inside the folder -> {num_bytes, sha256}, the manifest included."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a revision on the hub holds, against a folder."""

    commit: str | None
    """The commit that was looked at; None when there is no such revision yet."""
    states: dict[str, State]
    """Of each file of the folder."""
    removed: list[str] = field(default_factory=list)
    """Files there that the folder does not have, and that do not stay."""

    @property
    def is_none(self) -> bool:
        """Whether the revision is the folder already."""
        return set(self.states.values()) == {"unchanged"} and not self.removed


def prepare(folder: Path, repo: str, *, revision: str = MAIN, is_public: bool = False) -> Upload:
    """Verifies the folder and the names; asks no hub.

    Raises InputError for names that are none and for files that the manifest does not list,
    DamageError for a file that differs from it.
    """
    if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo or repo.endswith(".git"):
        raise InputError(
            f"{repo!r} is no name of a repository: it is OWNER/NAME, of letters, digits, '-', '_' "
            "and '.', such as my-name/tiny-ja."
        )
    if not _REVISION.fullmatch(revision):
        raise InputError(
            f"--revision {revision!r} is no name of a revision: letters, digits, '-', '_' and '.', "
            "such as step-1000."
        )
    described = manifest.verify(folder, kind="export")
    step = described.identity.get("step")
    named = _STEP.fullmatch(revision)
    if named and int(named[1]) != step:
        raise InputError(
            f"--revision {revision} names step {named[1]}, but {folder} holds step {step}; give "
            f"--revision step-{step}, or the folder of the other step."
        )
    if stray := manifest.unlisted(folder, described):
        raise InputError(
            f"{folder} holds {', '.join(stray[:3])}, which its {manifest.FILE_NAME} does not list; "
            "only what is listed can be verified and sent. Move it away, or export again."
        )
    return Upload(
        folder=folder,
        repo=repo,
        revision=revision,
        is_public=is_public,
        title=f"{described.name}, step {step}",
        fingerprint=described.fingerprint,
        files={
            **described.files,
            manifest.FILE_NAME: storage.entry(folder / manifest.FILE_NAME),
        },
    )


def compare(upload: Upload, token: str | None) -> Difference:
    """What would be sent. It only reads, and makes nothing there.

    Raises hub_client.UnreachableError when the hub does not answer, InputError when it refuses.
    """
    with hub_client.opened(upload.repo, token) as api:
        if _repository(api, upload) is None:
            return _difference(upload, None)
        return _difference(upload, _info(api, upload, upload.revision))


def publish(upload: Upload, token: str | None) -> Difference:
    """Makes the revision equal to the folder, in one commit; what differed before, and the commit.

    Does nothing when it is equal already. Raises InputError when the hub refuses or cannot be
    reached, DamageError when the hub's checksums afterwards are not those of the folder.
    """
    with hub_client.opened(upload.repo, token) as api:
        before = _difference(upload, _ready(api, upload))
        if before.is_none:
            return before
        commit = _commit(api, upload, before)
        after = _difference(upload, _info(api, upload, commit))
    if not after.is_none:
        differing = [name for name, state in after.states.items() if state != "unchanged"]
        raise DamageError(
            f"{upload.repo} at {upload.revision}, commit {commit}, is not what was sent: by the "
            f"hub's own checksums {', '.join((differing + after.removed)[:3])} differ from "
            f"{upload.folder}. Revert that commit there before anyone loads it, and upload again."
        )
    return Difference(commit=commit, states=before.states, removed=before.removed)


def _repository(api: "HfApi", upload: Upload) -> "ModelInfo | None":
    """The repository; InputError when others can see what was not meant for them, or cannot."""
    found = _info(api, upload, None)
    if found is not None and found.private is upload.is_public:
        is_, flag = ("private", "without") if found.private else ("public", "with")
        raise InputError(
            f"{upload.repo} is {is_} already, and an upload does not change who sees it; run the "
            f"command {flag} --public, or change it in the settings of the repository."
        )
    return found


def _ready(api: "HfApi", upload: Upload) -> "ModelInfo | None":
    """The revision, made where there is none.

    It starts at the first commit of the repository, which holds no model: a branch from `main`
    would show another model under this name until the commit.
    """
    if _repository(api, upload) is None:
        api.create_repo(upload.repo, private=not upload.is_public)
    found = _info(api, upload, upload.revision)
    if found is not None:
        return found
    first = api.list_repo_commits(upload.repo)[-1].commit_id
    api.create_branch(upload.repo, branch=upload.revision, revision=first)
    return _info(api, upload, upload.revision)


def _info(api: "HfApi", upload: Upload, revision: str | None) -> "ModelInfo | None":
    """What the hub says of a revision (None: of the repository); None when it knows none."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return api.model_info(
            upload.repo, revision=revision, files_metadata=True, timeout=hub_client.ANSWER_S
        )
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None


def _difference(upload: Upload, there: "ModelInfo | None") -> Difference:
    found = {one.rfilename: one for one in (there and there.siblings) or []}
    states: dict[str, State] = {}
    for name, entry in upload.files.items():
        if name not in found:
            states[name] = "new"
        else:
            is_same = _is_same(upload.folder / name, entry, found[name])
            states[name] = "unchanged" if is_same else "changed"
    return Difference(
        commit=there.sha if there else None,
        states=states,
        removed=[name for name in found if name not in states and not _STAYS.fullmatch(name)],
    )


def _is_same(file: Path, entry: dict[str, Any], there: "RepoSibling") -> bool:
    """Whether the hub's checksum is the file's: SHA-256 of a large one, git's SHA-1 of another."""
    if there.lfs is not None:
        return (there.lfs.size, there.lfs.sha256) == (entry["num_bytes"], entry["sha256"])
    if there.size != entry["num_bytes"]:
        return False
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == there.blob_id


def _commit(api: "HfApi", upload: Upload, before: Difference) -> str:
    """Sends what differs and commits it on top of the commit that was compared; the new commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    done = api.create_commit(
        upload.repo,
        [
            *(
                CommitOperationAdd(name, upload.folder / name)
                for name, state in before.states.items()
                if state != "unchanged"
            ),
            *(CommitOperationDelete(name, is_folder=False) for name in before.removed),
        ],
        commit_message=upload.title,
        commit_description=f"Fingerprint {upload.fingerprint}",
        revision=upload.revision,
        parent_commit=before.commit,
    )
    return done.oid
