"""Stored models on the Hugging Face Hub: three kinds of files, none of which can execute."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi

from multisigma.errors import MultisigmaError

__all__ = ["download", "upload"]

CARD_ON_HUB = "README.md"
"""Name of a model card on the hub."""


def upload(folder: Path, repo_id: str, card: Path, *, private: bool, revision: str | None, token: str | None) -> str:
    """Upload a folder with a model's files, its card, and the licences beside the card, in one commit.

    Args:
        folder: Folder with the model's files alone. The card and the licences are copied into it.
        repo_id: Name of the model on the hub, as 'owner/name'. It is made if it does not exist.
        card: The model card.
        private: Whether a new repository is private.
        revision: Branch to commit to, which is made if it does not exist; None for the main one.
        token: Access token; None for the one that `hf auth login` stored.

    Returns:
        The commit, to pin a download to.

    Raises:
        MultisigmaError: The card cannot be read, or the hub refuses.
    """
    try:
        shutil.copyfile(card, folder / CARD_ON_HUB)
        for licence in card.parent.glob("LICENSE*"):
            shutil.copyfile(licence, folder / licence.name)
    except OSError as error:
        raise MultisigmaError(
            f"{card}: the model card must be a readable file. Found a fault: {error.strerror or error}. "
            "Make one: multisigma pack RUN --out FOLDER"
        ) from error
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message="Upload of multisigma"
        )
    except Exception as error:  # of the transport, which differs between versions of huggingface_hub
        raise _refused(repo_id, error, "Log in by `hf auth login`, and check the name.") from error
    return str(commit.oid)


def download(repo_id: str, files: Sequence[str], revision: str | None, token: str | None) -> tuple[Path, str]:
    """Download some files of a model, all of one commit, or take them from the hub's cache on this machine.

    Args:
        repo_id: Name of the model on the hub, as 'owner/name'.
        files: Names of the files. No others are downloaded.
        revision: Commit, tag or branch; None for the main branch.
        token: Access token, for private models; None for the one that `hf auth login` stored.

    Returns:
        The folder that holds them, and the commit.

    Raises:
        MultisigmaError: There is no such model or revision, or the hub cannot be reached.
    """
    api = HfApi(token=token)
    try:
        # The cache has a folder for each commit. A branch may move on between two files, a commit may not.
        folder = Path(api.hf_hub_download(repo_id, files[0], revision=revision)).parent
        for name in files[1:]:
            api.hf_hub_download(repo_id, name, revision=folder.name)
    except Exception as error:
        raise _refused(repo_id, error, "Check the name, the revision and the network.") from error
    return folder, folder.name


def _refused(repo_id: str, error: Exception, remedy: str) -> MultisigmaError:
    reason = " ".join(str(error).split())[:300]
    return MultisigmaError(f"{repo_id!r} on the Hugging Face Hub: {reason} {remedy}")
