"""Work trees of their own for runs that must not see what would tell them the answer.

Each is a repository with a single commit: the arm's content, without what is hidden (the
experiment's own files, the cases) and without history, earlier or later. Before every run it
is put back to what it was after `setup:`, and HOME is a fresh copy of what `setup:` left there.
It is no sandbox: a run that looks for the user's checkout on the disk can find it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from expci.core.model.content import Paths
from expci.core.value_class import dataclass, field
from expci.errors import GitError
from expci.runner.lab import worktree
from expci.store.git.git import AUTHOR, Git
from expci.store.git.scratch import Scratch

_BRANCH = "refs/heads/main"
_CARRIED = r"^(core\.(autocrlf|eol|symlinks|filemode|ignorecase|attributesfile)|filter\.)"
_AUTHOR = ("user.name", "user.email")
_MESSAGE = "The work tree of a run"
# Directories of a user's own files, which a fresh HOME is without.
_HOMES = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")

Hidden = Callable[[str], Iterable[str]]  # the paths to hide at a commit


@dataclass
class Isolation:
    """The isolated work trees of one call, by their directory.

    `commit` is the one that runs start from where a case names none.
    """

    git: Git
    commit: str
    hidden: Hidden
    share: Sequence[str]
    warnings: list[str]
    _built: dict[Path, str] = field(default_factory=dict)
    _sealed: dict[Path, str] = field(default_factory=dict)

    def renew(self, root: Path, content: Paths, commit: str | None) -> bool:
        """Have `root` as a run must find it; whether it was built anew and needs its setup."""
        wanted = commit or self.commit
        if self._built.get(root) == wanted and root in self._sealed:
            try:
                self._reset(root)
            except (GitError, OSError):  # the run damaged its repository
                self._built.pop(root)
        if self._built.get(root) == wanted:
            return False
        self._build(root, content, wanted)
        return True

    def seal(self, root: Path) -> None:
        """Take the work tree as it is now for what every run starts from."""
        if root not in self._sealed:
            own = Git(root)
            own.run("add", "--all")
            options = ("--quiet", "--allow-empty", "--amend", "--no-verify", "-m", _MESSAGE)
            own.run("commit", *options)
            self._sealed[root] = own.require("HEAD")

    def home(self, root: Path, *, is_setup: bool) -> dict[str, str]:
        """The variables of a fresh home directory; what a setup leaves there is copied."""
        base, fresh = root.parent / "home-of-setup", root.parent / "home"
        base.mkdir(exist_ok=True)
        if is_setup:
            return {"HOME": str(base)}
        worktree.remove_tree(fresh)
        shutil.copytree(base, fresh, symlinks=True)
        return {"HOME": str(fresh)}

    @staticmethod
    def without_homes(environment: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if name not in _HOMES}

    def _build(self, root: Path, content: Paths, commit: str) -> None:
        worktree.remove_tree(root)
        worktree.remove_tree(root.parent / "home-of-setup")
        self._sealed.pop(root, None)
        hidden = dict.fromkeys(self.hidden(commit))
        tree = self.git.write_tree(commit, {**hidden, **content})
        own = self._repository(root, self.git.commit_tree(tree, [], _MESSAGE))
        own.run("symbolic-ref", "HEAD", _BRANCH)
        self.warnings += worktree.share(self.git, [root], self.share)
        self._built[root] = commit

    def _repository(self, root: Path, commit: str) -> Git:
        """A new repository at `root` with that commit checked out, its objects and no others."""
        root.mkdir(parents=True)
        own, shape = Git(root), f"--object-format={self.git.object_format}"
        own.run("init", "--quiet", "--template=", shape, "--initial-branch=main")
        self._carry_settings(own)
        self._copy_objects(root / ".git" / "objects" / "pack", commit)
        own.run("reset", "--hard", "--quiet", commit)
        return own

    def _copy_objects(self, packs: Path, commit: str) -> None:
        """Pack what `commit` holds, in the clone: git renames the pack within one file system."""
        near = Scratch.of(self.git.private_dir).directory
        with tempfile.TemporaryDirectory(prefix="expci-pack-", dir=near) as directory:
            self.git.run(
                *("pack-objects", "--revs", "--quiet", f"{directory}/pack"),
                stdin=f"{commit}\n".encode(),
                env=self.git.promisor,
            )
            packs.mkdir(parents=True, exist_ok=True)
            for file in Path(directory).iterdir():
                shutil.move(file, packs / file.name)

    def _carry_settings(self, own: Git) -> None:
        """How this clone checks files out: line ends, links, filters; and an author for commits."""
        output = self.git.attempt("config", "--null", "--get-regexp", _CARRIED).stdout
        rows = [row.partition("\n") for row in output.decode(errors="replace").split("\0") if row]
        settings = [(key, value) for key, _, value in rows]
        settings += zip(_AUTHOR, AUTHOR, strict=True)
        settings.append(("lfs.storage", str(self.git.common_dir / "lfs")))
        for key, value in settings:
            own.run("config", "--local", key, value)

    def _reset(self, root: Path) -> None:
        own = Git(root)
        own.run("symbolic-ref", "HEAD", _BRANCH)
        own.run("reset", "--hard", "--quiet", self._sealed[root])
        own.run("clean", "-ffdq")
        own.update_refs(f"delete {ref}" for ref in own.refs() if ref != _BRANCH)
