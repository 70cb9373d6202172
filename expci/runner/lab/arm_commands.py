"""How the lab runs a command of an arm: in its work tree, with its environment and case."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from expci.core.value_class import dataclass
from expci.runner.ci import context
from expci.runner.lab import workspace
from expci.runner.lab.bench import Bench
from expci.runner.lab.case_copy import case_copy
from expci.runner.lab.exposure_watch import ExposureWatch
from expci.runner.lab.judge import remove
from expci.runner.lab.schedule import LabSettings, PlannedRun
from expci.runner.measure.interrupts import Interrupts
from expci.runner.measure.measure import MeasuredCommand, Measurement, measure
from expci.store.git.git import Git

OUTPUT = "output"


@dataclass(frozen=True)
class ArmCommands:
    """`output` is where the commands' standard output goes, `None` where it usually does."""

    setting: LabSettings
    git: Git
    interrupts: Interrupts
    stand: Bench
    exposure: ExposureWatch
    output: int | None

    def measure(self, run: PlannedRun, command: tuple[str, ...]) -> Measurement:
        """Return what became of the command in the run's arm, with a copy of its case."""
        if run.case is None:
            return self._measured(run, command, {})
        with case_copy(self.git, self.stand.scratch, self.setting.cases[run.case]) as path:
            own = {"EXPCI_CASE": run.case, "EXPCI_CASE_PATH": str(path)}
            own["EXPCI_REPEAT"] = str(run.repeat)
            return self._measured(run, command, own)

    def _measured(
        self, run: PlannedRun, command: tuple[str, ...], case: Mapping[str, str]
    ) -> Measurement:
        setting, root = self.setting, self.stand.roots[run.arm]
        is_setup = command == setting.setup
        usual = sys.stderr if setting.quiet_output else None
        environment = self._environment(run, case)
        measured = MeasuredCommand(
            workspace.turned_arguments(command, self.git.root, root),
            root,
            self.stand.home(run.arm, environment, is_setup=is_setup) | {"PWD": str(root)},
            setting.timeout_s,
            usual if self.output is None else self.output,
            is_setup=is_setup,
            secrets=None if is_setup else setting.secrets,
        )
        with self.exposure.watching(run.arm):
            return measure(measured, self.interrupts)

    def _environment(self, run: PlannedRun, case: Mapping[str, str]) -> dict[str, str]:
        setting, scratch = self.setting, self.stand.scratch
        file, status = scratch / "metrics", scratch / "status"
        _empty(file)
        _empty(status)
        remove(scratch / OUTPUT)  # a warm-up's
        own = {
            "EXPCI_EXPERIMENT": setting.experiment,
            "EXPCI_ARM": run.arm,
            "EXPCI_UNIT": run.unit,
            "EXPCI_METRICS": str(file),
            "EXPCI_STATUS": str(status),
            **({"EXPCI_OUTPUT": str(scratch / OUTPUT)} if setting.judge else {}),
            **case,
        }
        environment = context.command_environment(
            setting.environment, own, setting.environments[run.arm]
        )
        return workspace.turned(environment, self.git.root, self.stand.roots[run.arm])


def _empty(path: Path) -> None:
    """Leave a fresh private file, whatever an earlier run left there."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}-{len(list(path.parent.iterdir()))}"))
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
