"""What the CI systems call the end of a job."""

from __future__ import annotations

import pytest

from expci.core.model.trial import Status
from expci.runner.ci.job_status import trial_status

WORDS: dict[Status, list[str]] = {
    # GitHub conclusions, GitLab's CI_JOB_STATUS, Jenkins' currentResult, Azure's Agent.JobStatus,
    # Buildkite's job states, Travis, an exit code.
    "ok": ["success", "SUCCESS", "Succeeded", "SucceededWithIssues", "passed", "0", " ok\n"],
    "failed": ["failure", "failed", "UNSTABLE", "FAILURE", "Failed", "broken", "1", "137"],
    "timeout": ["timed_out", "timeout", "124"],
    "cancelled": ["cancelled", "canceled", "Canceled", "ABORTED", "NOT_BUILT", "skipped"],
    "error": ["error", "errored", "startup_failure"],
}


@pytest.mark.parametrize(("status", "words"), WORDS.items())
def test_words(status: Status, words: list[str]) -> None:
    assert [trial_status(word) for word in words] == [(status, None)] * len(words)


@pytest.mark.parametrize("word", ["running", "", "::error::x", "\x1b[0m", "9" * 5000 + "x"])
def test_a_word_that_says_nothing_is_an_error_with_a_warning(word: str) -> None:
    status, warning = trial_status(word)
    assert status == "error"
    assert warning is not None
    assert len(warning) < 400
    assert "ok, failed, timeout, cancelled, error" in warning
