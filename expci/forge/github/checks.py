"""Check runs on GitHub. Only Apps may make them, and a workflow's own token is one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from github.CheckRun import CheckRun as GitHubCheckRun

from expci.errors import ForgeUnreachable
from expci.forge.github.session import CHECKS, GitHubSession
from expci.forge.ports import Annotation, CheckRun

AT_ONCE = 50  # annotations in one request
OURS = "expci:"  # what the `external_id` of our check runs starts with
UNFINISHED = "expci:unfinished"


class GitHubChecks:
    """Check runs of one repository."""

    def __init__(self, session: GitHubSession) -> None:
        self._session = session

    def set(self, commit: str, check: CheckRun) -> bool:
        """One check run of this name and content; whether anything had to be done."""
        digest = _digest(check)
        run = self._find(commit, check.name)
        if run is not None and run.external_id == digest:
            return False
        if run is None or check.annotations or run.output.annotations_count:
            # GitHub adds annotations to those that are there: only a new run is rid of them.
            run = self._create(commit, check, digest)
        else:
            self._edit(run, check, digest, ())
        self._annotate(run, check, digest)
        return True

    def _find(self, commit: str, name: str) -> GitHubCheckRun | None:
        """Our newest check run of this name; another program's may have the same."""
        with self._session.asking(f"read the checks of {commit[:12]}", CHECKS):
            runs = self._session.repository.get_commit(commit).get_check_runs(check_name=name)
            ours = [item for item in runs if (item.external_id or "").startswith(OURS)]
            return max(ours, key=lambda run: run.id, default=None)

    def _create(self, commit: str, check: CheckRun, digest: str) -> GitHubCheckRun:
        marked = digest if len(check.annotations) <= AT_ONCE else UNFINISHED
        try:
            with self._session.asking(f"set the check {check.name!r}", CHECKS):
                return self._session.repository.create_check_run(
                    check.name,
                    commit,
                    external_id=marked,
                    status="completed",
                    conclusion=check.conclusion,
                    output=_output(check, check.annotations[:AT_ONCE]),
                )
        except ForgeUnreachable:
            run = self._find(commit, check.name)
            # An unfinished one may be of an earlier time, with other annotations.
            if run is None or run.external_id != digest:
                raise
            return run

    def _annotate(self, run: GitHubCheckRun, check: CheckRun, digest: str) -> None:
        """The annotations that the first request had no room for."""
        for start in range(AT_ONCE, len(check.annotations), AT_ONCE):
            last = start + AT_ONCE >= len(check.annotations)
            part = check.annotations[start : start + AT_ONCE]
            self._edit(run, check, digest if last else UNFINISHED, part)

    def _edit(
        self, run: GitHubCheckRun, check: CheckRun, digest: str, annotations: Sequence[Annotation]
    ) -> None:
        with self._session.asking(f"set the check {check.name!r}", CHECKS):
            run.edit(
                external_id=digest,
                status="completed",
                conclusion=check.conclusion,
                output=_output(check, annotations),
            )


def _digest(check: CheckRun) -> str:
    data = json.dumps(asdict(check), sort_keys=True).encode()
    return OURS + hashlib.sha256(data).hexdigest()[:40]


def _output(check: CheckRun, annotations: Sequence[Annotation]) -> dict[str, Any]:
    output: dict[str, Any] = {"title": check.title, "summary": check.summary}
    if annotations:
        output["annotations"] = [_annotation(annotation) for annotation in annotations]
    return output


def _annotation(annotation: Annotation) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "message": annotation.message,
    }
    return fields | ({"title": annotation.title} if annotation.title else {})
