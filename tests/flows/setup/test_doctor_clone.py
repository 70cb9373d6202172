"""What doctor says of the clone that it runs in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from expci.flows.setup.doctor import doctor
from expci.flows.setup.finding import Finding, ago
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


def test_an_unreachable_remote_is_no_matter_of_permissions(
    repository: Repository,
) -> None:
    repository.git("remote", "set-url", "origin", "http://127.0.0.1:9/o/r.git")  # nothing listens
    stage = Stage(repository)
    problems = [
        finding
        for finding in doctor(lambda: stage.context, repository.path)
        if finding.level == "problem"
    ]
    assert len(problems) == 1
    assert "trials cannot be pushed" in problems[0].what
    assert "network" in problems[0].fix
    assert "write access" not in problems[0].fix


@pytest.mark.parametrize(
    ("since", "words"),
    [(0, "less than a minute"), (61, "1 minute"), (3600, "1 hour"), (259_200, "3 days")],
)
def test_times_are_as_a_person_says_them(since: int, words: str) -> None:
    assert ago(timedelta(seconds=since)) == words
