"""One step of a GitHub Actions job: its inputs, and how it says what became of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from expci.core.model.trial import Trial
from expci.core.value_class import dataclass, field
from expci.errors import ExpciError
from expci.runner.actions.inputs import Inputs
from expci.runner.ci import messages, outputs
from expci.store.git.git import Git
from expci.store.local import batch_file, spool

ASSIGNED = "EXPCI_ASSIGNED"  # tells later steps which trials were begun
BEGUN = "EXPCI_BEGUN"  # the file in which the arms stand for the command of `run:`
NEEDS = (
    ". A push needs `permissions: contents: write`; `transport: artifact` of `record` needs none"
)
UNTOUCHED = "The job goes on without expci"
# Not these: outside the traffic, paused, or a checkout that changes what varies.
BROKEN = (
    "error",
    "no_unit",
    "history_missing",
    "objects_missing",
    "variant_broken",
    "published_differs",
)


@dataclass
class Step:
    """One step of a job. `environment` is the job's own, without our inputs."""

    inputs: Inputs
    environment: Mapping[str, str] = field(repr=False)
    problems: int = 0
    _file: Path | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Step:
        own = ("INPUT_", "STATE_")
        kept = {key: value for key, value in environment.items() if not key.startswith(own)}
        return cls(Inputs.of(environment), kept)

    @property
    def root(self) -> Path:
        return Path.cwd() / self.inputs.path

    @cached_property
    def git(self) -> Git:
        return Git.at(self.root)

    @property
    def address(self) -> str:
        """Where this job's records are pushed to: the runner says it, the checkout cannot."""
        server = self.environment.get("GITHUB_SERVER_URL", "").rstrip("/")
        repository = self.environment.get("GITHUB_REPOSITORY", "")
        return f"{server}/{repository}.git" if server and repository and self.inputs.token else ""

    def refuse_earlier_jobs(self) -> None:
        """What an earlier job left unsent on this machine is not sent with this job's token."""
        aside = spool.set_aside_all(self.git)
        if aside is not None:
            messages.annotate(
                "warning",
                f"records that an earlier job could not send are not sent now; they are in {aside}",
            )

    def problem(self, text: str) -> None:
        """expci could not do its part."""
        self.problems += 1
        messages.annotate("error" if self.inputs.strict else "warning", text)

    def fall_open(self, error: Exception) -> int:
        """Say what went wrong in expci and leave the job as it was; the step's exit code."""
        if not isinstance(error, (ExpciError, OSError)):
            import traceback

            messages.say("this is a defect of expci; please report it with these lines:")
            for line in traceback.format_exception(error):
                messages.say(line.rstrip())
        self.problem(f"{error or type(error).__name__}. {UNTOUCHED}.")
        return self.code

    def report(self, problem: str | None) -> None:
        """Report values that later steps do not get."""
        if problem is not None:
            self.problem(problem)

    @property
    def code(self) -> int:
        return int(self.inputs.strict and self.problems > 0)

    @property
    def file(self) -> Path:
        """Where records wait for the upload."""
        if self._file is None:
            place = self.environment.get("RUNNER_TEMP") or None
            self._file = Path(tempfile.mkdtemp(prefix="expci-", dir=place)) / "trials.jsonl"
        return self._file

    def tell(self, trials: Sequence[Trial], file: Path | None = None) -> None:
        """Outputs of what was recorded, and of the file to upload if there is one."""
        self._file = file or self._file
        values = {
            "trials": json.dumps([trial.id for trial in trials]),
            "recorded": str(len(trials)),
        }
        if self._file is not None and self._file.exists():
            values["file"] = str(self._file)
            values["artifact"] = self.inputs.artifact(self.environment)
        self.report(outputs.write(self.environment, "GITHUB_OUTPUT", values))

    def hand_on(self, trials: Sequence[Trial], waiting: int, warnings: Sequence[str]) -> None:
        """Say what was recorded, and see to it that it leaves this machine."""
        if waiting:
            # This machine is gone after the job, and what waits on it with it.
            if trials:
                batch_file.append_records(self.file, [trial.line() for trial in trials])
            needs = "" if spool.NOT_PUSHED in warnings else NEEDS
            self.problem(f"records could not be pushed: {'; '.join(warnings[:2])}{needs}")
        else:
            for warning in warnings:
                messages.annotate("warning", warning)
        for one in trials:
            why = f" ({one.excluded})" if one.excluded else ""
            messages.say(f"{one.experiment}: recorded {one.arm}, {one.status}{why}, as {one.id}")
        self.tell(trials)
