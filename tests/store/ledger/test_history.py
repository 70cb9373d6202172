"""Each way in which a commit can change what must never change is reported, and no honest one."""

from __future__ import annotations

import pytest

from expci.store.git.git import Git
from expci.store.ledger import history, paths
from support.repositories import Repository

HOME = "experiments/speed"
EVENTS = f"{HOME}/events.jsonl"
PLAN = f"{HOME}/plan/{'a' * 64}/plan.json"
FIRST, SECOND, LARGE = (
    f"{HOME}/trials/{paths.segment(first, digest)}"
    for first, digest in ((1, "a" * 64), (2, "b" * 64), (1, "c" * 64))
)


def violations(repository: Repository, *commits: dict[str, str | None]) -> list[str]:
    """What is said of a ledger that was written by these commits; `None` removes a file."""
    repository.git("checkout", "-q", "--orphan", "ledger")
    repository.git("rm", "-rfq", ".")
    for number, files in enumerate(commits):
        for path, text in files.items():
            if text is None:
                repository.git("rm", "-q", path)
            else:
                repository.write(path, text)
        repository.commit(f"change {number}")
    return list(history.violations(Git(repository.path), "HEAD"))


def test_growth_is_no_violation(repository: Repository) -> None:
    assert not violations(
        repository,
        {EVENTS: "started\n", PLAN: "{}"},
        {FIRST: "one\n"},
        {SECOND: "two\n", EVENTS: "started\npaused\n"},
        {FIRST: None, SECOND: None, LARGE: "one\ntwo\n"},
        {"README.md": "anything\n"},
        {"README.md": "something else\n"},
    )


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({EVENTS: "paused\n"}, f"rewrote {EVENTS}, which only grows"),
        ({EVENTS: None}, f"rewrote {EVENTS}, which only grows"),
        ({PLAN: '{"other": 1}'}, f"changed {PLAN}, which is frozen"),
        ({PLAN: None}, f"changed {PLAN}, which is frozen"),
        ({FIRST: "another\n"}, f"lost or changed records of {HOME}/trials"),
        ({FIRST: None}, f"lost or changed records of {HOME}/trials"),
        ({FIRST: None, SECOND: None, LARGE: "two\none\n"}, f"records of {HOME}/trials"),
        ({f"{HOME}/trials/x.jsonl": "what\n"}, f"records of {HOME}/trials"),
    ],
)
def test_what_must_never_change_is_reported_once(
    repository: Repository, edit: dict[str, str | None], complaint: str
) -> None:
    before: dict[str, str | None] = {
        EVENTS: "started\n",
        PLAN: "{}",
        FIRST: "one\n",
        SECOND: "two\n",
    }
    [violation] = violations(repository, before, edit)
    assert violation.startswith("commit ")
    assert complaint in violation
