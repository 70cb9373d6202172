"""Rules for the YAML of workflows that no run shows: act applies neither permissions, nor
concurrency, nor filters. Held over this repository's workflows and what `init` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from expci.flows.setup.workflows import NAMES, SITE, render

ROOT = Path(__file__).parents[2]
PIN = "0123456789abcdef0123456789abcdef01234567"
OWN = {path.stem: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
WRITTEN = {f"{name} of init": render(name, PIN, ["experiments"], ["ci"]) for name in (*NAMES, SITE)}
ALL = OWN | WRITTEN

Yaml = dict[str, Any]


def parsed(text: str) -> Yaml:
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}


def jobs(text: str) -> dict[str, Yaml]:
    return parsed(text)["jobs"]  # type: ignore[no-any-return]


def steps(text: str) -> Iterator[Yaml]:
    for job in jobs(text).values():
        yield from job.get("steps", ())


def uses(text: str) -> Iterator[str]:
    for part in (*jobs(text).values(), *steps(text)):
        if "uses" in part:
            yield part["uses"]


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_granted_but_by_a_job(name: str) -> None:
    assert parsed(ALL[name])["permissions"] == {}
    for job in jobs(ALL[name]).values():
        assert set(job["permissions"].values()) <= {"read", "write"}


@pytest.mark.parametrize("name", ALL)
def test_each_permission_is_explained_beside_it(name: str) -> None:
    rights = r"^ +(actions|checks|contents|issues|pull-requests|statuses): (read|write)\b(.*)$"
    lines = re.findall(rights, ALL[name], re.MULTILINE)
    assert lines
    assert all(comment.strip().startswith("# to ") for _, _, comment in lines)


@pytest.mark.parametrize("name", ALL)
def test_what_is_used_is_pinned_to_a_commit(name: str) -> None:
    for used in uses(ALL[name]):
        assert used.startswith("./.expci/") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used)


@pytest.mark.parametrize("name", OWN)
def test_no_checkout_keeps_its_token(name: str) -> None:
    found = [step for step in steps(OWN[name]) if "/checkout@" in step.get("uses", "")]
    assert found
    assert all(step["with"]["persist-credentials"] is False for step in found)


@pytest.mark.parametrize("name", ALL)
def test_no_script_is_put_together_from_expressions(name: str) -> None:
    assert all("${{" not in step.get("run", "") for step in steps(ALL[name]))


@pytest.mark.parametrize("name", OWN)
def test_every_job_ends(name: str) -> None:
    assert all(1 <= job["timeout-minutes"] <= 360 for job in jobs(OWN[name]).values())


# --- the job whose command is measured ---------------------------------------------------


@pytest.mark.parametrize("name", ["expci-lab", "expci-lab of init"])
def test_what_a_proposal_runs_can_only_read_and_knows_no_secret(name: str) -> None:
    for job in jobs(ALL[name]).values():
        assert job["permissions"] == {"contents": "read"}
    assert "secrets" not in ALL[name].replace("no secret", "")
    assert "pull_request_target" not in ALL[name]
    assert "schedule" not in parsed(ALL[name])["on"]  # nor in the default branch's name


def test_only_the_lab_runs_experiments() -> None:
    running = {name for name in OWN for used in uses(OWN[name]) if used.endswith("/actions/lab")}
    assert running == {"expci-lab"}
    [job] = (job for job in jobs(OWN["expci-lab"]).values() if "strategy" in job)
    assert job["concurrency"]["cancel-in-progress"] is False


# --- the pass ------------------------------------------------------------------------------


def test_the_pass_never_checks_a_request_out() -> None:
    refs = {
        step["with"].get("ref", "")
        for step in steps(OWN["expci-pass"])
        if "/checkout@" in step.get("uses", "")
    }
    assert refs == {
        "${{ github.event.repository.default_branch }}",
        "${{ job.workflow_sha || inputs.version || 'the-caller-names-no-version' }}",
    }
    for text in (OWN["expci-pass"], WRITTEN["expci-pass of init"]):
        assert "head" not in " ".join(strings(jobs(text)))
        assert not {"pull_request", "pull_request_target", "push"} & parsed(text)["on"].keys()


def test_a_pass_is_not_cut_off_by_the_next() -> None:
    assert jobs(OWN["expci-pass"])["pass"]["concurrency"] == {
        "group": "expci-pass",
        "cancel-in-progress": False,
    }
    # The same group above would wait for itself; a filtered comment must not push out a run.
    assert "concurrency" not in parsed(OWN["expci-pass"])
    assert "concurrency" not in parsed(WRITTEN["expci-pass of init"])


def test_each_job_of_the_pass_holds_rights_of_its_own() -> None:
    held = {
        name: {right for right, level in job["permissions"].items() if level == "write"}
        for name, job in jobs(OWN["expci-pass"]).items()
    }
    assert held == {
        "pass": {"checks", "contents", "issues", "pull-requests"},
        "lab": {"actions"},
    }


@pytest.mark.parametrize("name", ["expci-pass", "expci-pass of init"])
def test_the_schedule_keeps_off_the_full_hour(name: str) -> None:
    [schedule] = parsed(ALL[name])["on"]["schedule"]
    minute = int(schedule["cron"].split()[0])
    assert minute % 2 == 1
    assert minute % 15


def test_labels_and_merges_reach_the_pass_without_a_right() -> None:
    for text in (OWN["expci-validate"], WRITTEN["expci-validate of init"]):
        kinds = parsed(text)["on"]["pull_request"]["types"]
        assert {"labeled", "unlabeled", "closed", "reopened"} <= set(kinds)
        assert all(job["permissions"] == {"contents": "read"} for job in jobs(text).values())
    for text in (OWN["expci-pass"], WRITTEN["expci-pass of init"]):
        after = parsed(text)["on"]["workflow_run"]
        assert {"expci-validate", "expci-lab"} <= set(after["workflows"])
        assert after["types"] == ["completed"]
    assert {parsed(OWN[name])["name"] for name in NAMES} == set(NAMES)


# --- callers and what they call -------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_jobs_that_init_writes_have_the_rights_of_our_own(name: str) -> None:
    written, own = jobs(WRITTEN[f"{name} of init"]), jobs(OWN[name])
    assert written.keys() == own.keys()
    for job in own:
        assert written[job]["permissions"] == own[job]["permissions"]


@pytest.mark.parametrize("name", NAMES)
def test_init_writes_jobs_that_any_runner_takes_and_one_checkout(name: str) -> None:
    """Another owner's reusable workflow gets no runner of the caller's (actions/runner#1671)."""
    for job in jobs(WRITTEN[f"{name} of init"]).values():
        assert "uses" not in job
        assert "vars.EXPCI_" in job["runs-on"]
        checkouts = [step for step in job["steps"] if "/checkout@" in step.get("uses", "")]
        assert len(checkouts) <= 1
        assert all("path" not in step["with"] for step in checkouts)


@pytest.mark.parametrize("name", WRITTEN)
def test_no_job_clones_every_file_of_the_history(name: str) -> None:
    """actions/checkout brings one commit unless told otherwise."""
    for job in jobs(WRITTEN[name]).values():
        for step in job["steps"]:
            if "/checkout@" in step.get("uses", "") and step["with"].get("fetch-depth") == 0:
                assert step["with"]["filter"] == "blob:none"


def test_an_idle_hour_is_one_job_without_a_checkout() -> None:
    written = jobs(WRITTEN["expci-pass of init"])
    first, *rest = written["pass"]["steps"]
    assert first["uses"] == f"expci/expci/.github/actions/idle@{PIN}"
    assert all("steps.idle.outputs.idle != 'true'" in step["if"] for step in rest)
    assert not [step for step in written["lab"]["steps"] if "/checkout@" in step["uses"]]


@pytest.mark.parametrize("name", ["expci-pass", "expci-pass of init"])
def test_one_problem_stops_no_lab_run(name: str) -> None:
    """A job that needs a failed one is skipped unless its condition asks for the status."""
    condition = jobs(ALL[name])["lab"]["if"]
    assert condition.startswith("always() && !cancelled()")


@pytest.mark.parametrize("name", NAMES)
def test_a_link_in_a_proposal_has_no_target_emptied(name: str) -> None:
    """`.expci` as a symlink: the checkout would empty what it points to."""
    for job in jobs(OWN[name]).values():
        names = [step.get("name") for step in job["steps"]]
        if "Check out expci" in names:
            assert names[names.index("Check out expci") - 1] == "Make way"


@pytest.mark.parametrize("name", NAMES)
def test_steps_give_inputs_that_the_actions_have(name: str) -> None:
    found = 0
    for step in (*steps(OWN[name]), *steps(WRITTEN[f"{name} of init"])):
        path = step.get("uses", "").removeprefix("./.expci/").removeprefix("expci/expci/")
        path = path.partition("@")[0]
        if path.startswith(".github/actions/"):
            action = yaml.safe_load((ROOT / path / "action.yml").read_text())
            assert step.get("with", {}).keys() <= action["inputs"].keys()
            found += 1
    assert found


def test_the_dispatch_has_the_inputs_that_the_pass_sends() -> None:
    for text in (OWN["expci-lab"], WRITTEN["expci-lab of init"]):
        assert "experiment" in parsed(text)["on"]["workflow_dispatch"]["inputs"]


def test_the_action_of_the_marketplace_is_the_one_step_trial() -> None:
    root = yaml.safe_load((ROOT / "action.yml").read_text())
    trial = yaml.safe_load((ROOT / ".github/actions/trial/action.yml").read_text())
    assert root["inputs"] == trial["inputs"]
    assert root["outputs"] == trial["outputs"]
    assert root["branding"]
    for half in ("main", "post"):
        assert root["runs"][half] == f".github/actions/trial/{trial['runs'][half]}"
        assert (ROOT / root["runs"][half]).is_file()
