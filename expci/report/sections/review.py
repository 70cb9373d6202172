"""Who stands behind a pull request of expci's, and what holds it: for whoever reviews it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from expci.core.model import events
from expci.core.model.events import Started
from expci.report.text import escape
from expci.report.text.phrases import Phrase, PullRequestNumber, Words, joined, phrase

MOST_ACTORS = 5
WORKFLOW_BOT = "github-actions[bot]"

# What a branch's rules ask for, in the forge's own words, and what follows for expci.
# https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/available-rules-for-rulesets
RULES: Mapping[str, str] = {
    "pull_request": "a review, or at least a pull request: nothing is pushed past it",
    "required_status_checks": "checks that pass",
    "required_signatures": (
        "signed commits: GitHub signed none for this token, so sign the branch's commit with a "
        "key of your own before you merge it"
    ),
    "merge_queue": "the merge queue: expci puts it there, and the queue merges it",
    "workflows": "workflows of the organization that pass",
    "commit_author_email_pattern": "a pattern for authors' addresses: allow expci's",
    "committer_email_pattern": "a pattern for committers' addresses: allow expci's",
    "commit_message_pattern": "a pattern for commit messages: squash it with a message that fits",
    "branch_name_pattern": "a pattern for branch names: allow expci/promote/* and expci/revert/*",
    "required_deployments": "deployments that succeed first",
    "code_scanning": "results of code scanning",
    "branch_protection": "what the branch's protection asks for (Settings, Branches)",
    "required_linear_history": "a linear history: it is squashed or rebased",
    "update": "an actor on the rule's bypass list",
}


def people(
    started: Started | None, opened: events.PromoteOpened | None, actors: Mapping[str, int]
) -> tuple[Phrase, ...]:
    """Who proposed it, who started it, whose jobs ran the trials; `actors` by number of trials."""
    lines: list[Phrase] = []
    author = opened.author if opened else ""
    if started is not None:
        by_whom: Words = escape.clean(author) or "whoever wrote the experiment's files"
        number = started.pull
        where: Words = phrase(" in {}", PullRequestNumber(number)) if number else ""
        lines.append(phrase("proposed by {}{}", by_whom, where))
        lines.append(phrase("started by {}", escape.clean(started.by)))
    if actors:
        most = sorted(actors.items(), key=lambda item: (-item[1], item[0]))
        largest = [f"{escape.clean(name)} {count:,}" for name, count in most[:MOST_ACTORS]]
        more = [f"{len(most) - MOST_ACTORS} others"] if len(most) > MOST_ACTORS else []
        lines.append(phrase("trials by {}", ", ".join([*largest, *more])))
    if opened is not None and opened.opened_by:
        whom = escape.clean(author) or "the author of the change"
        words = "let somebody else than {} review it: {} opened this, so GitHub lets {} approve it"
        lines.append(phrase(words, whom, escape.clean(opened.opened_by), whom))
    return tuple(lines)


def obstacles(opened_by: str, rules: Sequence[str]) -> tuple[Phrase, ...]:
    """What keeps a pull request from being merged, or its checks from running."""
    lines = [phrase("the branch asks for {}", RULES[rule]) for rule in rules if rule in RULES]
    other = [rule for rule in rules if rule not in RULES and rule not in HARMLESS]
    if other:
        lines.append(phrase("the branch has further rules: {}", escape.clean(", ".join(other))))
    if opened_by == WORKFLOW_BOT:
        words = (
            "a workflow's own token opened this, so its checks wait: press “Approve workflows to "
            "run”, or close this pull request and open it again"
        )
        lines.append(joined([words]))
    return tuple(lines)


HARMLESS = ("creation", "deletion", "non_fast_forward")


def rules_in_words(rules: Sequence[str]) -> str:
    """The rules that will hold a pull request, for `expci doctor`."""
    named = [f"{rule} ({RULES[rule].split(':')[0]})" for rule in rules if rule in RULES]
    other = [rule for rule in rules if rule not in RULES and rule not in HARMLESS]
    return "; ".join([*named, *other])
