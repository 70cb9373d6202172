"""Where a trial runs: its unit, its context, and the environment that its command sees.

Reads an environment that it is given (https://docs.github.com/actions/reference/variables-reference),
never the process's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from expci.core.assignment import Counter
from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.trial import CONDITION
from expci.core.value_class import dataclass, field
from expci.core.writable_text import writable_text
from expci.errors import UsageError
from expci.store.git import bounded
from expci.store.git.invocation import FOREIGN

# What tells one CI job from the next on the same machine.
JOB_VARIABLES = (
    *("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB", "CI_JOB_ID", "BUILD_TAG"),
    *("BUILD_BUILDID", "SYSTEM_JOBID", "BUILDKITE_JOB_ID", "CIRCLE_WORKFLOW_JOB_ID"),
    *("TRAVIS_JOB_ID", "DRONE_BUILD_NUMBER", "CI_PIPELINE_NUMBER", "bamboo_buildResultKey"),
    *("TEAMCITY_BUILDCONF_NAME", "BUILD_NUMBER", "BUILD_ID", "BITBUCKET_STEP_UUID"),
    *("BITBUCKET_BUILD_NUMBER", "APPVEYOR_JOB_ID", "SEMAPHORE_JOB_ID", "CIRRUS_TASK_ID"),
    *("CODEBUILD_BUILD_ID", "CF_BUILD_ID", "GO_PIPELINE_COUNTER", "GO_STAGE_COUNTER"),
)
_LIMIT = 300  # characters of one context value, as in every record
_EVENT_BYTES = 25_000_000  # GitHub caps a webhook's payload at 25 MB
_CONDITION = "EXPCI_CONTEXT_"
_CONDITION_NAME = lazy_pattern(r"[a-z0-9_]{1,31}")
_MOST_CONDITIONS = 20
_PULL_REF = lazy_pattern(r"refs/pull/(\d+)/")
_SECRET = lazy_pattern(
    r"EXPCI_(TOKEN|WEBHOOK|APP_KEY|PRIVATE_KEY)|GITHUB_TOKEN|GH_TOKEN|GH_ENTERPRISE_TOKEN|"
    r"GITHUB_ENTERPRISE_TOKEN|ACTIONS_RUNTIME_TOKEN|ACTIONS_ID_TOKEN_.*|"
    r"ACTIONS_CACHE_TOKEN|INPUT_.*(TOKEN|KEY|SECRET|PASSWORD).*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CiJob:
    """The CI job that this process runs in; every part is "" where it is unknown."""

    run_id: str = ""
    run_number: str = ""
    attempt: int = 1
    job: str = ""
    leg: str = ""
    workflow: str = ""
    pull: str = ""
    actor: str = ""
    sha: str = ""
    repository: str = ""
    runner: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_ci(self) -> bool:
        return bool(self.run_id)


def ci_job(environment: Mapping[str, str], leg: str | None = None) -> CiJob:
    """The job that the variables of GitHub Actions describe."""
    text = {name: writable_text(value) for name, value in environment.items()}
    attempt = text.get("GITHUB_RUN_ATTEMPT", "")
    return CiJob(
        run_id=text.get("GITHUB_RUN_ID", ""),
        run_number=text.get("GITHUB_RUN_NUMBER", ""),
        attempt=int(attempt) if attempt.isdecimal() and 0 < int(attempt) < 1 << 31 else 1,
        job=text.get("GITHUB_JOB", ""),
        # GITHUB_JOB is the same for all legs of a matrix, so the leg has to be named.
        leg=leg or text.get("EXPCI_LEG", ""),
        workflow=text.get("GITHUB_WORKFLOW", ""),
        pull=_pull(environment),
        actor=text.get("GITHUB_ACTOR", ""),
        sha=text.get("GITHUB_SHA", ""),
        repository=text.get("GITHUB_REPOSITORY", ""),
        runner=text.get("ImageOS", "") or text.get("RUNNER_OS", ""),
        conditions=conditions(environment),
    )


def job_identity(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of `JOB_VARIABLES`, by which a job differs from the next on this machine."""
    return tuple(environment.get(name, "") for name in JOB_VARIABLES)


def conditions(environment: Mapping[str, str]) -> dict[str, str]:
    """What `EXPCI_CONTEXT_NAME=VALUE` states of the surroundings, as keys of a context."""
    names = (name for name in sorted(environment) if name.startswith(_CONDITION))
    return as_conditions((name.removeprefix(_CONDITION), environment[name]) for name in names)


def as_conditions(stated: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return stated conditions as a trial's context holds them; those without a name go."""
    cleaned = ((name.strip().lower(), _clean(value).strip()) for name, value in stated)
    kept = [(n, v) for n, v in cleaned if _CONDITION_NAME.fullmatch(n) and v]
    return {f"{CONDITION}{name}": value for name, value in kept[:_MOST_CONDITIONS]}


def _pull(environment: Mapping[str, str]) -> str:
    match = _PULL_REF.match(environment.get("GITHUB_REF", ""))
    if match is not None:
        return match[1]
    # `pull_request_target` and comments run on the base branch; their payload names the PR.
    try:
        path = Path(environment["GITHUB_EVENT_PATH"])
        event = json.loads(bounded.read_file(path, _EVENT_BYTES))
    except (KeyError, OSError, ValueError, RecursionError):
        return ""
    event = event if isinstance(event, dict) else {}
    pull = event.get("pull_request") or event.get("issue") or {}
    number = pull.get("number") if isinstance(pull, dict) else None
    return str(number) if isinstance(number, int) else ""


def unit(kind: str, job: CiJob, given: str | None) -> str | None:
    """The name of what is randomised; `None` where this place has nothing of that kind."""
    if given:
        return writable_text(given)
    if kind == "custom":
        raise UsageError("this experiment assigns by a unit of its own; name it with --unit")
    name = "-".join(part for part in (job.run_id, job.job, job.leg) if part)
    names = {
        "run": job.run_id,
        "job": name if job.run_id else "",
        "pr": job.pull,
        "actor": job.actor if job.is_ci else "",
    }
    own = names.get(kind, "")
    return f"{kind}-{own}"[:_LIMIT] if own else None


def counter(kind: str, job: CiJob, given: int | None) -> Counter | None:
    """The run's number among its like; `None` leaves it to the unit's own name.

    Run ids are not consecutive, run numbers are, by workflow. Jobs of one run count
    apart, or the same leg would meet the same arm for ever.
    """
    strata = {"run": job.workflow, "job": f"{job.workflow}/{job.job}/{job.leg}"}
    if given is not None:
        return Counter(given, strata.get(kind, ""))
    if kind in strata and job.run_number.isdecimal():
        return Counter(int(job.run_number), strata[kind])
    return None


def context(job: CiJob, head: str, **more: str) -> dict[str, str]:
    """Where a record comes from, as far as the CI tells; unknown parts are omitted."""
    parts = {
        "sha": job.sha or head,
        "repository": job.repository,
        "run_id": job.run_id,
        "run_number": job.run_number,
        "job": job.job,
        "leg": job.leg,
        "workflow": job.workflow,
        "pr": job.pull,
        "cpu": cpu_model(),
        "runner": job.runner or os.uname().sysname,
        "actor": job.actor,
        **job.conditions,
        **more,
    }
    cleaned = {key: _clean(value) for key, value in parts.items()}
    return {key: value for key, value in cleaned.items() if value}


def cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name where the system tells, else its architecture."""
    try:
        for line in path.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return os.uname().machine


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:_LIMIT]


def command_environment(
    environment: Mapping[str, str], own: Mapping[str, str], arm: Mapping[str, str]
) -> dict[str, str]:
    """What the measured command sees: ours, then the arm's; no tokens, no foreign git state."""
    kept = {
        key: value
        for key, value in environment.items()
        if not _SECRET.fullmatch(key) and key not in FOREIGN and key not in ("PWD", "OLDPWD")
    }
    return kept | dict(arm) | dict(own)
