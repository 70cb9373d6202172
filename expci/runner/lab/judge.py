"""The judge of `compare:`: which of a pair's two outputs is better, without knowing whose they are.

It answers twice, the outputs in both orders, and which order comes first is a coin's choice. Only
an answer that stays with the same output is a preference. The judge runs in a directory of its own
that holds neither arm's files; nothing in its environment, paths and files names an arm.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from expci.core.model.budget import JUDGE
from expci.core.model.judge import NONE, is_answer, preference
from expci.core.value_class import dataclass, field
from expci.runner import metrics
from expci.runner.ci import context
from expci.runner.lab import infrastructure, workspace, worktree
from expci.runner.lab.case_copy import case_copy
from expci.runner.lab.isolation import Isolation
from expci.runner.lab.schedule import LabSettings
from expci.runner.measure.interrupts import Interrupts
from expci.runner.measure.measure import MeasuredCommand, Measurement, measure
from expci.store.git.git import Git

_MOST_METRICS = 10
_MOST_BYTES = 65_536
_OURS = "EXPCI_"
_MOMENT = (0, 0)  # the same for all files: what was written last says which arm ran last


@dataclass(frozen=True)
class Judgement:
    """What became of one comparison.

    `value` is the treatment's preference, `None` without an answer, and `answers` the two given.
    `costs` are the judge's own metrics. `infra` says why the infrastructure failed, `problem` what
    is wrong with the judge.
    """

    value: float | None
    answers: str = NONE
    costs: Mapping[str, float] = field(default_factory=dict)
    infra: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _Answer:
    word: str | None
    costs: Mapping[str, float]
    infra: str | None
    problem: str | None


@dataclass
class Judge:
    """The judge of one session, in `scratch`, a private directory apart from all runs."""

    git: Git
    setting: LabSettings
    interrupts: Interrupts
    scratch: Path
    isolation: Isolation

    def compare(self, control: Path, treatment: Path, case: str | None) -> Judgement:
        """Ask in both orders. The answers are noted with control as A first, then as B."""
        orders = [(control, treatment), (treatment, control)]
        given: dict[bool, str] = {}
        costs: dict[str, float] = {}
        first = bool(secrets.randbits(1))
        for turned in (first, not first):
            answer = self._answer(*orders[turned], case)
            for name, value in answer.costs.items():
                costs[name] = costs.get(name, 0.0) + value
            if answer.word is None:
                return Judgement(None, NONE, costs, answer.infra, answer.problem)
            given[turned] = answer.word
        answers = f"{given[False]}/{given[True]}"
        return Judgement(preference(answers), answers, costs)

    def _answer(self, a: Path, b: Path, case: str | None) -> _Answer:
        """One answer, repeated where the infrastructure failed."""
        pauses = infrastructure.pauses(self.setting.environment)
        while True:
            with self.interrupts.shield():
                answer = self._once(a, b, case)
            self.interrupts.check()
            pause = next(pauses, None) if answer.infra is not None else None
            if pause is None:
                return answer
            infrastructure.wait(pause, self.interrupts)

    def _once(self, a: Path, b: Path, case: str | None) -> _Answer:
        root = worktree.places(self.git, self.scratch, [""])[""]
        if self.isolation.renew(root, {}, None):
            self.isolation.seal(root)
        files = {name: self.scratch / name for name in ("metrics", "status", "answer")}
        for path in files.values():
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
        with contextlib.ExitStack() as stack:
            variables = {
                "EXPCI_OUTPUT_A": str(stack.enter_context(_copy(a, self.scratch / "a"))),
                "EXPCI_OUTPUT_B": str(stack.enter_context(_copy(b, self.scratch / "b"))),
                "EXPCI_METRICS": str(files["metrics"]),
                "EXPCI_STATUS": str(files["status"]),
            }
            if case is not None:
                content = self.setting.cases[case]
                copy = stack.enter_context(case_copy(self.git, self.scratch, content))
                variables |= {"EXPCI_CASE": case, "EXPCI_CASE_PATH": str(copy)}
            done = self._run(root, variables, files["answer"])
        done, infra = infrastructure.as_error(done, files["status"])
        costs = {"duration_s": done.duration_s}
        costs |= metrics.read_file(files["metrics"], _MOST_METRICS)[0]
        word, problem = _word(done, files["answer"])
        named = {JUDGE + name: value for name, value in costs.items() if len(name) < 50}
        return _Answer(None if infra else word, named, infra, problem)

    def _run(self, root: Path, variables: Mapping[str, str], answer: Path) -> Measurement:
        setting = self.setting
        kept = {k: v for k, v in setting.environment.items() if not k.startswith(_OURS)}
        environment = context.command_environment(kept, variables, {})
        environment = workspace.turned(environment, self.git.root, root)
        home = self.isolation.home(root, is_setup=False)
        environment = {**self.isolation.without_homes(environment), **home, "PWD": str(root)}
        command = workspace.turned_arguments(setting.judge, self.git.root, root)
        with answer.open("wb") as file:
            return measure(
                MeasuredCommand(
                    command,
                    root,
                    environment,
                    setting.timeout_s,
                    file.fileno(),
                    secrets=setting.secrets,
                ),
                self.interrupts,
            )


@contextlib.contextmanager
def judging(
    git: Git, setting: LabSettings, interrupts: Interrupts, warnings: list[str]
) -> Iterator[Judge | None]:
    """The judge of the session, with a place of its own; `None` where nothing is judged."""
    if not setting.judge or not setting.is_paired:
        yield None
        return
    with contextlib.ExitStack() as stack:
        with interrupts.shield():
            directory = stack.enter_context(worktree.scratch(git))
        commit = git.require("HEAD")
        isolation = Isolation(git, commit, setting.hidden_from_judge, setting.share, warnings)
        yield Judge(git, setting, interrupts, directory, isolation)


@contextlib.contextmanager
def _copy(source: Path, target: Path) -> Iterator[Path]:
    """A copy of an output under a neutral name, without links, all files of the same moment."""
    remove(target)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=_links)
    else:
        shutil.copyfile(source, target)
    for path in (*target.rglob("*"), target):
        os.utime(path, _MOMENT)
    try:
        yield target
    finally:
        remove(target)


def _links(directory: str, names: list[str]) -> list[str]:
    """A link leads into an arm's work tree; nor is a pipe or a device an output."""
    return [
        name
        for name in names
        if (path := Path(directory) / name).is_symlink() or not (path.is_file() or path.is_dir())
    ]


def output_of(path: Path, kept: Path) -> Path | None:
    """Put aside what a run wrote to `path`; `None` where it wrote nothing."""
    is_output = not path.is_symlink() and (path.is_file() or path.is_dir())
    if not is_output or (path.is_dir() and not any(path.iterdir())):
        remove(path)
        return None
    remove(kept)
    path.rename(kept)
    return kept


def remove(path: Path) -> None:
    """Remove an output, whatever it is; that there is none is no error."""
    if path.is_dir() and not path.is_symlink():
        worktree.remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _word(done: Measurement, answer: Path) -> tuple[str | None, str | None]:
    """The judge's answer, or what is wrong with it: the last line that it prints."""
    if done.status != "ok":
        return None, done.problem or f"the judge ended with {done.status}, code {done.exit_code}"
    with answer.open("rb") as file:
        file.seek(max(0, answer.stat().st_size - _MOST_BYTES))
        lines = file.read().decode(errors="replace").split()
    last = lines[-1].strip(".*`'\"") if lines else ""
    word = last.upper() if len(last) == 1 else last.lower()
    if is_answer(word):
        return word, None
    return None, "the judge's last word is neither A, B nor tie"
