"""Commits that GitHub makes from trees of ours, and signs with its own key.

What an App or a workflow makes through the API, without naming an author, is signed by GitHub:
https://docs.github.com/authentication/managing-commit-signature-verification/about-commit-signature-verification#signature-verification-for-bots
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from expci.errors import ForgeError, ForgeUnreachable, LostRace, Refused
from expci.forge.github.session import CONTENTS, GitHubSession
from expci.forge.ports import NewCommit


class GitHubCommits:
    """Commits on the branches of one repository."""

    def __init__(self, session: GitHubSession) -> None:
        self._session = session

    def put(self, branch: str, commit: NewCommit, *, is_forward: bool) -> str | None:
        if not "".join(commit.files).isprintable():
            return None  # bytes that are no text, which JSON cannot name
        with self._session.asking(f"make a signed commit for {branch}", CONTENTS):
            signed = self._signed(commit)
        if signed is not None:
            self._move(branch, signed, is_forward=is_forward)
        return signed

    def _signed(self, commit: NewCommit) -> str | None:
        files = [self._entry(path, file) for path, file in sorted(commit.files.items())]
        tree = self._post("git/trees", {"base_tree": commit.base, "tree": files})
        if tree["sha"] != commit.tree:
            return None
        parts = {"message": commit.message, "tree": commit.tree, "parents": [commit.parent]}
        answer = self._post("git/commits", parts)
        return str(answer["sha"]) if answer["verification"]["verified"] else None

    def _entry(self, path: str, file: tuple[str, bytes] | None) -> dict[str, Any]:
        mode, data = file or ("100644", b"")
        entry: dict[str, Any] = {"path": path, "mode": mode, "type": "blob"}
        if file is None:
            return {**entry, "sha": None}
        try:
            return {**entry, "content": data.decode()}
        except UnicodeDecodeError:
            blob = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
            return {**entry, "sha": self._post("git/blobs", blob)["sha"]}

    def _move(self, branch: str, commit: str, *, is_forward: bool) -> None:
        """`LostRace` where the branch went elsewhere, `Refused` where a rule forbids it."""
        try:
            with self._session.asking(f"move {branch} to a signed commit", CONTENTS):
                self._set(branch, commit, is_forward=is_forward)
        except ForgeUnreachable:
            raise
        except ForgeError as error:
            if "not a fast forward" in str(error):
                raise LostRace(f"{branch} moved meanwhile; run the command again") from error
            raise Refused(str(error)) from error

    def _set(self, branch: str, commit: str, *, is_forward: bool) -> None:
        heads = self._session.request("GET", f"git/matching-refs/heads/{quote(branch)}")[1]
        if any(head["ref"] == f"refs/heads/{branch}" for head in heads):
            move = {"sha": commit, "force": not is_forward}
            self._session.request("PATCH", f"git/refs/heads/{quote(branch)}", move)
        else:
            self._post("git/refs", {"ref": f"refs/heads/{branch}", "sha": commit})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._session.request("POST", path, body)[1]
        return answer
