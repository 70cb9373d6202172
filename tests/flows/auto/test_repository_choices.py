"""What a repository chooses in `experiments/expci.yml`: where the ledger is, what may arrive."""

from __future__ import annotations

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.spec.repository_defaults import read_defaults
from support.repositories import Repository, git
from support.stage import Stage


def choosing(repository: Repository, text: str) -> Stage:
    repository.write("experiments/expci.yml", f"version: 1\n{text}\n")
    repository.commit("Choose")
    repository.push("HEAD:main")
    repository.git("fetch", "-q", "origin")
    return Stage(repository)


def test_the_ledger_can_be_a_branch_that_a_ruleset_protects(repository: Repository) -> None:
    stage = choosing(repository, "ledger: refs/heads/expci-ledger")
    stage.begin()
    stage.pairs(14, 0.5)
    stage.auto()
    refs = git(repository.origin, "for-each-ref", "--format=%(refname)").split()
    assert "refs/heads/expci-ledger" in refs
    assert "refs/expci/ledger" not in refs
    assert stage.life().state is State.PROMOTING
    assert stage.auto().events == []


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/heads/expci/promote/x", "refs/tags/expci-l"]
)
def test_the_ledger_takes_nobody_s_branch(ref: str) -> None:
    [problem] = read_defaults(f"version: 1\nledger: {ref}\n").problems
    assert "cannot be the ledger" in str(problem)


def test_a_repository_can_count_artifacts_only(repository: Repository) -> None:
    stage = choosing(repository, "transport: artifact")
    stage.begin()
    stage.pairs(14, 0.5)
    done = stage.auto()
    assert done.folded == {}
    assert stage.context.store.snapshot().ledger.trials("speed") == []
    [(_, what)] = [action for action in done.actions if "pushed batches" in action[1]]
    assert what.startswith("pushed batches: 1; none counts")
    assert len(stage.context.store.snapshot().inbox) == 1, "nothing of anybody's is deleted"
    assert stage.life().state is State.RUNNING
