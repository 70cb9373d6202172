"""Repositories of other shapes than the usual: SHA-256 objects, sparse and partial clones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from support.repositories import Repository, git, project
from support.specimen import FAST
from support.stage import Stage


@pytest.fixture
def sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    stage = Stage(project(tmp_path))
    monkeypatch.delenv("GIT_DEFAULT_HASH")
    stage.begin()
    stage.pairs(14, 0.5)
    return stage


def cloned(stage: Stage, directory: Path, *options: str, sparse: bool = False) -> Stage:
    """The same experiment in another clone; a sparse one's checkout is without `work.sh`."""
    origin = stage.repository.origin
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(origin, "config", key, "true")
    git(origin.parent, "clone", "-q", "--no-checkout", *options, origin.as_uri(), str(directory))
    if sparse:
        git(directory, "sparse-checkout", "set", "--no-cone", "/README.md")
    git(directory, "checkout", "-q", "main")
    return replace(stage, repository=Repository(directory, origin))


def promoted_and_reverted(stage: Stage) -> None:
    """The change reaches main and leaves it; ledger and checkout are in order."""
    before = stage.repository.git("ls-files", "-v"), stage.repository.git("rev-parse", "HEAD")
    stage.auto()
    assert stage.life().state is State.PROMOTING
    promote(stage.context, "speed", merge=True)
    assert stage.life().state is State.WATCHING
    assert stage.repository.origin_file("work.sh") == FAST.strip()
    rollback(stage.context, "speed", reason="slow", force=True)
    assert stage.life().state is State.ROLLED_BACK
    assert stage.repository.origin_file("work.sh") == "sleep 0.01"
    assert fsck(stage.context).problems == []
    assert stage.repository.git("status", "--porcelain") == ""
    after = stage.repository.git("ls-files", "-v"), stage.repository.git("rev-parse", "HEAD")
    assert after == before


def test_sha256_from_the_start_to_the_revert(sha256: Stage) -> None:
    assert len(sha256.repository.git("rev-parse", "HEAD")) == 64
    promoted_and_reverted(sha256)


def test_sha256_in_a_sparse_clone_without_files(sha256: Stage, tmp_path: Path) -> None:
    promoted_and_reverted(cloned(sha256, tmp_path / "job", "--filter=blob:none", sparse=True))


@pytest.mark.parametrize("options", [(), ("--filter=blob:none",), ("--filter=tree:0",)])
def test_a_sparse_checkout_of_any_clone(
    winning: Stage, tmp_path: Path, options: tuple[str, ...]
) -> None:
    job = cloned(winning, tmp_path / "job", *options, sparse=True)
    assert not (job.repository.path / "work.sh").exists()
    promoted_and_reverted(job)
