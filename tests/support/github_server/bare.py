"""A bare repository, asked by plain git: tips, ancestry, merges."""

from __future__ import annotations

import contextlib
import os
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
# As GitHub's own key makes one; nobody here checks it, only that it is there.
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nc21hbGw=\n-----END PGP SIGNATURE-----"
ONLY_SIGNED = """#!/bin/sh
case "$1" in refs/heads/%s) ;; *) exit 0;; esac
case "$2" in *[!0]*) range="$2..$3";; *) range="$3 --not --all";; esac
for commit in $(git rev-list $range); do
  git cat-file commit "$commit" | sed '/^$/q' | grep -q '^gpgsig ' && continue
  echo "GH013: Repository rule violations found for $1. Commits must have verified signatures." >&2
  exit 1
done
"""
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

    def _run(
        self, *arguments: str, data: bytes = b"", index: str = ""
    ) -> subprocess.CompletedProcess[str]:
        own = {"GIT_INDEX_FILE": index} if index else {}
        done = subprocess.run(
            ["git", "-c", "gc.auto=0", *arguments],
            cwd=self.path,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", **IDENTITY, **own},
            input=data,
            capture_output=True,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def write(self, kind: str, data: bytes) -> str:
        """An object's id, once it is there."""
        return self._run("hash-object", "-w", "-t", kind, "--stdin", data=data).stdout.strip()

    def has(self, oid: str) -> bool:
        return self._run("cat-file", "-e", oid).returncode == 0

    def tree(self, base: str | None, rows: list[tuple[str, str | None, str]]) -> str:
        """`base` with (mode, blob, path) put in; a path without a blob goes."""
        with tempfile.TemporaryDirectory() as directory:
            index = f"{directory}/index"
            self._run("read-tree", base or "--empty", index=index)
            lines = (f"{mode if oid else 0} {oid or '0' * 40}\t{path}" for mode, oid, path in rows)
            self._run("update-index", "--index-info", data="\n".join(lines).encode(), index=index)
            return self._run("write-tree", index=index).stdout.strip()

    def is_signed(self, tip: str, old: str | None) -> bool:
        """Whether every commit that `tip` adds to `old` is."""
        lines = self.git("rev-list", tip, *([f"^{old}"] if old else ["--not", "--all"])).split()
        return all("\ngpgsig " in self.git("cat-file", "commit", commit) for commit in lines)

    def tips(self) -> dict[str, str]:
        """Every ref, from its files: each exchange begins with this, and git takes ten times it."""
        tips = {}
        packed = self.path / "packed-refs"
        if packed.exists():
            lines = packed.read_text().splitlines()
            tips = {line[41:]: line[:40] for line in lines if line[0] not in "#^"}
        for directory, _, names in os.walk(self.path / "refs"):
            place = os.path.relpath(directory, self.path)
            for name in (name for name in names if not name.endswith(".lock")):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    oid = Path(directory, name).read_text().strip()
                    tips |= {f"{place}/{name}": oid} if len(oid) == 40 else {}
        return dict(sorted(tips.items()))

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

    def commit(
        self, tree: str, parents: list[str], message: str, *, is_signed: bool = False
    ) -> str:
        named = [part for parent in parents for part in ("-p", parent)]
        commit = self.git("commit-tree", tree, *named, "-m", message)
        if not is_signed:
            return commit
        head, _, text = self.git("cat-file", "commit", commit).partition("\n\n")
        signature = SIGNATURE.replace("\n", "\n ")
        return self.write("commit", f"{head}\ngpgsig {signature}\n\n{text}\n".encode())

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

    def protect(self, branch: str, rule: str = REFUSAL) -> None:
        hook = self.path / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(rule % branch)
        hook.chmod(0o755)
