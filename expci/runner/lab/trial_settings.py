"""From the options of `trial` and the experiment's files to what a lab session runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from expci.core.assignment import Rule
from expci.core.model import limits
from expci.core.model.content import Paths, variant_paths
from expci.core.spec.job_reader import PlainDefaults
from expci.core.value_class import dataclass, field, replace
from expci.errors import UsageError
from expci.runner import eligibility, experiment_files, metrics
from expci.runner.ci import context
from expci.runner.eligibility import Ineligible
from expci.runner.experiment_files import ExperimentFiles
from expci.runner.lab.schedule import LabSettings
from expci.runner.measure.secrets_vault import SecretsVault
from expci.runner.published_copy import fetch_published, last_read
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.local import visits
from expci.store.variant import varied_content

Value = TypeVar("Value")


@dataclass(frozen=True)
class TrialOptions:
    """What to run. A `command` of `()` runs the experiment's own `run:`.

    `environment` is the process's, without `propagate` the command's exit code is not
    ours, `quiet_output` sends the command's standard output to standard error. `to` is a
    file that gets the records instead of the remote. `offline` takes
    the published document as this clone read it last. `cases` are the only ones to run,
    `part` (`i/n`) says which share of all.
    """

    experiment: str
    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    pairs: int = 1
    arm: str | None = None
    pilot: bool = False
    in_place: bool = False
    command: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    unit: str | None = None
    counter: int | None = None
    leg: str | None = None
    to: str | None = None
    remote: str | None = None
    token: str = field(default="", repr=False)
    roots: tuple[str, ...] = ()
    propagate: bool = True
    quiet_output: bool = False
    offline: bool = False
    cases: tuple[str, ...] = ()
    part: str | None = None
    secrets: SecretsVault | None = field(default=None, repr=False)


def trial_settings(
    options: TrialOptions, git: Git, remote: Remote, warnings: list[str]
) -> LabSettings | Ineligible:
    """What a session runs: the started plan's content, of a pilot that on disk."""
    if options.pilot:
        return draft_settings(options, git)
    latest = last_read(git) if options.offline else fetch_published(remote)
    warnings += latest.warnings
    eligible = eligibility.assess(git, latest.document, options.experiment, options.roots)
    if isinstance(eligible, Ineligible):
        return eligible
    contents = eligibility.arm_contents(git, eligible)
    if isinstance(contents, Ineligible):
        return contents
    environments = {arm: eligibility.arm_environment(eligible, arm) for arm in contents}
    # `traffic` limits how many users' jobs are touched; the lab touches none.
    rule = replace(eligible.rule, traffic=1.0)
    base = git.resolve(eligible.exposure.base)  # the commit whose defaults the plan froze
    defaults = experiment_files.defaults_at(git, base or eligible.commit)
    setting = _common(options, git, eligible.content, defaults, rule, contents, environments)
    exposure = eligible.exposure
    return replace(setting, unit_kind=exposure.unit, phase_began=exposure.started)


def draft_settings(options: TrialOptions, git: Git) -> LabSettings | Ineligible:
    """An experiment as it lies on disk, before its start; always in pairs."""
    defaults = experiment_files.defaults_on_disk(git)
    roots = options.roots or defaults.roots or experiment_files.ROOTS
    content = experiment_files.read_draft(git, options.experiment, roots)
    if content is None:
        why = f"there is no {roots[0]}/{options.experiment}/experiment.yml to try out"
        return Ineligible(options.experiment, "unknown", why)
    contents = varied_content(git, content.files, content.arms, git.require("HEAD"))
    rule = Rule(content.plan, "pilot", "paired", dict.fromkeys(contents, 1.0))
    environments = {arm.name: arm.env for arm in content.arms}
    return _common(options, git, content, defaults, rule, contents, environments)


def _common(
    options: TrialOptions,
    git: Git,
    content: ExperimentFiles,
    defaults: PlainDefaults,
    rule: Rule,
    contents: Mapping[str, Paths],
    environments: Mapping[str, Mapping[str, str]],
) -> LabSettings:
    spec = content.spec
    if options.arm is not None and options.arm not in contents:
        raise UsageError(f"--arm {options.arm}: the arms are {', '.join(contents)}")
    if not options.command and spec.run is None:
        raise UsageError(
            f"{content.directory}/experiment.yml has no `run:`; add one, or give the command: "
            f"expci trial {options.experiment} -- CMD…"
        )
    job = context.ci_job(options.environment, options.leg)
    return LabSettings(
        experiment=options.experiment,
        directory=content.directory,
        rule=rule,
        contents=contents,
        environments=environments,
        command=options.command or _script(spec.run or ""),
        place=job,
        environment=options.environment,
        context=context.context(job, git.resolve("HEAD") or ""),
        setup=None if spec.setup is None else _script(spec.setup),
        warmup=_first(spec.warmup, defaults.warmup, 0),
        timeout_s=_first(spec.timeout_s, defaults.timeout_s, limits.TIMEOUT_S),
        share=_first(spec.share, defaults.share, ()),
        metrics_from=spec.metrics_from or (),
        unit=options.unit,
        counter=options.counter,
        pairs=options.pairs,
        arm=options.arm,
        cases={case.case.id: case for case in content.cases},
        chosen=_chosen(options, content),
        part=_part(options, content),
        visited=visits.visits(git, content.plan, is_pilot=options.pilot),
        repeats=spec.repeats or limits.REPEAT,
        isolate=_isolate(options, content),
        hidden=partial(_hidden, git, content),
        judge=() if spec.compare is None else _script(spec.compare),
        hidden_from_judge=partial(_hidden_from_judge, git, content, contents),
        in_place=options.in_place,
        quiet_output=options.quiet_output,
        metrics=metrics.from_options(options.metrics, built_in=False),
        wanted=content.words,
        primary=content.primary,
        budget=spec.budget,
        secrets=options.secrets,
        ledger=defaults.ledger or limits.LEDGER,
    )


def _chosen(options: TrialOptions, content: ExperimentFiles) -> tuple[str, ...]:
    ids = [case.case.id for case in content.cases]
    if content.cases and options.unit is not None:
        raise UsageError("the unit is the case: leave out --unit, or choose with --case")
    if (options.cases or options.part) and not ids:
        raise UsageError(f"{options.experiment} has no cases; --case and --part choose among them")
    for name in options.cases:
        if name not in ids:
            import difflib

            near = difflib.get_close_matches(name, ids, n=3) or ids[:5]
            raise UsageError(f"--case {name}: no such case; there are {', '.join(near)} …")
    return options.cases


def _part(options: TrialOptions, content: ExperimentFiles) -> tuple[int, int]:
    if options.part is None:
        return 1, 1
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", options.part)
    index, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= parts:
        raise UsageError(f"--part {options.part}: write i/n, such as 1/4")
    if options.cases:
        raise UsageError("--part and --case both choose cases; use one of them")
    if parts > len(content.cases):
        raise UsageError(f"--part {options.part}: there are {len(content.cases)} cases to split")
    return index, parts


def _hidden(git: Git, content: ExperimentFiles, commit: str) -> list[str]:
    """What no isolated run sees at `commit`: the experiment's own files and the cases."""
    here = git.read_tree(commit, content.directory)
    own = variant_paths(content.arms, here)
    cases = (path for case in content.cases for path in case.files)
    return [*(f"{content.directory}/{path}" for path in own), *dict.fromkeys(cases)]


def _hidden_from_judge(
    git: Git, content: ExperimentFiles, contents: Mapping[str, Paths], commit: str
) -> list[str]:
    """What would tell a judge of the arms: the experiment's own files and what they vary."""
    varied = (path for paths in contents.values() for path in paths)
    return list(dict.fromkeys((*_hidden(git, content, commit), *varied)))


def _isolate(options: TrialOptions, content: ExperimentFiles) -> bool:
    stated = content.spec.isolate
    isolate = bool(content.cases) if stated is None else stated
    if isolate and options.in_place:
        raise UsageError(
            "--in-place runs in your checkout, which holds the cases and the other arm's files: "
            "leave it out, or write `isolate: false`"
        )
    return isolate


def _first(own: Value | None, everywhere: Value | None, otherwise: Value) -> Value:
    """The experiment's own value, else the repository's, else the usual one."""
    if own is not None:
        return own
    return otherwise if everywhere is None else everywhere


def _script(text: str) -> tuple[str, ...]:
    # -e as CI systems run a step: a failure in the middle of a script is a failure.
    return ("sh", "-e", "-c", text)
