"""`expci init`: the directory of experiments, its defaults and a word of explanation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expci.core.defaults import DEFAULTS_FILE
from expci.core.model import EXPERIMENTS_ROOT
from expci.errors import ExpciError
from expci.flows.directory import refuse_links

README_FILE = f"{EXPERIMENTS_ROOT}/README.md"

DEFAULTS_TEXT = """\
# What holds for every experiment of this repository. A key in an experiment's own file wins;
# `expci validate --explain` shows where each value comes from.
version: 1

# roots: [experiments]            # directories that hold experiments
# ledger: refs/expci/ledger       # the ref that keeps plans, trials and decisions
# mirror_branch: true             # also show the ledger as the branch expci-ledger
# remote: origin

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


@dataclass(frozen=True)
class InitResult:
    """What `expci init` did: paths relative to the repository.

    `kept` were there already and are as expci writes them, `changed` were there and differ.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    changed: tuple[str, ...]


def initialize(root: Path) -> InitResult:
    """Write what is missing below `root`, the top of the work tree; overwrite nothing."""
    refuse_links(root, EXPERIMENTS_ROOT)
    directory = root / EXPERIMENTS_ROOT
    if directory.exists() and not directory.is_dir():
        raise ExpciError(f"{EXPERIMENTS_ROOT} is a file; experiments need a directory of that name")
    directory.mkdir(exist_ok=True)
    written: list[str] = []
    kept: list[str] = []
    changed: list[str] = []
    for name, text in ((DEFAULTS_FILE, DEFAULTS_TEXT), (README_FILE, README_TEXT)):
        if _write_new(root / name, text):
            written.append(name)
        else:
            (kept if _holds(root / name, text) else changed).append(name)
    return InitResult(tuple(written), tuple(kept), tuple(changed))


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
