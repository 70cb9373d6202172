"""Check runs and alert issues: one of each, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.errors import ForgeError, ForgeUnreachable
from expci.forge.ports import Annotation, CheckRun
from support.forge_contract import MARKER, OTHER
from support.github_server import Fault
from support.github_server.world import CheckRun as RecordedCheckRun
from support.hub_bench import BOT, HubBench, bench, template
from support.ports import alerts_of, checks_of

__all__ = ["bench", "template"]

PLAN = CheckRun("expci / plan", "failure", "2 problems", "See the lines.")
LINES = tuple(
    Annotation("experiments/speed/experiment.yml", line, f"problem {line}")
    for line in range(1, 121)
)
BODY = f"The sample ratio is off.\n\n{MARKER}"


# --- check runs --------------------------------------------------------------------------


def test_a_check_is_set_once_and_updated_in_place(bench: HubBench) -> None:
    commit = bench.main()
    assert checks_of(bench.forge()).set(commit, PLAN)
    assert not checks_of(bench.forge()).set(commit, PLAN)
    assert checks_of(bench.forge()).set(commit, replace(PLAN, conclusion="success", title="Fine"))
    [run] = bench.hub.checks
    assert (run.commit, run.name, run.status) == (commit, "expci / plan", "completed")
    assert (run.conclusion, run.output["title"]) == ("success", "Fine")
    assert (bench.calls("POST"), bench.calls("PATCH")) == (1, 1)


def test_annotations_go_fifty_at_a_time(bench: HubBench) -> None:
    commit = bench.main()
    check = replace(PLAN, annotations=LINES)
    assert checks_of(bench.forge()).set(commit, check)
    [run] = bench.hub.checks
    assert [a["start_line"] for a in run.annotations] == list(range(1, 121))
    assert {a["annotation_level"] for a in run.annotations} == {"failure"}
    assert not checks_of(bench.forge()).set(commit, check)


def test_problems_that_are_solved_leave_no_annotation(bench: HubBench) -> None:
    commit = bench.main()
    checks_of(bench.forge()).set(commit, replace(PLAN, annotations=LINES[:2]))
    checks_of(bench.forge()).set(commit, replace(PLAN, conclusion="success"))
    assert (bench.hub.checks[-1].conclusion, bench.hub.checks[-1].annotations) == ("success", [])


def test_a_check_cut_off_between_annotations_is_done_again(bench: HubBench) -> None:
    commit = bench.main()
    check = replace(PLAN, annotations=LINES)
    bench.hub.faults.add(Fault.failure("PATCH", "/check-runs/", times=4))
    with pytest.raises(ForgeUnreachable):
        checks_of(bench.forge()).set(commit, check)
    assert checks_of(bench.forge()).set(commit, check)
    assert len(bench.hub.checks[-1].annotations) == 120


def test_a_lost_answer_makes_no_second_check(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.lost_answer("POST", "/check-runs"))
    assert checks_of(bench.forge()).set(bench.main(), PLAN)
    assert len(bench.hub.checks) == 1


def test_another_programs_check_of_the_same_name_is_left_alone(bench: HubBench) -> None:
    bench.hub.checks.append(
        RecordedCheckRun(1, PLAN.name, bench.main(), "other-ci", conclusion="success")
    )
    assert checks_of(bench.forge()).set(bench.main(), PLAN)
    assert [run.app for run in bench.hub.checks] == ["other-ci", BOT]


# --- alerts ------------------------------------------------------------------------------


def test_an_alert_is_opened_updated_closed_and_reopened(bench: HubBench) -> None:
    assert alerts_of(bench.forge()).open(MARKER, "speed: look at it", BODY)
    assert not alerts_of(bench.forge()).open(MARKER, "speed: look at it", BODY)
    assert alerts_of(bench.forge()).open(OTHER, "speed-2: look at it", f"Else\n\n{OTHER}")
    assert alerts_of(bench.forge()).open(MARKER, "speed: still", BODY)
    issue = bench.hub.issues[1]
    assert (issue.title, issue.state, issue.labels) == ("speed: still", "open", ["expci:alert"])
    assert alerts_of(bench.forge()).close(MARKER, "The ratio is back.")
    assert not alerts_of(bench.forge()).close(MARKER, "The ratio is back.")
    assert (issue.state, issue.state_reason) == ("closed", "completed")
    [word] = bench.comments(1)
    assert word.startswith("The ratio is back.")
    assert alerts_of(bench.forge()).open(MARKER, "speed: again", BODY)
    assert (issue.state, len(bench.hub.issues)) == ("open", 2)


def test_all_alerts_of_a_pass_cost_one_listing(bench: HubBench) -> None:
    for marker in (MARKER, OTHER):
        alerts_of(bench.forge()).open(marker, "Title", f"Text\n\n{marker}")
    forge, before = bench.forge(), bench.calls("GET")
    assert not alerts_of(forge).open(MARKER, "Title", f"Text\n\n{MARKER}")
    assert not alerts_of(forge).open(OTHER, "Title", f"Text\n\n{OTHER}")
    assert not alerts_of(forge).close("<!-- expci:alert:none -->", "Fine.")
    assert bench.calls("GET") - before == 1


def test_an_alert_whose_label_was_taken_off_is_still_the_one(bench: HubBench) -> None:
    alerts_of(bench.forge()).open(MARKER, "Title", BODY)
    bench.hub.issues[1].labels.clear()
    assert alerts_of(bench.forge()).open(MARKER, "News", BODY)
    assert [issue.title for issue in bench.hub.issues.values()] == ["News"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.lost_answer("POST", "/issues$"),
        Fault.failure("POST", "/issues$", applied=True),
        Fault.failure("POST", "/issues$"),
    ],
    ids=["lost", "502 applied", "502"],
)
def test_an_alert_is_opened_once(bench: HubBench, fault: Fault) -> None:
    bench.hub.faults.add(fault)
    try:
        alerts_of(bench.forge()).open(MARKER, "Title", BODY)
    except ForgeUnreachable:
        assert alerts_of(bench.forge()).open(MARKER, "Title", BODY)
    assert len(bench.hub.issues) == 1


def test_other_peoples_issues_and_our_requests_are_no_alerts(bench: HubBench) -> None:
    bench.hub.open_issue("mallory", "Mine", BODY, ("expci:alert",))
    bench.branch("try/speed")
    bench.hub.open_pull(BOT, "try/speed", body=BODY).labels.append("expci:alert")
    assert alerts_of(bench.forge()).open(MARKER, "Title", BODY)
    assert [issue.title for issue in bench.hub.issues.values()] == ["Mine", "A change", "Title"]


def test_a_repository_without_issues_says_what_to_turn_on(bench: HubBench) -> None:
    bench.hub.has_issues = False
    with pytest.raises(ForgeError, match="Settings, General, Features"):
        alerts_of(bench.forge()).open(MARKER, "Title", BODY)
