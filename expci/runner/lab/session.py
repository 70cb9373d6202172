"""The runs of one `trial`, one after the other: set up, run, measure, verify, record."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from expci.core.model.arm import CONTROL
from expci.core.model.budget import BudgetUse
from expci.core.model.metric_names import PREFERENCE
from expci.core.model.trial import Trial
from expci.core.value_class import dataclass
from expci.runner import metrics
from expci.runner.ci import context
from expci.runner.clock import start_time
from expci.runner.lab import (
    bench,
    first_round,
    infrastructure,
    script_paths,
    ways_back,
    workspace,
)
from expci.runner.lab.arm_commands import OUTPUT, ArmCommands
from expci.runner.lab.bench import Bench
from expci.runner.lab.exposure_watch import ExposureWatch
from expci.runner.lab.judge import Judge, judging, output_of
from expci.runner.lab.judged_round import judged_round
from expci.runner.lab.lab_trial import lab_trial
from expci.runner.lab.schedule import LabSettings, PlannedRun, repeated, rounds, runs
from expci.runner.lab.tool_files import ToolFiles
from expci.runner.measure.interrupts import Interrupts
from expci.runner.measure.measure import Measurement
from expci.store.git.git import Git


@dataclass(frozen=True)
class TrialProgress:
    """What happens now. `done` of `total` runs are over.

    `stage` is setup, warmup, run, broken (a run of `--prove`), judge, done or note; a `note` is for
    the user at once.
    """

    stage: str
    arm: str
    done: int
    total: int
    trial: Trial | None = None
    note: str = ""


@dataclass
class LabSession:
    """`keep` takes each record as soon as there is one; `warnings` are for the user.

    `output` is where the commands' standard output goes, `None` where it usually does. With a
    budget `meter` tells what is used of it, and `send` sends what was kept after each round.
    """

    setting: LabSettings
    git: Git
    interrupts: Interrupts
    keep: Callable[[str], None]
    progress: Callable[[TrialProgress], None]
    warnings: list[str]
    output: int | None = None
    meter: Callable[[Sequence[Trial]], BudgetUse] | None = None
    send: Callable[[], None] = lambda: None
    names_doubts: bool = True

    def __post_init__(self) -> None:
        self.trials: list[Trial] = []
        self.notes: list[str] = []  # the warnings that `progress` was given
        self._planned = runs(self.setting)
        self._codes: list[tuple[str, int]] = []
        self._set_up: set[str] = set()
        self._leaks: list[str] = []
        self._unjudged: list[Trial] = []  # run, and not yet judged and kept
        self._outputs: dict[str, Path | None] = {}
        self._judge: Judge | None = None

    def run(self) -> None:
        """Make every run. `Interrupted` after a signal; what was recorded is kept."""
        if self._is_spent():
            return
        with self._bench() as stand, self._judging() as self._judge:
            self.warnings += stand.warnings
            self._exposure = ExposureWatch(
                stand.roots, self.git.root, stand.varied, self.setting.share
            )
            self._commands = ArmCommands(
                self.setting, self.git, self.interrupts, stand, self._exposure, self.output
            )
            broken = self._prepare(stand)
            if broken or self._leaks:
                self._record_unfit(broken)
                return
            for round in rounds(self._planned):
                trials = self._round(stand, round)
                if round[0].seq == 0:
                    self._look_at_first_round(trials)
                if any(trial.context.get(infrastructure.KEY) for trial in trials):
                    break  # no repetition helped
                if any(map(self._exposure.not_exposed, stand.roots)):
                    break  # nor will the next round be of any use
                if len(self.trials) < len(self._planned) and self._is_spent():
                    break

    def _is_spent(self) -> bool:
        """Whether no further round may start, and print that."""
        budget = self.setting.budget
        if self.meter is None or budget is None:
            return False
        self.send()
        use = self.meter(self.trials)
        if self.trials and use.per_trial is None:
            self._note(
                self.trials[-1].arm,
                f"no run reported {budget.metric}, so its budget cannot be kept: nothing more is "
                f"run. Have the command write {budget.metric}=VALUE to the file that "
                "$EXPCI_METRICS names",
            )
            return True
        if use.is_spent:
            from expci.core.number_format import amount_of  # it brings the whole model along

            spent, most, all = (
                amount_of(n, budget.metric) for n in (use.spent, use.most, budget.most)
            )
            of = f"the budget of {all}"
            if use.most < budget.most:
                of += f", and this job may take it to {most}"
            self._note(CONTROL, f"{spent} of {of} are spent: nothing more is run")
        return use.is_spent

    def _record_unfit(self, broken: Mapping[str, Measurement]) -> None:
        """Record the first round of arms that are not fit to run: nothing is run."""
        fallback = Measurement("error", 1) if self._leaks else None
        for run in next(rounds(self._planned)):
            if (done := broken.get(run.arm, fallback)) is not None:
                self._keep_trial(run, done, {}, self._why_leaked())
        self._keep_unjudged()
        if not self._leaks:
            self._look_at_first_round(self.trials)

    def _round(self, stand: Bench, round: Sequence[PlannedRun]) -> list[Trial]:
        """Make the runs of a round, all of them again after a failure of the infrastructure.

        Returns the trials of the last attempt.
        """
        pauses = infrastructure.pauses(self.setting.environment)
        while True:
            trials, codes = self._attempt(stand, round), len(self._codes)
            reason = trials[-1].context.get(infrastructure.KEY)
            if reason is None:
                return trials
            is_of_judge = reason.startswith(infrastructure.OF_JUDGE)
            pause, arm = None if is_of_judge else next(pauses, None), trials[-1].arm
            again = "the round runs again" if pause is not None else "nothing more is run"
            wait = f" in {pause:.0f} s" if pause else ""
            self._note(arm, f"{arm}: the infrastructure failed ({reason}); {again}{wait}")
            if pause is None:
                return trials
            infrastructure.wait(pause, self.interrupts)
            del self._codes[codes - len(trials) :]
            round = repeated(round)

    def _attempt(self, stand: Bench, round: Sequence[PlannedRun]) -> list[Trial]:
        """The trials of one round, up to the first that the infrastructure failed, as kept."""
        kept = len(self.trials)
        try:
            for run in round:
                # A finished run is recorded, also when a signal comes right after it.
                with self.interrupts.shield():
                    trial = self._one(stand, run)
                self.interrupts.check()
                if trial.context.get(infrastructure.KEY):
                    break
            else:
                self._compare(round[0].case)
        finally:
            self._keep_unjudged()
        return self.trials[kept:]

    def _compare(self, case: str | None) -> None:
        """Have the round's outputs judged, where there is a judge."""
        if self._judge is None:
            return
        self._tell("judge", self._unjudged[-1].arm)
        self._unjudged, problems = judged_round(self._judge, self._unjudged, self._outputs, case)
        for problem in problems:
            self._note(self._unjudged[-1].arm, problem)

    def _keep_unjudged(self) -> None:
        while self._unjudged:
            trial = self._unjudged.pop(0)
            self.keep(self._struck(trial.line()))
            self.trials.append(trial)
            self._tell("done", trial.arm, trial)

    def _look_at_first_round(self, trials: Sequence[Trial]) -> None:
        if any(trial.context.get(infrastructure.KEY) for trial in trials):
            return
        codes = [code for _, code in self._codes[-len(trials) :]]
        setting = self.setting
        for complaint in first_round.complaints(
            self.git, trials, codes, setting.share, self._primary
        ):
            self._note(trials[-1].arm, complaint)
        for trial in trials:
            if self.names_doubts and trial.status == "ok" and trial.arm != CONTROL:
                for doubt in self._exposure.doubts(trial.arm):
                    self._note(trial.arm, doubt)

    @property
    def _primary(self) -> str | None:
        """The metric that the command must report; a preference is the judge's to give."""
        own = self.setting.primary
        return None if self.setting.judge and own == PREFERENCE else own

    def _note(self, arm: str, text: str) -> None:
        text = self._struck(text)
        self.warnings.append(text)
        self.notes.append(text)
        self._tell("note", arm, note=text)

    def _struck(self, text: str) -> str:
        """The text without the secrets that the command has, where it has any."""
        vault = self.setting.secrets
        return text if vault is None else vault.strike(text)

    def output_of_run(self, arm: str) -> Path | None:
        """What the arm's latest run wrote for a judge, while `keep` takes its record."""
        return self._outputs.get(arm)

    def exit_code(self) -> int:
        """The command's own code: the first failure of control, or of the only arm."""
        arms = {arm for arm, _ in self._codes}
        counted = CONTROL if CONTROL in arms else None
        codes = [code for arm, code in self._codes if counted in (None, arm)]
        return next((code for code in codes if code), 0)

    def has_error(self) -> bool:
        """Whether expci could not run or verify something."""
        return any(t.status == "error" and infrastructure.KEY not in t.context for t in self.trials)

    def _bench(self) -> AbstractContextManager[Bench]:
        setting = self.setting
        if setting.in_place:
            return bench.in_checkout(self.git, setting.contents, self.interrupts)
        needed = {run.arm for run in self._planned}
        arms = {arm: paths for arm, paths in setting.contents.items() if arm in needed}
        if setting.judge:  # an output may hold its work tree's path, which must name no arm
            arms = dict(sorted(arms.items(), key=lambda _: secrets.randbits(32)))
        hidden = setting.hidden if setting.isolate else None
        return bench.in_worktrees(self.git, arms, setting.share, self.interrupts, hidden)

    def _judging(self) -> AbstractContextManager[Judge | None]:
        return judging(self.git, self.setting, self.interrupts, self.warnings)

    def _prepare(self, stand: Bench) -> dict[str, Measurement]:
        """Setup and warm-up of each arm, neither recorded; the arms whose setup failed."""
        first = {run.arm: run for run in reversed(self._planned)}
        if not stand.is_in_place:
            broken = self._entered(stand, first.values())
            self._leaks = self._ways_back(stand)
            if broken or self._leaks:
                return broken
        broken = {}
        for arm, run in first.items():
            failure = self._enter(stand, run)
            if failure is not None:
                broken[arm] = failure
                continue
            for _ in range(self.setting.warmup):
                self._tell("warmup", arm)
                warming = PlannedRun(arm, "warmup", "warmup", case=run.case)
                self._commands.measure(warming, self.setting.command)
                self.interrupts.check()
        return broken

    def _entered(self, stand: Bench, first: Iterable[PlannedRun]) -> dict[str, Measurement]:
        """Set up every arm for its first run; the arms whose setup failed."""
        failures = {run.arm: self._enter(stand, run) for run in first}
        return {arm: failure for arm, failure in failures.items() if failure is not None}

    def _ways_back(self, stand: Bench) -> list[str]:
        """Why no arm would be in force, in words; the other ways out become warnings."""
        setting, roots = self.setting, list(stand.roots.values())
        trees = [self.git.root, *(roots if len(roots) > 1 else ())]
        ways = [
            *ways_back.all_ways_back(trees, setting.share, setting.environment, stand.varied),
            *script_paths.in_scripts(
                self.git.root,
                roots[0],
                workspace.turned_arguments(setting.command, self.git.root, roots[0]),
                workspace.turned(setting.environment, self.git.root, roots[0]),
            ),
        ]
        if setting.setup is not None:
            for root in roots:
                others = [tree for tree in trees if tree != root]
                ways += ways_back.in_own_directories(others, root)
        leaks = [way for way in ways if way.covers(stand.varied)]
        self.warnings += ways_back.describe(way for way in ways if way not in leaks)
        if leaks:
            self._note(CONTROL, ways_back.not_in_force(leaks))
        return [str(way) for way in leaks]

    def _enter(self, stand: Bench, run: PlannedRun) -> Measurement | None:
        """Have the arm in place and set up; the measurement of a setup that failed."""
        if stand.stand(run.arm, self._start_of(run)):
            self._set_up.discard(run.arm)
        failure = self._setup(run.arm)
        if failure is None:
            stand.seal(run.arm)
        return failure

    def _start_of(self, run: PlannedRun) -> str | None:
        """The commit that a replayed case starts from."""
        merge = self.setting.cases[run.case].merge if run.case is not None else None
        return None if merge is None else merge.before

    def _setup(self, arm: str) -> Measurement | None:
        """Set the arm up, if that is still to do; the measurement of a setup that failed."""
        if self.setting.setup is None or arm in self._set_up:
            return None
        self._tell("setup", arm)
        done = self._commands.measure(PlannedRun(arm, "setup", "setup"), self.setting.setup)
        self.interrupts.check()
        if done.left_running:
            self.warnings.append(
                f"{arm}: setup left {done.left_running} processes running in the background, and "
                "they are ended with it; start what `run:` talks to in `run:` itself"
            )
        if done.status != "ok":
            problem = done.problem or f"setup of arm {arm} ended with code {done.exit_code}"
            return Measurement("error", done.exit_code or 1, problem=problem)
        # One checkout for all arms holds the setup of the last one only.
        self._set_up = {arm} if self.setting.in_place else self._set_up | {arm}
        return None

    def _one(self, stand: Bench, run: PlannedRun) -> Trial:
        failure = self._enter(stand, run)
        if failure is not None:
            return self._keep_trial(run, failure, {})
        self._tell("run", run.arm)
        started = datetime.now(UTC)
        files = ToolFiles.before(stand.roots[run.arm], self.setting.metrics_from)
        done = self._commands.measure(run, self.setting.command)
        done, infra = infrastructure.as_error(done, stand.scratch / "status")
        if self.setting.judge:
            kept = stand.scratch / f"output-of-{run.order}"
            output = output_of(stand.scratch / OUTPUT, kept)
            self._outputs[run.arm] = output if done.status == "ok" else None
        reported = self._reported(run, files, stand.scratch / "metrics", done)
        conditions = {
            **context.conditions(self.setting.environments[run.arm]),
            **context.as_conditions(files.conditions.items()),
            **infrastructure.stated_conditions(stand.scratch / "status"),
        }
        reason = _why_strayed(stand.strayed(run.arm)) or self._exposure.not_exposed(run.arm)
        return self._keep_trial(run, done, reported, reason, started, infra, conditions)

    def _reported(
        self, run: PlannedRun, files: ToolFiles, own: Path, done: Measurement
    ) -> dict[str, float]:
        """The metrics that the run reports: by the file expci gives it, and by its tools' files."""
        setting, stated = self.setting, dict(self.setting.metrics)
        written, warnings = metrics.read_file(own, metrics.MOST - len(stated), setting.wanted)
        stated |= written
        of_tools, complaints = files.read(
            metrics.MOST - len(stated), setting.wanted, has_failed=done.status != "ok"
        )
        self.warnings += [f"{run.arm}: {warning}" for warning in (*warnings, *complaints)]
        return of_tools | stated

    def _keep_trial(
        self,
        run: PlannedRun,
        done: Measurement,
        reported: Mapping[str, float],
        not_exposed: str = "",
        started: datetime | None = None,
        infra: str | None = None,
        conditions: Mapping[str, str] | None = None,
    ) -> Trial:
        status, excluded = done.status, None
        if done.problem is not None:
            self.warnings.append(f"{run.arm}: {done.problem}")
        if not_exposed and status != "cancelled":
            status, excluded = "error", "not_exposed"
            self.warnings.append(f"{run.arm}: the trial is not counted: {not_exposed}")
        at = started or datetime.now(UTC)
        start = start_time(at, self.setting.phase_began)
        if start.warning and not self.trials:
            self.warnings.append(start.warning)
        trial = lab_trial(
            self.setting,
            run,
            done,
            reported,
            at=at,
            started=start.started,
            status=status,
            excluded=excluded,
            context={
                **(conditions or {}),
                "assignment": run.how,
                **start.context,
                **({} if infra is None else {infrastructure.KEY: infra}),
            },
        )
        self._codes.append((run.arm, done.exit_code))
        self._unjudged.append(trial)
        if self._judge is None:
            self._keep_unjudged()
        return trial

    def _why_leaked(self) -> str:
        """Why trials do not count that were not run; an empty text without a leak."""
        if not self._leaks:
            return ""
        return f"{self._leaks[0]}, so the run would see the same files under every arm"

    def _tell(self, stage: str, arm: str, trial: Trial | None = None, note: str = "") -> None:
        total = len(self._planned)
        self.progress(TrialProgress(stage, arm, len(self.trials), total, trial, note))


def _why_strayed(paths: Sequence[str]) -> str:
    """Why a trial does not count after which the paths were no longer the arm's."""
    if not paths:
        return ""
    return (
        f"{', '.join(paths[:3])} did not hold the arm's content after the run: something in the "
        "run rewrites or restores it"
    )
