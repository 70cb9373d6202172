"""Promotions and reverts as merges: what others changed stays, what was promoted goes."""

from __future__ import annotations

import pytest

from expci.core.model.content import Blob
from expci.store import promotion
from expci.store.git.git import Git
from expci.store.ledger.plans import Plan
from support.ledger_samples import experiment
from support.repositories import Repository

TEXT = "".join(f"line {n}\n" for n in range(30))


@pytest.fixture
def git(repository: Repository) -> Git:
    repository.write("tool.txt", TEXT)
    repository.write("other.txt", "other\n")
    repository.write("experiments/speed/experiment.yml", "version: 1\n")
    repository.commit("Base")
    return Git(repository.path)


def plan(git: Git, new: str, path: str = "tool.txt", mode: str = "100644") -> Plan:
    head = git.require("HEAD")
    [variant] = git.write_blobs([new.encode()])
    return Plan(
        id="ab" * 32,
        experiment=experiment(),
        base=head,
        directory="experiments/speed",
        files={},
        arms={
            "control": git.read_paths(head, [path]),
            "treatment": {path: Blob(mode, variant)},
        },
        shipped={},
    )


def text(git: Git, tree: str, path: str) -> str | None:
    blob = git.read_paths(tree, [path])[path]
    return None if blob is None else git.cat([blob.oid])[blob.oid].decode()


def commit(git: Git, merged: promotion.Merged, parent: str) -> str:
    assert merged.conflicts == ()
    return git.require(git.commit_tree(merged.tree, [parent], "x"))


def test_a_promotion_changes_its_paths_and_removes_the_experiment(git: Git) -> None:
    tip = git.require("HEAD")
    merged = promotion.merge_promotion(
        git, tip, plan(git, TEXT.replace("line 3\n", "three\n")), "treatment"
    )
    after = commit(git, merged, tip)
    assert git.changed_paths(tip, after) == [
        "experiments/speed/experiment.yml",
        "tool.txt",
    ]
    assert "three\n" in (text(git, after, "tool.txt") or "")


def test_a_promotion_follows_a_rename(repository: Repository, git: Git) -> None:
    frozen = plan(git, TEXT.replace("line 3\n", "three\n"))
    repository.git("mv", "tool.txt", "renamed.txt")
    tip = repository.commit("Rename")
    merged = promotion.merge_promotion(git, tip, frozen, "treatment")
    assert merged.conflicts == ()
    assert "three\n" in (text(git, merged.tree, "renamed.txt") or "")
    assert text(git, merged.tree, "tool.txt") is None


def test_a_promotion_may_add_and_make_executable(git: Git) -> None:
    tip = git.require("HEAD")
    merged = promotion.merge_promotion(
        git, tip, plan(git, "run\n", "new/run.sh", "100755"), "treatment"
    )
    blob = git.read_paths(merged.tree, ["new/run.sh"])["new/run.sh"]
    assert blob is not None
    assert blob.mode == "100755"


def test_a_revert_restores_the_parent_exactly(git: Git) -> None:
    tip = git.require("HEAD")
    frozen = plan(git, TEXT.replace("line 3\n", "three\n"))
    merge = commit(git, promotion.merge_promotion(git, tip, frozen, "treatment"), tip)
    assert promotion.merge_revert(git, merge, merge, tip).tree == git.tree_of(tip)
    assert promotion.is_undone(git, tip, merge, tip, ["tool.txt"])
    assert not promotion.is_undone(git, merge, merge, tip, ["tool.txt"])


def test_a_revert_keeps_later_changes_to_the_same_file(repository: Repository, git: Git) -> None:
    tip = git.require("HEAD")
    frozen = plan(git, TEXT.replace("line 3\n", "three\n"))
    merge = commit(git, promotion.merge_promotion(git, tip, frozen, "treatment"), tip)
    repository.git("reset", "-q", "--hard", merge)
    repository.write("tool.txt", (text(git, merge, "tool.txt") or "").replace("line 28", "late"))
    later = repository.commit("Later")
    reverted = promotion.merge_revert(git, later, merge, tip)
    assert reverted.conflicts == ()
    assert text(git, reverted.tree, "tool.txt") == TEXT.replace("line 28", "late")


def test_a_conflict_names_the_path_and_decides_nothing(repository: Repository, git: Git) -> None:
    frozen = plan(git, TEXT.replace("line 3\n", "three\n"))
    repository.write("tool.txt", TEXT.replace("line 3\n", "drei\n"))
    tip = repository.commit("Meanwhile")
    assert promotion.merge_promotion(git, tip, frozen, "treatment").conflicts == ("tool.txt",)
