"""The steps of the `lab` action: read with the token, run without it, push with it.

What a pull request proposes runs in a step of its own, in whose processes no token is.
"""

from __future__ import annotations

from expci.core.model import limits
from expci.errors import SecretsRefused
from expci.runner import eligibility, experiment_files
from expci.runner.actions.step import BROKEN, Step
from expci.runner.ci import messages
from expci.runner.eligibility import Ineligible
from expci.runner.lab import budget, pinned
from expci.runner.lab.session import TrialProgress
from expci.runner.lab.trial import run_trials
from expci.runner.lab.trial_settings import TrialOptions
from expci.runner.measure.secrets_vault import SecretsVault
from expci.runner.published_copy import PublishedCopy, fetch_published, remote_of
from expci.store.git.git import Git


def fetch(step: Step) -> int:
    """Bring the published document and the arms' objects here; the step's exit code."""
    step.refuse_earlier_jobs()
    git = Git.at(step.root)
    remote = remote_of(git, None, step.inputs.token, step.environment)
    latest = fetch_published(remote)
    for warning in latest.warnings:
        step.problem(warning)
    if step.inputs.pinned:
        _require_pinned(step, git, latest)
    eligible = eligibility.assess(git, latest.document, step.inputs.experiment)
    if not isinstance(eligible, Ineligible):
        eligibility.arm_contents(git, eligible)
        if eligible.content.spec.budget is not None:
            base = git.resolve(eligible.exposure.base) or eligible.commit
            ledger = experiment_files.defaults_at(git, base).ledger or limits.LEDGER
            budget.remember(remote, ledger, step.inputs.experiment)
    return step.code


def _require_pinned(step: Step, git: Git, latest: PublishedCopy) -> None:
    """End the job before the step that has secrets, unless a writer started just this."""
    name = step.inputs.experiment
    exposure = latest.document.experiments.get(name)
    if not latest.is_fresh or exposure is None:
        raise SecretsRefused(f"whether {name} may run with secrets here is unknown")
    why = pinned.why_unpinned(git, name, exposure, step.environment)
    if why is not None:
        raise SecretsRefused(why)


def run(step: Step) -> int:
    """`pairs` rounds of the experiment's own command; the step's exit code."""
    vault = SecretsVault.of(step.environment)
    try:
        with messages.commands_stopped():
            result = run_trials(
                TrialOptions(
                    experiment=step.inputs.experiment,
                    directory=step.root,
                    environment=step.environment,
                    pairs=step.inputs.pair_count(),
                    part=step.inputs.part or None,
                    leg=step.inputs.leg,
                    to=str(step.file),
                    propagate=False,
                    offline=True,
                    secrets=vault,
                ),
                _show,
            )
    except BaseException:
        step.tell(())  # what was written before goes up all the same
        raise
    if result.absent is not None:
        say = step.problem if result.absent.code in BROKEN else messages.say
        say(f"no trial was run: {result.absent.reason}")
    warnings = [w if vault is None else vault.strike(w) for w in result.unread]
    step.hand_on(result.trials, result.waiting, warnings)
    if any(one.status == "error" for one in result.trials):
        step.problem(f"{step.inputs.experiment}: some trials could not be run or verified")
    return result.exit_code if result.exit_code >= 128 else step.code


def _show(progress: TrialProgress) -> None:
    if progress.note:
        messages.annotate("warning", progress.note)
    elif progress.trial is None:
        messages.say(f"{progress.stage} {progress.arm} ({progress.done + 1}/{progress.total})")
