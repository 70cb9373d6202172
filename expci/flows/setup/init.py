"""`expci init`: the directory of experiments with its defaults, and the workflows that run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from expci.core.model.experiment import DEFAULTS_FILE, EXPERIMENTS_ROOT
from expci.core.model.limits import HOME
from expci.core.spec.schema_address import modeline
from expci.errors import ExpciError
from expci.flows.setup import workflows
from expci.flows.setup.workflows import Caller, Status
from expci.flows.working_tree import refuse_links

README_FILE = f"{EXPERIMENTS_ROOT}/README.md"

DEFAULTS_TEXT = f"""\
{modeline("expci")}
# What holds for every experiment of this repository. A key in an experiment's own file wins;
# `expci validate --explain` shows where each value comes from.
version: 1

# roots: [experiments]            # directories that hold experiments
# ledger: refs/expci/ledger       # the ref that keeps plans, trials and decisions; also a branch
#                                 # such as refs/heads/expci-ledger, which a ruleset can protect
# transport: artifact             # count only what the CI's own records vouch for, no pushed trials
# mirror_branch: true             # also show the ledger as the branch expci-ledger
# remote: origin
# cron: "23 * * * *"              # when the pass is due; `expci init` writes it into its workflow
# page: https://octocat.github.io/tools   # where the page of `expci site` is published
# retention_days: 365             # `expci gc` may remove the trials of what ended longer ago
# after_revert: [deploy.yml]      # workflows to start when a workflow's own token pushed a revert

# owner: octocat
# timeout: 30m                    # how long one trial may take
# warmup: 1                       # lab: runs discarded per arm and job
# share: [node_modules, .venv]    # lab: untracked paths that both arms use

# assignment:
#   unit: run                     # run, job, pr, actor or custom
# plan:
#   alpha: 0.05
#   max_days: 14
# decision:
#   promote: pr                   # pr, merge or never
#   rollback: auto                # auto or manual
#   watch_days: 7
"""

README_TEXT = """\
# Experiments

One directory is one experiment: `experiment.yml` says what is compared and how a result is
judged, the files beside it are what the treatment changes.

    expci create --hypothesis "X cuts build time by 15% within 14 days." \\
        --primary-metric duration_s --file build.sh --run ./build.sh
    expci validate           # what is wrong, with line and fix; --explain shows every value
    expci plan ID            # how many trials it takes
    expci start ID           # after the commit
    expci status             # how all of them stand

`expci.yml` holds the defaults. Trials, decisions and reports are kept in git, not here.
"""


LEFT_TO_DO = """\
Left to do:

1. Let a job take part: two lines around its work. It needs no permission for them.

      - uses: {home}/.github/actions/assign@{pin}
        with: {{slot: build}}
      # … the job's own steps …
      - uses: {home}/.github/actions/record@{pin}
        if: always()
        with: {{slot: build}}

   Experiments ask for it with `slot: build`. Lab experiments need no such lines.

2. Let promote pull requests start your checks: GitHub starts no workflow for a pull request
   that a workflow's own token opened. Make a GitHub App, put its client id into the variable
   EXPCI_APP_CLIENT_ID and its key into the secret EXPCI_APP_PRIVATE_KEY. Without it, allow
   workflows to create pull requests (Settings, Actions, General).
   https://github.com/{home}/blob/{pin}/docs/github.md

3. Commit this, and merge it to the default branch: schedules and comments start only there.
"""
PUBLISH_THE_PAGE = """\
Let Pages publish the page: Settings, Pages, Source: "GitHub Actions". Then say where it is,
   so that comments link to it: `page: https://OWNER.github.io/REPO` in experiments/expci.yml.
"""

LAB_ENVIRONMENT = """\
Make the environment {name} (Settings, Environments) and put {secrets} there, not into the
   repository's secrets. Name reviewers for it if not everybody with write access may spend them.
"""

Agree = Callable[[Caller], bool]


@dataclass(frozen=True)
class InitResult:
    """What `expci init` did: paths relative to the repository.

    `kept` were there already and are as expci writes them, `changed` were there, differ and
    were left alone. `updated` are workflows that were overwritten, `refused` those that a
    person edited and that would have to be.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    changed: tuple[str, ...]
    updated: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def initialize(
    root: Path,
    pin: str | None = None,
    *,
    home: str | None = None,
    lab_secrets: Sequence[str] | None = None,
    site: bool = False,
    agree: Agree = lambda _: False,
    show: Callable[[Caller], None] = lambda _: None,
) -> InitResult:
    """Write what is missing below `root`, the top of the work tree.

    `pin` is the commit of expci that the workflows call, `None` for no workflows, in the
    repository `home`; with `site` also the one that publishes the page. `lab_secrets` names the
    secrets that lab trials get, `None` leaves them as they are. `show` gets each workflow that
    differs before it changes, `agree` decides on those that a person edited. Nothing else
    that is there is overwritten.
    """
    refuse_links(root, EXPERIMENTS_ROOT)
    directory = root / EXPERIMENTS_ROOT
    if directory.exists() and not directory.is_dir():
        raise ExpciError(f"{EXPERIMENTS_ROOT} is a file; experiments need a directory of that name")
    callers = [] if pin is None else workflows.callers(root, pin, home, lab_secrets, site=site)
    directory.mkdir(exist_ok=True)
    done = _Done()
    for name, text in ((DEFAULTS_FILE, DEFAULTS_TEXT), (README_FILE, README_TEXT)):
        if _write_new(root / name, text):
            done.written.append(name)
        else:
            (done.kept if _holds(root / name, text) else done.changed).append(name)
    for caller in callers:
        _write_caller(root, caller, done, agree, show)
    return done.result()


def left_to_do(
    pin: str, home: str = HOME, lab_secrets: Sequence[str] = (), *, site: bool = False
) -> str:
    """What a person still has to do once the workflows are there."""
    text = LEFT_TO_DO.format(home=home, pin=pin)
    secrets = ", ".join(lab_secrets)
    environment = LAB_ENVIRONMENT.format(name=workflows.ENVIRONMENT, secrets=secrets)
    steps = [environment] * bool(lab_secrets) + [PUBLISH_THE_PAGE] * site
    return text + "".join(f"\n{number}. {step}" for number, step in enumerate(steps, 4))


class _Done:
    def __init__(self) -> None:
        self.written: list[str] = []
        self.kept: list[str] = []
        self.changed: list[str] = []
        self.updated: list[str] = []
        self.refused: list[str] = []

    def result(self) -> InitResult:
        lists = (self.written, self.kept, self.changed, self.updated, self.refused)
        return InitResult(*(tuple(each) for each in lists))


def _write_caller(
    root: Path, caller: Caller, done: _Done, agree: Agree, show: Callable[[Caller], None]
) -> None:
    if caller.status is Status.CURRENT:
        done.kept.append(caller.path)
    elif caller.status is Status.EDITED:
        done.changed.append(caller.path)
    elif caller.status is Status.MISSING:
        _write(root / caller.path, caller.wanted)
        done.written.append(caller.path)
    else:
        show(caller)
        if caller.status is Status.OURS or agree(caller):
            _write(root / caller.path, caller.wanted)
            done.updated.append(caller.path)
        else:
            done.refused.append(caller.path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_new(path: Path, text: str) -> bool:
    """Write a file that is not there; False when something is."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
