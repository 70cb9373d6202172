"""`trial --prove`: whether a treatment is in force, by breaking it in a throw-away copy.

Each treatment runs twice as it is and once with its files and variables broken. If nothing that
the first two runs agree on changes, something else than the arm's content is run. Nothing is
recorded.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.arm import CONTROL
from expci.core.model.content import Blob, Paths
from expci.core.model.trial import MEASURED, Trial
from expci.errors import ExpciError
from expci.runner.eligibility import Ineligible
from expci.runner.lab import in_place, infrastructure, worktree
from expci.runner.lab.schedule import LabSettings
from expci.runner.lab.session import LabSession, TrialProgress
from expci.runner.lab.trial_settings import TrialOptions, draft_settings
from expci.runner.measure.interrupts import Interrupted, Interrupts, caught
from expci.store.git.git import Git

SCHEMA = "expci.prove/1"
NOT_IN_FORCE = 3  # the exit code of a negative verdict
BROKEN = "broken by expci trial --prove"
_SCRATCH = lazy_pattern(rb"expci-trial-\w+/\d+")  # differs from one copy to the next

Code = Literal[
    "ends_otherwise", "reports_otherwise", "prints_otherwise", "same", "varies", "fails", "error"
]
_WORDS: Mapping[Code, str] = {
    "ends_otherwise": "in force: with its content broken the run ends otherwise",
    "reports_otherwise": "in force: with its content broken the run reports other metrics",
    "prints_otherwise": "in force: with its content broken the run prints or writes something else",
    "same": "NOT IN FORCE: with its content broken, and then taken away, the run ends, reports and "
    "prints the same. What the run uses comes from somewhere else, such as an installed copy or "
    "a cache",
    "varies": "not shown: the run ends alike with its content broken and taken away, and what it "
    "reports and prints varies from run to run anyway. Have `run:` fail where its input is bad",
    "fails": "not shown: the run fails as it is. Fix that first",
    "error": "NOT IN FORCE: expci could not run it as the arm's; the warnings say why",
}


@dataclass(frozen=True)
class ArmProof:
    """What breaking one arm showed. `broken` are the paths and variables that were broken."""

    arm: str
    code: Code
    broken: tuple[str, ...]

    @property
    def in_force(self) -> bool | None:
        """`None` where it cannot be shown."""
        if self.code in ("varies", "fails"):
            return None
        return self.code.endswith("_otherwise")

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "in_force": self.in_force,
            "reason_code": self.code,
            "reason": _WORDS[self.code],
            "broken": list(self.broken),
        }

    def __str__(self) -> str:
        return f"{self.arm}: {_WORDS[self.code]} ({', '.join(self.broken[:3])})"


@dataclass(frozen=True)
class Proof:
    """`exit_code` is 0 where every treatment is in force."""

    experiment: str
    arms: tuple[ArmProof, ...] = ()
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "experiment": self.experiment,
            "arms": [arm.to_json() for arm in self.arms],
            "warnings": list(self.warnings),
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True)
class _Outcome:
    """What a run leaves that does not depend on how long it took."""

    ending: str
    reported: Mapping[str, float]
    printed: bytes

    @property
    def parts(self) -> dict[Code, object]:
        return {
            "ends_otherwise": self.ending,
            "reports_otherwise": self.reported,
            "prints_otherwise": self.printed,
        }


def prove(
    options: TrialOptions, progress: Callable[[TrialProgress], None] = lambda _: None
) -> Proof:
    """Break each treatment (or `options.arm`) of the experiment as it lies on disk."""
    warnings: list[str] = []
    with caught() as interrupts:
        git = Git.at(options.directory)
        with interrupts.shield():
            worktree.remove_stale(git)
            in_place.recover(git)
        setting = draft_settings(options, git)
        if isinstance(setting, Ineligible):
            raise ExpciError(setting.reason)
        breaker = _Breaker(setting, git, interrupts, progress, warnings)
        chosen = [options.arm] if options.arm else [a for a in setting.contents if a != CONTROL]
        try:
            arms = tuple(breaker.proof(arm) for arm in chosen)
        except Interrupted as stop:
            return Proof(options.experiment, (), tuple(warnings), stop.exit_code)
    code = 0 if all(arm.in_force for arm in arms) else NOT_IN_FORCE
    return Proof(options.experiment, arms, tuple(dict.fromkeys(warnings)), code)


@dataclass
class _Breaker:
    setting: LabSettings
    git: Git
    interrupts: Interrupts
    progress: Callable[[TrialProgress], None]
    warnings: list[str]

    def proof(self, arm: str) -> ArmProof:
        content, environment = self.setting.contents[arm], self.setting.environments[arm]
        control = self.setting.contents[CONTROL]
        own = [path for path in content if content[path] != control[path]]
        broken = (*own, *environment)
        intact = self.outcomes(arm, content, environment, runs=2)
        if intact is None:
            return ArmProof(arm, "error", broken)
        if intact[0].ending != "ok":
            return ArmProof(arm, "fails", broken)
        for blob in (self._broken_blob(), None):
            changed = {path: _as(content[path], blob) for path in own}
            words = dict.fromkeys(environment, BROKEN) if blob else {}
            after = self.outcomes(arm, {**content, **changed}, words, runs=1)
            if after is not None and (code := _difference(intact, after[0])):
                return ArmProof(arm, code, broken)
        return ArmProof(arm, "same" if intact[0] == intact[1] else "varies", broken)

    def _broken_blob(self) -> Blob:
        [oid] = self.git.write_blobs([f"{BROKEN}\n".encode()])
        return Blob("100644", oid)

    def outcomes(
        self, arm: str, content: Paths, environment: Mapping[str, str], runs: int
    ) -> list[_Outcome] | None:
        """Run the arm with that content; `None` where it was not the arm's run."""
        setting = replace(
            self.setting,
            contents={arm: content},
            environments={arm: environment},
            arm=arm,
            pairs=runs,
            warmup=0,
        )
        with tempfile.NamedTemporaryFile("ab") as output:
            own = self.setting
            is_intact = (content, environment) == (own.contents[arm], own.environments[arm])
            printed = _Printed(Path(output.name), self.progress, is_intact=is_intact)
            session = LabSession(
                setting,
                self.git,
                self.interrupts,
                keep=lambda _: printed.keep(session.output_of_run(arm)),
                progress=printed.follow,
                warnings=self.warnings if is_intact else [],
                output=output.fileno(),
                names_doubts=False,  # they are what this is to settle
            )
            session.run()
        if any(trial.excluded or infrastructure.KEY in trial.context for trial in session.trials):
            return None
        return [_outcome(t, text) for t, text in zip(session.trials, printed.texts, strict=True)]


class _Printed:
    """What each run wrote to its standard output and for a judge, without what a setup printed."""

    def __init__(
        self, file: Path, progress: Callable[[TrialProgress], None], *, is_intact: bool
    ) -> None:
        self._file, self._progress, self._begin = file, progress, 0
        self._is_intact = is_intact
        self.texts: list[bytes] = []

    def follow(self, progress: TrialProgress) -> None:
        if progress.stage == "run":
            self._begin = self._file.stat().st_size
        if self._is_intact:
            self._progress(progress)
        elif progress.stage == "run":  # how a broken run ends is no failure, but the answer
            self._progress(replace(progress, stage="broken"))

    def keep(self, output: Path | None) -> None:
        self.texts.append(self._file.read_bytes()[self._begin :] + _content(output))


def _content(output: Path | None) -> bytes:
    """A file's bytes, or those of all files in a directory."""
    if output is None:
        return b""
    files = [output, *sorted(output.rglob("*"))] if output.is_dir() else [output]
    return b"\0".join(os.fsencode(f.name) + b"\0" + f.read_bytes() for f in files if f.is_file())


def _outcome(trial: Trial, printed: bytes) -> _Outcome:
    reported = {k: v for k, v in trial.metrics.items() if k not in MEASURED}
    return _Outcome(trial.status, reported, _SCRATCH.sub(b"", printed))


def _as(blob: Blob | None, broken: Blob | None) -> Blob | None:
    """The broken content with the mode of the path it stands for."""
    if blob is None or broken is None:
        return broken
    return replace(broken, mode=blob.mode)


def _difference(intact: Sequence[_Outcome], broken: _Outcome) -> Code | None:
    """In what a broken run differs from two that agree; `None` where in nothing."""
    one, other = intact[0].parts, intact[-1].parts
    for code, value in broken.parts.items():
        if one[code] == other[code] != value:
            return code
    return None
