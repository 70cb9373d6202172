"""How a job ended, in the words of the CI systems.

GitHub's `job.status` and `steps.*.outcome`, GitLab's `CI_JOB_STATUS`, Jenkins'
`currentResult`, Azure's `Agent.JobStatus`, Buildkite, Travis, TeamCity, Drone; or the exit
code of the work, as Bitbucket and Travis hand it on.
"""

from __future__ import annotations

from collections.abc import Mapping

from expci.core.model.trial import Status

_WORDS: Mapping[Status, str] = {
    "ok": "ok success succeeded succeededwithissues passed",
    "failed": "failed failure unstable broken",
    "timeout": "timeout timedout",
    "cancelled": "cancelled canceled aborted skipped notbuilt killed stopped",
    "error": "error errored startupfailure",
}
_STATUS: Mapping[str, Status] = {
    word: status for status, words in _WORDS.items() for word in words.split()
}
TIMEOUT_EXIT_CODE = 124  # as timeout(1)


def trial_status(text: str) -> tuple[Status, str | None]:
    """The status of a trial whose job ended so; and a warning where the word says nothing.

    >>> trial_status("SucceededWithIssues"), trial_status("NOT_BUILT"), trial_status("3")
    (('ok', None), ('cancelled', None), ('failed', None))
    """
    word = "".join(char for char in text.lower() if char.isalnum())
    if word.isdecimal():
        return _of_exit_code(int(word[:9])), None
    if word in _STATUS:
        return _STATUS[word], None
    return "error", (
        f"the status {text[:60]!r} does not say how the work ended, so the trial is recorded as "
        f"an error and not counted; write one of {', '.join(_WORDS)}"
    )


def _of_exit_code(code: int) -> Status:
    if code == TIMEOUT_EXIT_CODE:
        return "timeout"
    return "failed" if code else "ok"
