"""`experiments/expci.yml`: what it sets, and what it is refused for, at its line."""

from __future__ import annotations

import pytest

from expci.core.spec.repository_defaults import Defaults, read_defaults
from support.spec_samples import MINIMAL, read


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\n  \n# and\n\n"])
def test_a_file_that_says_nothing_leaves_all_as_it_is(text: str) -> None:
    assert read_defaults(text) == Defaults()


@pytest.mark.parametrize("commit", ["4f2a9c07d1e85b36a1c4f7e09b2d6853c0a7e914", "12e4" * 16])
def test_a_commit_that_the_ledger_must_hold(commit: str) -> None:
    defaults = read_defaults(f'version: 1\nledger_contains: "{commit}"\n')
    assert (defaults.problems, defaults.ledger_contains) == ((), commit)


def test_what_it_sets() -> None:
    text = (
        "version: 1\nroots: [experiments/, services/größe]\nledger: refs/team/ledger\n"
        "mirror_branch: true\nremote: upstream\ntransport: artifact\n"
    )
    defaults = read_defaults(text)
    assert defaults.problems == ()
    assert defaults.roots == ("experiments", "services/größe")
    assert (defaults.ledger, defaults.mirror_branch) == ("refs/team/ledger", True)
    assert (defaults.remote, defaults.transport) == ("upstream", "artifact")


@pytest.mark.parametrize(
    "ref", ["refs/expci/ledger", "refs/expci/other", "refs/x/y", "refs/heads/expci-ledger"]
)
def test_refs_that_can_be_the_ledgers(ref: str) -> None:
    defaults = read_defaults(f"version: 1\nledger: {ref}\n")
    assert (defaults.problems, defaults.ledger) == ((), ref)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ledger_contains: main", "is no commit's id"),
        (f"ledger_contains: {'a' * 39}", "is no commit's id"),
        ("ledger: ledger", "cannot be the ledger's ref"),
        ("ledger: refs/ledger", "cannot be the ledger's ref"),
        ("ledger: refs/heads/main", "cannot be the ledger's ref"),
        ("ledger: refs/heads/expci-a/b", "cannot be the ledger's ref"),
        ("ledger: refs/tags/ledger", "cannot be the ledger's ref"),
        ("ledger: refs/expci/../heads/main", "cannot be the ledger's ref"),
        ("ledger: refs/expci/inbox/x", "cannot be the ledger's ref"),
        ("ledger: refs/expci/published", "cannot be the ledger's ref"),
        ("remote: --upload-pack=evil", "is not a valid remote name"),
        ("remote: a..b", "is not a valid remote name"),
        ("remote: https://github.com/o/r", "is not a valid remote name"),
        ("roots: []", "is empty or names a directory twice"),
        ("roots: [a, a/]", "is empty or names a directory twice"),
        ("roots: [../outside]", ""),
        ("roots: [/absolute]", ""),
        ("transport: pigeon", ""),
        ("unheard-of: 1", ""),
    ],
)
def test_what_is_refused_sets_nothing(line: str, complaint: str) -> None:
    defaults = read_defaults(f"version: 1\nmirror_branch: true\n{line}\n")
    [problem] = defaults.problems
    assert complaint in problem.message
    assert problem.line == 3
    assert problem.fix
    assert defaults == Defaults(problems=defaults.problems)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nroots: &a [experiments]\nshare: *a\n",
        "version: 1\nroots:\n  - experiments\n  - ! other\n",
    ],
)
def test_what_a_trial_job_cannot_read_is_refused(text: str) -> None:
    """It has no YAML library, and must not read something else than the pass does."""
    assert read_defaults(text).problems


@pytest.mark.parametrize("text", ["", "# only a comment\n\n"])
def test_no_defaults(text: str) -> None:
    assert read_defaults(text) == Defaults()


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("run: ./evil.sh", "run", "unknown key"),
        ("arms: {}", "arms", "unknown key"),
        ("assignment: {weights: {control: 1}}", "assignment.weights", "unknown key"),
        ("ledger: refs/heads/main", "ledger", "cannot be the ledger"),
        ("ledger: refs/expci/../x", "ledger", "cannot be the ledger"),
        ("ledger: refs/expci/inbox", "ledger", "cannot be the ledger"),
        ("roots: [../elsewhere]", "roots[0]", "leaves the repository"),
        ("roots: [.git/x]", "roots[0]", "under .git"),
        ("roots: [a, a/]", "roots", "twice"),
        ("remote: --upload-pack=x", "remote", "not a valid remote name"),
        ("mirror_branch: yes", "mirror_branch", "boolean"),
        ("timeout: 5", "timeout", "no unit"),
    ],
)
def test_bad_defaults_are_problems_of_every_experiment(text: str, path: str, words: str) -> None:
    reading = read(MINIMAL, text)
    [problem] = reading.problems
    assert (problem.file, problem.line, problem.path) == ("experiments/expci.yml", 1, path)
    assert words in problem.message
    assert read_defaults(text).ledger == "refs/expci/ledger"
