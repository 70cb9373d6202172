"""Pull requests on GitHub: races, refusals, forks, lost answers, and what a pass costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.errors import ForgeError, ForgeUnreachable, NotMergeable, PullsForbidden
from expci.forge.github.forge import github_forge
from expci.forge.github.pull_request_list import PullRequestList
from expci.forge.github.session import Access, GitHubSession
from expci.forge.ports import PullRequestState
from support.github_server import Fault
from support.github_server.world import CheckRun
from support.hub_bench import ALL, BOT, HubBench, bench, server, template

__all__ = ["bench", "template"]

HEAD = "expci/promote/speed"


def opened(bench: HubBench) -> list[int]:
    return [i.number for i in bench.hub.issues.values() if i.pull and i.pull.head == HEAD]


# --- finding -----------------------------------------------------------------------------


def test_a_pass_over_many_requests_lists_them_once(bench: HubBench) -> None:
    bench.branch("a")
    for number in range(120):
        bench.repository.git("push", "-q", "origin", f"HEAD:try/{number}") if number < 3 else None
        bench.hub.open_pull("ada", "a", title=f"Request {number}")
    made = [bench.hub.open_pull("ada", f"try/{number}") for number in range(3)]
    forge = bench.forge()
    found = [forge.pull_requests.of_branch(f"try/{number}") for number in range(3)]
    assert [pull and pull.number for pull in found] == [issue.number for issue in made]
    # Two pages of open pull requests, one of those that were closed lately.
    assert bench.calls() == 3


def test_one_closed_long_ago_is_asked_for_by_its_number(bench: HubBench) -> None:
    first = bench.open(HEAD)
    bench.forge().pull_requests.close(first, "Done.")
    bench.hub.issues[first.number].updated = "2026-01-01T00:00:00Z"
    bench.branch("a")
    for _ in range(100):
        later = bench.hub.open_pull("ada", "a")
        later.state = "closed"
    forge = bench.forge()
    assert forge.pull_requests.of_branch(HEAD) is None
    found = forge.pull_requests.numbered(first.number)
    assert found is not None
    assert (found.head, found.state) == (HEAD, PullRequestState.CLOSED)
    assert forge.pull_requests.open(HEAD, "main", "Again", "", draft=False).number > first.number


def test_a_look_at_an_old_request_does_not_hide_the_open_one_of_its_branch(
    bench: HubBench,
) -> None:
    """Anybody may comment on the old one, and have a pass look at it."""
    first = bench.open(HEAD)
    bench.forge().pull_requests.close(first, "Done.")
    bench.hub.issues[first.number].updated = "2026-01-01T00:00:00Z"
    bench.branch("a")
    for _ in range(100):
        bench.hub.open_pull("ada", "a").state = "closed"
    second = bench.open(HEAD)
    forge = bench.forge()
    old = forge.pull_requests.numbered(first.number)
    assert old is not None
    forge.pull_requests.label(old, ("expci:promote",))
    for found in (forge.pull_requests.of_branch(HEAD), forge.pull_requests.numbered(second.number)):
        assert found is not None
        assert (found.number, found.state) == (second.number, PullRequestState.OPEN)


def test_a_forks_branch_of_the_same_name_is_not_ours(bench: HubBench) -> None:
    commit = bench.branch("theirs")
    bench.repository.push(f"{commit}:refs/forks/mallory/copy/{HEAD}")
    bench.hub.open_pull("mallory", HEAD, fork="mallory/copy")
    gone = bench.hub.open_pull("mallory", HEAD, fork="mallory/copy").pull
    assert gone is not None
    gone.head_repository = None
    assert bench.forge().pull_requests.of_branch(HEAD) is None
    assert bench.open().number == 3


def test_the_open_request_goes_before_a_newer_closed_one(bench: HubBench) -> None:
    pull = bench.open()
    other = bench.hub.open_pull("ada", HEAD, base="main")
    other.state = "closed"
    assert bench.again(pull).number == pull.number


def test_a_repository_that_was_renamed_names_its_new_name(bench: HubBench) -> None:
    pull = bench.open()
    access = Access("ada/old", bench.token.secret, bench.hub.api_url, pause=0)
    server().renamed["ada/old"] = bench.hub.name
    with pytest.raises(ForgeError, match=f"set GITHUB_REPOSITORY={bench.hub.name}"):
        github_forge(access).pull_requests.of_branch(pull.head)
    shouted = replace(access, repository=bench.hub.name.upper())
    server().renamed[shouted.repository] = bench.hub.name
    assert github_forge(shouted).pull_requests.of_branch(pull.head) == pull


# --- opening -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.lost_answer("POST", "/pulls$"),
        Fault.failure("POST", "/pulls$", applied=True),
        Fault.silence("POST", "/pulls$", applied=True),
    ],
    ids=["reset", "502", "timeout"],
)
def test_a_lost_answer_makes_no_second_request(bench: HubBench, fault: Fault) -> None:
    bench.hub.faults.add(fault)
    pull = bench.open()
    assert pull.number == bench.again(pull).number
    assert opened(bench) == [pull.number]


def test_a_request_that_was_not_opened_is_opened_by_the_next_pass(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.failure("POST", "/pulls$"))
    with pytest.raises(ForgeUnreachable, match="cannot open a pull request for"):
        bench.open()
    assert opened(bench) == []
    assert bench.open().number == 1
    assert opened(bench) == [1]


def test_somebody_opens_it_at_the_same_moment(bench: HubBench) -> None:
    bench.branch(HEAD)
    race = Fault.meanwhile("POST", "/pulls$", lambda: bench.hub.open_pull("grace", HEAD))
    bench.hub.faults.add(race)
    pull = bench.open()
    assert opened(bench) == [pull.number]
    assert (pull.title, pull.body) == ("Promote", "Faster.")


def test_where_actions_may_not_open_requests_the_page_is_named(bench: HubBench) -> None:
    bench.branch(HEAD)
    forge = bench.forge(bench.hub.token(BOT, ALL, opens_pulls=False))
    with pytest.raises(PullsForbidden) as caught:
        forge.pull_requests.open(HEAD, "main", "Promote", "", draft=False)
    page = f"{bench.hub.page}/compare/main...expci/promote/speed?expand=1"
    assert caught.value.compare == page
    assert page in str(caught.value)


def test_without_drafts_it_is_opened_all_the_same(bench: HubBench) -> None:
    bench.hub.has_drafts = False
    pull = bench.open(draft=True)
    assert not pull.draft
    assert bench.forge().pull_requests.open(HEAD, "main", "Promote", "Faster.", draft=True) == pull


def test_a_branch_without_commits_of_its_own_is_said_so(bench: HubBench) -> None:
    bench.repository.push("origin/main:refs/heads/empty")
    with pytest.raises(ForgeError, match="No commits between main and empty"):
        bench.forge().pull_requests.open("empty", "main", "Nothing", "", draft=False)


def test_what_is_up_to_date_is_not_sent(bench: HubBench) -> None:
    pull = bench.open()
    forge = bench.forge()
    before = bench.calls()
    assert forge.pull_requests.open(HEAD, "main", "Promote", "Faster.", draft=False) == pull
    assert [e.method for e in bench.hub.log[before:]] == ["GET"] * (bench.calls() - before)


# --- closing -----------------------------------------------------------------------------


def test_a_pass_that_died_between_word_and_closing_leaves_one_word(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.faults.add(Fault.failure("PATCH", "/pulls/", times=4))
    with pytest.raises(ForgeUnreachable):
        bench.forge().pull_requests.close(pull, "The end.")
    assert (
        bench.forge().pull_requests.close(bench.again(pull), "The end.").state
        is PullRequestState.CLOSED
    )
    assert len(bench.comments(pull.number)) == 1


def test_closing_one_that_somebody_merged_meanwhile_finds_it_merged(bench: HubBench) -> None:
    pull = bench.open()
    forge = bench.forge()
    merged = bench.forge().pull_requests.merge(pull, "By grace")
    assert forge.pull_requests.close(pull, "The end.") == merged


def test_closing_one_that_is_gone_says_so(bench: HubBench) -> None:
    pull = bench.open()
    del bench.hub.issues[pull.number]
    with pytest.raises(ForgeError, match="404"):
        bench.forge().pull_requests.close(pull, "The end.")


# --- merging -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.lost_answer("PUT", "/merge"),
        Fault.failure("PUT", "/merge", applied=True),
        Fault.failure("PUT", "/merge", times=4),
    ],
    ids=["lost", "502 applied", "502"],
)
def test_a_merge_happens_once(bench: HubBench, fault: Fault) -> None:
    before = bench.main()
    pull = bench.open()
    bench.hub.faults.add(fault)
    try:
        bench.forge().pull_requests.merge(pull, "Promote")
    except ForgeUnreachable:
        bench.forge().pull_requests.merge(bench.again(pull), "Promote")
    line = bench.repository.git("rev-list", "--first-parent", f"{before}..{bench.main()}")
    assert line.split() == [bench.again(pull).merge]


@pytest.mark.parametrize(("allowed", "parents"), [("squash", 1), ("rebase", 1), ("merge", 2)])
def test_the_method_is_one_that_the_repository_allows(
    bench: HubBench, allowed: str, parents: int
) -> None:
    bench.hub.methods = (allowed,)
    pull = bench.open()
    before = bench.calls()
    merged = bench.forge().pull_requests.merge(pull, "Promote")
    assert merged.merge == bench.main()
    # Its mergeability (asked twice), each method up to the one that does it, what came of it.
    assert bench.calls() - before <= 3 + 2 * 3
    assert len(bench.repository.git("log", "-1", "--format=%P", bench.main()).split()) == parents


def test_what_was_pushed_after_the_decision_is_not_merged(bench: HubBench) -> None:
    pull = bench.open()
    bench.branch(HEAD, "rm -rf /\n")
    tip = bench.main()
    with pytest.raises(NotMergeable, match="moved meanwhile"):
        bench.forge().pull_requests.merge(pull, "Promote")
    push = Fault.meanwhile("PUT", "/merge", lambda: bench.branch(HEAD, "sleep 7\n"))
    bench.hub.faults.add(push)
    with pytest.raises(NotMergeable, match="Head branch was modified"):
        bench.forge().pull_requests.merge(bench.again(pull), "Promote")
    assert bench.main() == tip


def test_rules_and_checks_are_respected(bench: HubBench) -> None:
    pull, tip = bench.open(), bench.main()
    check = CheckRun(1, "tests", pull.head_commit, "ci", conclusion="failure")
    bench.hub.checks.append(check)
    with pytest.raises(NotMergeable, match="a check has failed or is still running"):
        bench.forge().pull_requests.merge(pull, "Promote")
    check.conclusion = "success"
    bench.hub.reviews_needed = True
    with pytest.raises(NotMergeable, match="rules still require"):
        bench.forge().pull_requests.merge(pull, "Promote")
    assert bench.main() == tip
    held = bench.hub.issues[pull.number].pull
    assert held is not None
    held.reviews.append(("grace", "APPROVED"))
    assert bench.forge().pull_requests.merge(pull, "Promote").state is PullRequestState.MERGED


def test_a_branch_with_a_merge_queue_gets_it_queued_once(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.rules["main"] = ["merge_queue"]
    for _ in range(2):
        with pytest.raises(NotMergeable, match="waits in the merge queue"):
            bench.forge().pull_requests.merge(pull, "Promote")
    assert bench.hub.merge_queue == [pull.number]


def test_a_draft_is_not_merged(bench: HubBench) -> None:
    with pytest.raises(NotMergeable, match="draft"):
        bench.forge().pull_requests.merge(bench.open(draft=True), "Promote")


# --- labels and reviewers ----------------------------------------------------------------


def test_labels_of_others_stay_and_a_race_for_ours_is_fine(bench: HubBench) -> None:
    pull = bench.open()
    labels = bench.hub.issues[pull.number].labels
    labels += ["bug", "expci:run"]
    bench.hub.faults.add(
        Fault.meanwhile("DELETE", "/labels/", lambda: labels.remove("expci:run")),
        Fault.meanwhile("POST", "/labels", lambda: labels.append("urgent")),
    )
    forge = bench.forge()
    forge.pull_requests.label(bench.again(pull), ("expci:running",))
    assert set(labels) == {"bug", "urgent", "expci:running"}


def test_labels_that_are_right_cost_nothing(bench: HubBench) -> None:
    pull = bench.open()
    bench.forge().pull_requests.label(pull, ("expci:running",))
    forge = bench.forge()
    found = forge.pull_requests.of_branch(HEAD)
    assert found is not None
    before = bench.calls()
    forge.pull_requests.label(found, ("expci:running",))
    assert bench.calls() == before


def test_reviewers_are_asked_once_and_only_those_who_can(bench: HubBench) -> None:
    bench.hub.people |= {"grace": "write", "alan": "read"}
    pull = bench.open()
    issue = bench.hub.issues[pull.number]
    assert issue.pull is not None
    wanted = ("grace", "stranger", BOT)
    assert bench.forge().pull_requests.request_review(pull, wanted)
    assert issue.pull.requested == ["grace"]
    assert not bench.forge().pull_requests.request_review(pull, wanted)
    # Whoever has reviewed is not among the requested any more.
    issue.pull.requested.clear()
    issue.pull.reviews.append(("grace", "COMMENTED"))
    assert not bench.forge().pull_requests.request_review(pull, wanted)
    assert issue.pull.requested == []


def test_a_fork_s_request_is_listed_and_its_commit_can_be_fetched(bench: HubBench) -> None:
    commit = bench.branch("try/speed")
    bench.repository.push(f"{commit}:refs/forks/eve/copy/try/speed")
    issue = bench.hub.open_pull("eve", "try/speed", fork="eve/copy")
    forge = bench.forge()
    [found] = forge.pull_requests.listed()
    assert (found.number, found.fork, found.author) == (issue.number, True, "eve")
    assert forge.pull_requests.of_branch("try/speed") is None, (
        "the branch of that name here is another one"
    )
    bench.repository.git("fetch", "-q", "origin", forge.pull_requests.head_ref(found))
    assert bench.repository.git("rev-parse", "FETCH_HEAD") == commit


def test_who_put_a_label_on_last(bench: HubBench) -> None:
    made = bench.open("try/speed")
    assert bench.forge().pull_requests.labelled_by(made, "expci:run") is None
    bench.hub.label(made.number, "eve", "expci:run")
    bench.forge().pull_requests.label(bench.again(made), ())
    bench.hub.label(made.number, "ada", "expci:run")
    bench.hub.label(made.number, "bob", "another")
    assert bench.forge().pull_requests.labelled_by(made, "expci:run") == "ada"


def test_of_very_many_open_ones_the_newest_are_listed_and_ours_looked_up(bench: HubBench) -> None:
    bench.branch("a")
    bench.repository.git("push", "-q", "origin", f"HEAD:refs/heads/{HEAD}")
    ours = bench.hub.open_pull("ada", HEAD).number
    for _ in range(4):
        bench.hub.open_pull("eve", "a")
    hub = bench.hub
    access = Access(hub.name, bench.token.secret, hub.api_url, hub.server, pause=0)
    few = PullRequestList(GitHubSession(access, bench.limits), most_open=2)
    assert len(few.all()) == 3
    assert few.left_out == "more than 2 are open; the oldest were not listed"
    found = few.of_branch(HEAD)
    assert found is not None
    assert found.number == ours
    assert few.of_branch("expci/promote/other") is None
    whole = PullRequestList(GitHubSession(access, bench.limits))
    assert whole.left_out == ""
    assert len(whole.all()) == 5


def test_a_label_under_a_thousand_later_events(bench: HubBench) -> None:
    bench.branch("a")
    number = bench.hub.open_pull("ada", "a").number
    bench.hub.label(number, "ada", "expci:run")
    bench.hub.issues[number].labelled += [("eve", f"x{n}") for n in range(250)]
    pull = bench.forge().pull_requests.numbered(number)
    assert pull is not None
    assert bench.forge().pull_requests.labelled_by(pull, "expci:run") == "ada"
