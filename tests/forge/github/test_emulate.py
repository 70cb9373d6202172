"""Comments, labels, checks, alerts, branches and permissions on an implementation of GitHub's
API that is not ours: https://github.com/vercel-labs/emulate, version 0.12.2.

Where it answers otherwise than GitHub documents, the test says so. Not here, for emulate has
no route that answers: comments of the whole repository (hidden behind that of one issue),
reactions, and rulesets. It takes any token, and keeps no limit of length or number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import pytest

from expci.errors import NotPermitted
from expci.forge.ports import Annotation, CheckRun, Forge, PullRequest
from support.emulate.bench import BOT, Emulate, EmulateBench, bench, emulate
from support.forge_contract import MARKER, OTHER
from support.ports import alerts_of, checks_of

__all__ = ["bench", "emulate"]

BODY = f"The report.\n\n{MARKER}"
NEWS = f"News.\n\n{MARKER}"
PLAN = CheckRun("expci / plan", "failure", "2 problems", "See the lines.")
LINES = tuple(
    Annotation("experiments/speed/experiment.yml", line, f"problem {line}", "warning")
    for line in range(1, 121)
)
PROTECTION = {
    "required_status_checks": None,
    "enforce_admins": True,
    "required_pull_request_reviews": {"required_approving_review_count": 1},
    "restrictions": None,
}


# --- comments ----------------------------------------------------------------------------


def test_ours_is_found_behind_many_others_and_updated_in_place(bench: EmulateBench) -> None:
    pull = bench.issue()
    for number in range(120):
        bench.comment(pull.number, "grace", f"Comment {number}")
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    ids = bench.comment_ids(pull.number)
    assert not bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.forge().comments.write(pull.number, MARKER, NEWS)
    assert bench.comments(pull.number)[120:] == [(BOT, NEWS)]
    assert bench.comment_ids(pull.number) == ids


def test_a_comment_of_somebody_else_with_our_marker_is_theirs(bench: EmulateBench) -> None:
    pull = bench.issue()
    bench.comment(pull.number, "mallory", f"> quoted\n\n{MARKER}")
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert bench.comments(pull.number) == [("mallory", f"> quoted\n\n{MARKER}"), (BOT, BODY)]


def test_one_comment_for_each_marker(bench: EmulateBench) -> None:
    pull, forge = bench.issue(), bench.forge()
    for marker in (MARKER, OTHER, MARKER, OTHER):
        forge.comments.write(pull.number, marker, f"Text\n\n{marker}")
    assert bench.comments(pull.number) == [(BOT, f"Text\n\n{m}") for m in (MARKER, OTHER)]


def test_one_that_was_deleted_comes_back(bench: EmulateBench) -> None:
    pull, forge = bench.issue(), bench.forge()
    forge.comments.write(pull.number, MARKER, BODY)
    [made] = bench.comment_ids(pull.number)
    bench.call("DELETE", f"issues/comments/{made}")
    assert forge.comments.write(pull.number, MARKER, NEWS)  # which has seen it and does not know
    assert bench.comments(pull.number) == [(BOT, NEWS)]


# --- labels ------------------------------------------------------------------------------


def test_our_labels_are_replaced_and_others_stay(bench: EmulateBench) -> None:
    pull, forge = bench.issue(), bench.forge()
    bench.call("POST", f"issues/{pull.number}/labels", {"labels": ["bug", "expci:run"]})
    pull = bench.again(pull.number)
    forge.pull_requests.label(pull, ("expci:running", "expci:look #2"))
    found = bench.again(pull.number)
    assert sorted(found.labels) == ["bug", "expci:look #2", "expci:running"]
    forge.pull_requests.label(found, ())
    assert bench.again(pull.number).labels == ("bug",)


def test_a_label_that_somebody_took_off_meanwhile(bench: EmulateBench) -> None:
    pull = replace(bench.issue(), labels=("expci:run", "bug"))  # as listed a moment ago
    bench.forge().pull_requests.label(pull, ("expci:running",))
    assert bench.again(pull.number).labels == ("expci:running",)


def test_who_put_a_label_on_last(bench: EmulateBench) -> None:
    pull = bench.issue()
    labels = f"issues/{pull.number}/labels"
    bench.call("POST", labels, {"labels": ["expci:run"]}, "mallory")
    bench.call("DELETE", f"{labels}/expci:run")
    bench.call("POST", labels, {"labels": ["expci:run"]}, "grace")
    bench.call("POST", labels, {"labels": ["bug"]}, "mallory")
    assert bench.forge().pull_requests.labelled_by(pull, "expci:run") == "grace"
    assert bench.forge().pull_requests.labelled_by(pull, "expci:start") is None


# --- check runs --------------------------------------------------------------------------


def test_a_check_is_set_once_and_updated_in_place(bench: EmulateBench) -> None:
    commit = bench.main()
    assert checks_of(bench.forge()).set(commit, PLAN)
    assert not checks_of(bench.forge()).set(commit, PLAN)
    assert checks_of(bench.forge()).set(commit, replace(PLAN, conclusion="success", title="Fine"))
    [run] = bench.checks(commit)
    assert (run["name"], run["head_sha"], run["status"]) == (PLAN.name, commit, "completed")
    assert (run["conclusion"], run["output"]["title"]) == ("success", "Fine")
    assert run["output"]["summary"] == PLAN.summary


def test_annotations_reach_their_lines(bench: EmulateBench) -> None:
    commit = bench.main()
    assert checks_of(bench.forge()).set(commit, replace(PLAN, annotations=LINES[:50]))
    [run] = bench.checks(commit)
    found = bench.annotations(run)
    assert [(a["start_line"], a["end_line"]) for a in found] == [(n, n) for n in range(1, 51)]
    assert {(a["path"], a["annotation_level"]) for a in found} == {(LINES[0].path, "warning")}
    assert found[0]["message"] == "problem 1"


def test_more_annotations_than_one_request_takes(bench: EmulateBench) -> None:
    commit = bench.main()
    check = replace(PLAN, annotations=LINES)
    assert checks_of(bench.forge()).set(commit, check)
    assert not checks_of(bench.forge()).set(commit, check)
    [run] = bench.checks(commit)
    # GitHub adds each request's annotations to those before; emulate keeps the last request's.
    assert [a["start_line"] for a in bench.annotations(run)] == list(range(101, 121))


def test_problems_that_are_solved_leave_no_annotation(bench: EmulateBench) -> None:
    commit = bench.main()
    checks_of(bench.forge()).set(commit, replace(PLAN, annotations=LINES[:2]))
    checks_of(bench.forge()).set(commit, replace(PLAN, conclusion="success"))
    # Two: on GitHub an edit would leave the annotations, though emulate drops them.
    before, after = bench.checks(commit)
    assert (before["conclusion"], len(bench.annotations(before))) == ("failure", 2)
    assert (after["conclusion"], bench.annotations(after)) == ("success", [])
    assert not checks_of(bench.forge()).set(commit, replace(PLAN, conclusion="success"))


def test_another_programs_check_of_the_same_name_is_left_alone(bench: EmulateBench) -> None:
    commit = bench.main()
    # GitHub lets Apps alone set checks; emulate anybody, and it tells nobody's.
    theirs = {"name": PLAN.name, "head_sha": commit, "status": "in_progress", "external_id": "7"}
    bench.call("POST", "check-runs", theirs)
    assert checks_of(bench.forge()).set(commit, PLAN)
    found = [(run["external_id"][:6], run["status"]) for run in bench.checks(commit)]
    assert found == [("7", "in_progress"), ("expci:", "completed")]


# --- alerts ------------------------------------------------------------------------------


def test_an_alert_is_opened_updated_closed_and_reopened(bench: EmulateBench) -> None:
    assert alerts_of(bench.forge()).open(MARKER, "speed: look at it", BODY)
    assert not alerts_of(bench.forge()).open(MARKER, "speed: look at it", BODY)
    assert alerts_of(bench.forge()).open(MARKER, "speed: look at it", NEWS)
    [issue] = bench.call("GET", "issues?state=all")
    assert (issue["title"], issue["body"], issue["user"]["login"]) == (
        "speed: look at it",
        NEWS,
        BOT,
    )
    assert alerts_of(bench.forge()).close(MARKER, "The ratio is back.")
    assert not alerts_of(bench.forge()).close(MARKER, "The ratio is back.")
    closed = bench.call("GET", f"issues/{issue['number']}")
    assert (closed["state"], closed["state_reason"]) == ("closed", "completed")
    [(author, word)] = bench.comments(issue["number"])
    assert (author, word.splitlines()[0]) == (BOT, "The ratio is back.")
    assert alerts_of(bench.forge()).open(MARKER, "speed: again", BODY)
    [again] = bench.call("GET", "issues?state=all")
    assert (again["state"], again["title"]) == ("open", "speed: again")


def test_an_alert_without_its_label_is_still_found(bench: EmulateBench) -> None:
    bench.call("POST", "issues", {"title": "Theirs", "body": BODY}, "mallory")
    assert alerts_of(bench.forge()).open(MARKER, "speed: look at it", BODY)
    bench.call("DELETE", "issues/2/labels/expci:alert")
    assert alerts_of(bench.forge()).open(MARKER, "speed: look at it", NEWS)
    bodies = {issue["number"]: issue["body"] for issue in bench.call("GET", "issues")}
    assert bodies == {1: BODY, 2: NEWS}


# --- branches ----------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["main", "release/#1"])
def test_the_older_kind_of_rules(bench: EmulateBench, branch: str) -> None:
    # emulate has no rulesets: start.mjs answers for it that there are none.
    ref = {"ref": "refs/heads/release/#1", "sha": bench.main()}
    bench.call("POST", "git/refs", ref)
    assert bench.forge().pull_requests.branch_rules(branch) == ()
    bench.call("PUT", f"branches/{quote(branch, safe='')}/protection", PROTECTION)
    assert bench.forge().pull_requests.branch_rules(branch) == ("branch_protection",)


def test_a_branch_that_is_not_there_has_no_rules(bench: EmulateBench) -> None:
    assert bench.forge().pull_requests.branch_rules("release/2.0") == ()


# --- permissions -------------------------------------------------------------------------

# GitHub documents `permission` as admin, write, read or none, "where the maintain role is mapped
# to write and the triage role is mapped to read"; emulate answers with the role's older name.
# https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
other_name = pytest.mark.xfail(reason="emulate answers push and maintain, GitHub write")


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("admin", True),
        pytest.param("maintain", True, marks=other_name),
        pytest.param("push", True, marks=other_name),
        ("triage", False),
        ("pull", False),
    ],
)
def test_writing_is_asked_from_the_api(bench: EmulateBench, role: str, may: bool) -> None:
    bench.call("PUT", "collaborators/grace", {"permission": role})
    assert bench.forge().comments.can_write("grace") is may


def test_the_owner_may_write_and_strangers_may_not(bench: EmulateBench) -> None:
    forge = bench.forge()
    may = {
        name: forge.comments.can_write(name) for name in ("ada", "mallory", "nobody", "../../orgs")
    }
    assert may == {"ada": True, "mallory": False, "nobody": False, "../../orgs": False}


def _comment(forge: Forge, pull: PullRequest) -> None:
    forge.comments.write(pull.number, MARKER, BODY)


def _label(forge: Forge, pull: PullRequest) -> None:
    forge.pull_requests.label(pull, ("expci:running",))


def _check(forge: Forge, pull: PullRequest) -> None:
    checks_of(forge).set(pull.head_commit, PLAN)


def _alert(forge: Forge, pull: PullRequest) -> None:
    alerts_of(forge).open(MARKER, "speed: look at it", BODY)


def _rules(forge: Forge, pull: PullRequest) -> None:
    forge.pull_requests.branch_rules("main")


@pytest.mark.parametrize(
    ("act", "without", "read", "line"),
    [
        (_comment, "", "pull_requests issues", "pull-requests: write"),
        (_comment, "pull_requests issues", "", "pull-requests: read"),
        (_label, "", "pull_requests issues", "pull-requests: write"),
        (_check, "", "checks", "checks: write"),
        (_check, "checks", "", "checks: write"),
        (_alert, "", "issues", "issues: write"),
        (_rules, "contents", "", "contents: read"),
    ],
)
def test_a_missing_permission_is_named(
    emulate: Emulate, act: Callable[[Forge, PullRequest], None], without: str, read: str, line: str
) -> None:
    bench = EmulateBench.of(emulate, private=True)
    pull = replace(bench.issue(), head_commit=bench.main())
    # GitHub's words are "Resource not accessible by integration"; emulate's just "Forbidden".
    with pytest.raises(NotPermitted, match="403 Forbidden") as caught:
        act(bench.forge(without, read=read), pull)
    assert f"permissions:\n    {line}\n" in str(caught.value)
    act(bench.forge(), pull)  # with all of them it may
