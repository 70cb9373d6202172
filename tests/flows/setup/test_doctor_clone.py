"""What doctor says of the clone that it runs in."""

from __future__ import annotations

from expci.flows.setup.doctor import doctor
from expci.flows.setup.finding import Finding
from support.repositories import Repository
from support.stage import Stage


def hidden(repository: Repository) -> list[Finding]:
    stage = Stage(repository)
    findings = doctor(lambda: stage.context, repository.path)
    return [finding for finding in findings if "skip-worktree" in finding.what]


def test_files_whose_changes_git_overlooks_are_named(repository: Repository) -> None:
    assert hidden(repository) == []
    repository.git("update-index", "--skip-worktree", "work.sh")
    [finding] = hidden(repository)
    assert finding.level == "warning"
    assert "work.sh" in finding.what
    assert finding.fix.startswith("git update-index --no-skip-worktree work.sh")


def test_a_sparse_checkout_has_them_on_purpose(repository: Repository) -> None:
    repository.write("docs/a.md", "a\n")
    repository.commit()
    repository.git("sparse-checkout", "set", "nowhere")
    assert hidden(repository) == []
