"""A bare repository, asked by plain git: tips, ancestry, merges."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

IDENTITY = {
    "GIT_AUTHOR_NAME": "GitHub",
    "GIT_AUTHOR_EMAIL": "noreply@github.com",
    "GIT_COMMITTER_NAME": "GitHub",
    "GIT_COMMITTER_EMAIL": "noreply@github.com",
}
REFUSAL = """#!/bin/sh
case "$1" in
  refs/heads/%s) echo "GH006: Protected branch update failed for $1." >&2; exit 1;;
esac
"""


@dataclass(frozen=True)
class Bare:
    path: Path

    def git(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-c", "gc.auto=0", *arguments],
            cwd=self.path,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", **IDENTITY},
            capture_output=True,
            text=True,
            check=False,
        )

    def tips(self) -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split() for line in lines)

    def tip(self, ref: str) -> str | None:
        return self.tips().get(ref)

    def contains(self, tip: str, commit: str) -> bool:
        return self._run("merge-base", "--is-ancestor", commit, tip).returncode == 0

    def brought_by(self, head: str, base: str) -> str:
        """The commit of base's first-parent line that brought `head` in."""
        line = self.git("rev-list", "--first-parent", "--ancestry-path", f"{head}..{base}").split()
        if not line or self.git("rev-parse", f"{line[-1]}^") == head:
            return head
        return line[-1]

    def has_commits(self, base: str, head: str) -> bool:
        return self.git("rev-list", "-1", f"{base}..{head}") != ""

    def merged_tree(self, ours: str, theirs: str) -> str | None:
        """`None` where they conflict."""
        done = self._run("merge-tree", "--write-tree", ours, theirs)
        return done.stdout.split()[0] if done.returncode == 0 else None

    def commit(self, tree: str, parents: list[str], message: str) -> str:
        named = [part for parent in parents for part in ("-p", parent)]
        return self.git("commit-tree", tree, *named, "-m", message)

    def rebased(self, base: str, head: str) -> str:
        """Each commit of `head` anew on `base`, as merging by rebase makes them."""
        with tempfile.TemporaryDirectory() as directory:
            tree = Bare(Path(directory) / "tree")
            self.git("worktree", "add", "-q", "--detach", str(tree.path), head)
            tree.git("rebase", "-q", "--force-rebase", base)
            commit = tree.git("rev-parse", "HEAD")
            self.git("worktree", "remove", "--force", str(tree.path))
            return commit

    def move(self, ref: str, new: str, old: str) -> None:
        self.git("update-ref", ref, new, old)

    def set(self, ref: str, commit: str) -> None:
        self.git("update-ref", ref, commit)

    def protect(self, branch: str) -> None:
        hook = self.path / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(REFUSAL % branch)
        hook.chmod(0o755)
