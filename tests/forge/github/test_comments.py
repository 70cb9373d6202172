"""Comments on GitHub: found among many, written once whatever happens on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from expci.errors import ForgeError, ForgeUnreachable, NotPermitted
from expci.forge.github.comments import GitHubComments
from expci.forge.github.session import Access, GitHubSession
from support.forge_contract import MARKER, OTHER
from support.github_server import Fault
from support.hub_bench import BOT, HubBench, bench, template
from support.ports import alerts_of

__all__ = ["bench", "template"]

BODY = f"The report.\n\n{MARKER}"
MADE = "POST", "/comments"
# GitHub did it, and we do not know; then GitHub did not do it, and we do not know either.
APPLIED = [
    Fault.lost_answer(*MADE),
    Fault.failure(*MADE, status=502, applied=True),
    Fault.failure(*MADE, status=504, applied=True),
    Fault.silence(*MADE, applied=True),
]
NOT_APPLIED = [
    Fault.reset(*MADE),
    Fault.failure(*MADE, status=500),
    Fault.failure(*MADE, status=503),
    Fault.silence(*MADE),
]


def test_ours_is_found_behind_many_others(bench: HubBench) -> None:
    pull = bench.open()
    for number in range(120):
        bench.hub.comment(pull.number, "grace", f"Remark {number}")
    bench.hub.comment(pull.number, BOT, BODY)
    assert bench.forge().comments.write(pull.number, MARKER, f"News.\n\n{MARKER}")
    assert bench.comments(pull.number)[-1] == f"News.\n\n{MARKER}"
    assert len(bench.comments(pull.number)) == 121
    assert bench.calls("GET", "/comments") == 2


def test_a_comment_of_somebody_else_with_our_marker_is_theirs(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.comment(pull.number, "mallory", f"> quoted\n\n{MARKER}")
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [f"> quoted\n\n{MARKER}", BODY]


def test_what_is_there_is_not_sent_again(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.comment(pull.number, BOT, BODY.replace("\n", "\r\n"))  # as GitHub's forms store it
    assert not bench.forge().comments.write(pull.number, MARKER, BODY + "\n")
    assert bench.calls("POST", "/comments") == bench.calls("PATCH") == 0


def test_of_two_passes_at_once_the_first_ones_comment_stays(bench: HubBench) -> None:
    pull, first, second = bench.open(), bench.forge(), bench.forge()
    for forge in (first, second):
        forge.comments.write(
            pull.number, OTHER, f"Something else.\n\n{OTHER}"
        )  # both know all comments now
    assert first.comments.write(pull.number, MARKER, BODY)
    assert second.comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [f"Something else.\n\n{OTHER}", BODY]
    assert second.comments.write(pull.number, MARKER, f"News.\n\n{MARKER}")
    assert bench.comments(pull.number)[1:] == [f"News.\n\n{MARKER}"]


def test_a_comment_that_github_denied_for_a_moment_is_updated_and_not_made_anew(
    bench: HubBench,
) -> None:
    pull = bench.open()
    bench.forge().comments.write(pull.number, MARKER, BODY)
    bench.hub.faults.add(Fault.refusal("PATCH", "/comments/", 404, "Not Found"))
    assert bench.forge().comments.write(pull.number, MARKER, f"News.\n\n{MARKER}")
    assert bench.comments(pull.number) == [f"News.\n\n{MARKER}"]


def test_of_two_passes_at_once_one_alert_stays_open(bench: HubBench) -> None:
    title, hub = "Something is wrong", bench.hub
    other = partial(hub.open_issue, BOT, title, BODY, ("expci:alert",))
    hub.faults.add(Fault.meanwhile("POST", "/issues$", other))
    forge = bench.forge()
    assert alerts_of(forge).open(MARKER, title, BODY)
    assert [issue.state for issue in hub.issues.values()] == ["open", "closed"]
    assert not alerts_of(forge).open(MARKER, title, BODY)
    assert not alerts_of(bench.forge()).open(MARKER, title, BODY)


def test_several_comments_on_one_request_cost_one_listing_and_a_look_after_each_new_one(
    bench: HubBench,
) -> None:
    pull, forge = bench.open(), bench.forge()
    for marker in (MARKER, OTHER, MARKER, OTHER):
        forge.comments.write(pull.number, marker, f"Text\n\n{marker}")
    assert (bench.calls("GET", "/comments"), bench.calls("POST", "/comments")) == (3, 2)


@pytest.mark.parametrize("fault", APPLIED, ids=lambda fault: f"{fault.how}-{fault.status}")
def test_a_lost_answer_makes_no_second_comment(bench: HubBench, fault: Fault) -> None:
    pull = bench.open()
    bench.hub.faults.add(fault)
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert not bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [BODY]


@pytest.mark.parametrize("fault", NOT_APPLIED, ids=lambda fault: f"{fault.how}-{fault.status}")
def test_what_was_not_done_is_said_and_done_by_the_next_pass(bench: HubBench, fault: Fault) -> None:
    pull = bench.open()
    bench.hub.faults.add(fault)
    with pytest.raises(ForgeUnreachable, match=rf"cannot comment on #{pull.number}:"):
        bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.calls("POST", "/comments") == 1
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [BODY]


def test_the_listing_fails_after_a_lost_answer_too(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.faults.add(
        Fault.lost_answer(*MADE), Fault.failure("GET", "/comments", times=4, skip=1)
    )
    with pytest.raises(ForgeUnreachable):
        bench.forge().comments.write(pull.number, MARKER, BODY)
    assert not bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [BODY]


def test_one_that_is_deleted_while_we_edit_comes_back(bench: HubBench) -> None:
    pull = bench.open()
    old = bench.hub.comment(pull.number, BOT, BODY)
    delete = Fault.meanwhile("PATCH", "/comments/", lambda: bench.hub.comments(1).remove(old))
    bench.hub.faults.add(delete)
    assert bench.forge().comments.write(pull.number, MARKER, f"News.\n\n{MARKER}")
    assert bench.comments(pull.number) == [f"News.\n\n{MARKER}"]


def test_an_edit_whose_answer_is_lost_is_repeated(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.comment(pull.number, BOT, "Old.\n\n" + MARKER)
    bench.hub.faults.add(Fault.lost_answer("PATCH", "/comments/"), Fault.failure("PATCH"))
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [BODY]
    assert bench.calls("PATCH") == 3


def test_githubs_reasons_are_passed_on(bench: HubBench) -> None:
    pull = bench.open()
    with pytest.raises(ForgeError, match="maximum is 65536 characters"):
        bench.forge().comments.write(pull.number, MARKER, "x" * 65_537)
    bench.hub.issues[pull.number].locked = True
    with pytest.raises(NotPermitted, match="issue is locked"):
        bench.forge().comments.write(pull.number, MARKER, BODY)


def test_a_request_that_is_gone_is_said_to_be_gone(bench: HubBench) -> None:
    pull = bench.open()
    del bench.hub.issues[pull.number]
    with pytest.raises(ForgeError, match="it is gone, or the token may not see"):
        bench.forge().comments.write(pull.number, MARKER, BODY)


def test_remarks_since_a_moment_and_reactions_to_them(bench: HubBench) -> None:
    pull = bench.open()
    old = bench.hub.comment(pull.number, "grace", "Old")
    old.created = old.updated = "2026-01-01T00:00:00Z"
    command = bench.hub.comment(pull.number, "grace", "/expci status")
    forge = bench.forge()
    [remark] = forge.comments.since(datetime.now(UTC) - timedelta(hours=1))
    assert (remark.number, remark.author, remark.body) == (pull.number, "grace", "/expci status")
    forge.comments.react(remark.id, "eyes")
    forge.comments.react(remark.id, "eyes")
    assert command.reactions == [(BOT, "eyes")]


def session_of(bench: HubBench) -> GitHubSession:
    hub = bench.hub
    access = Access(hub.name, bench.token.secret, hub.api_url, hub.server, pause=0)
    return GitHubSession(access, bench.limits)


def test_a_crowd_in_between_neither_hides_ours_nor_is_read(bench: HubBench) -> None:
    number = bench.hub.open_issue("ada", "Talk", "").number
    GitHubComments(session_of(bench)).write(number, "<!-- first -->", "ours\n<!-- first -->")
    for n in range(400):
        bench.hub.comment(number, "eve", f"noise {n}")
    GitHubComments(session_of(bench)).write(number, "<!-- last -->", "ours\n<!-- last -->")
    mark = len(bench.hub.log)
    comments = GitHubComments(session_of(bench), most=100)
    for marker in ("<!-- first -->", "<!-- last -->"):
        assert comments.write(number, marker, f"newer\n{marker}")
    pages = [e for e in bench.hub.log[mark:] if e.path.endswith(f"{number}/comments")]
    assert 0 < len(pages) <= 4, "not all five: the first page, and those from the end"
    bodies = [c.body for c in bench.hub.comments(number) if c.author != "eve"]
    assert bodies == ["newer\n<!-- first -->", "newer\n<!-- last -->"], "none twice"
