"""What the first round shows to be wrong with the set-up, reported at once.

The work tree lacks what the command needs, control itself fails, or the metric that decides
was not reported.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from expci.core.model.arm import CONTROL
from expci.core.model.trial import MEASURED, Trial
from expci.store.git.git import Git

NO_SUCH_COMMAND = 127  # a shell's exit code for a command that it does not find (POSIX, 2.8.2)
_BAD = ("failed", "error", "timeout")


def complaints(
    git: Git,
    trials: Sequence[Trial],
    codes: Sequence[int],
    shared: Collection[str],
    primary: str | None,
) -> Iterator[str]:
    """Yield each likely mistake and its remedy. `codes` are the exit codes of `trials`."""
    if not trials:
        return
    if all(trial.status in _BAD for trial in trials):
        yield _all_failed(git, trials, codes, shared)
    else:
        yield from _control_failed(git, trials, codes, shared)
    if primary is not None:
        yield from _not_reported(trials, primary)
        yield from _measured_otherwise(trials, primary)


def _all_failed(
    git: Git, trials: Sequence[Trial], codes: Sequence[int], shared: Collection[str]
) -> str:
    how = ", ".join(f"{trial.arm}: {trial.status}" for trial in trials)
    return (
        f"every run of the first round failed ({how}), so nothing can be compared. "
        f"{_no_command(codes)}{_hint(git, shared)}"
    )


def _control_failed(
    git: Git, trials: Sequence[Trial], codes: Sequence[int], shared: Collection[str]
) -> Iterator[str]:
    both = zip(trials, codes, strict=True)
    own = [code for trial, code in both if trial.arm == CONTROL and trial.status in _BAD]
    if own:
        yield (
            f"control failed with code {own[0]}, and control is the repository as it is: the "
            f"comparison means nothing until that works. {_no_command(own)}{_hint(git, shared)}"
        )


def _no_command(codes: Sequence[int]) -> str:
    if NO_SUCH_COMMAND not in codes:
        return ""
    return f"Code {NO_SUCH_COMMAND} means that a command was not found. "


def _hint(git: Git, shared: Collection[str]) -> str:
    absent = [name for name in ignored_directories(git) if name not in shared]
    if not absent:
        return "Try the command in a fresh clone of this commit: that is where a trial runs."
    names = ", ".join(absent[:5])
    return (
        f"A trial runs in a fresh work tree of the commit, without what git ignores: {names}. If "
        f"the command needs it, write `share: [{names}]`, or install it in `setup:`"
    )


def ignored_directories(git: Git) -> list[str]:
    """Top-level directories of the checkout that git ignores, such as node_modules."""
    listed = git.attempt(
        *("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    )
    names = listed.stdout.decode(errors="replace").split("\0")
    return [name[:-1] for name in names if name.endswith("/") and name.count("/") == 1]


def _not_reported(trials: Sequence[Trial], primary: str) -> Iterator[str]:
    lacking = [t for t in trials if t.status == "ok" and primary not in t.metrics]
    if not lacking:
        return
    reported = sorted(set().union(*(trial.metrics for trial in lacking)))
    arms = " and ".join(dict.fromkeys(trial.arm for trial in lacking))
    yield (
        f"{arms} did not report the primary metric {primary}, so the run decides nothing. "
        f"{_meant(primary, reported)}"
    )


def _measured_otherwise(trials: Sequence[Trial], primary: str) -> Iterator[str]:
    """`duration`, reported where expci measures `duration_s` itself and goes by that."""
    reported = sorted(set().union(*(trial.metrics for trial in trials)))
    meant = [name for name in reported if primary in MEASURED and primary.startswith(f"{name}_")]
    for name in meant:
        yield (
            f"the command reports {name}, and the primary metric {primary} is what expci measured "
            f"of the whole command. If {name} is meant, give it a name of its own, such as "
            f"work_{primary.removeprefix(f'{name}_')}, and make that the primary metric."
        )


def _meant(primary: str, reported: Sequence[str]) -> str:
    # `duration` is meant as `duration_s` more often than as any name that looks more alike.
    close = [name for name in reported if name.startswith(f"{primary}_")]
    close += difflib.get_close_matches(primary, reported, n=1)
    if close:
        return f"Did you mean {close[0]}? Reported were: {', '.join(reported)}."
    own = [name for name in reported if name not in MEASURED]
    also = f" Reported were: {', '.join(own)}." if own else ""
    return (
        f"Have the command write {primary}=VALUE to the file that $EXPCI_METRICS names, or name "
        f"its tool's file in `metrics_from:`; a value that comes later goes to `expci record "
        f"--trial ID`.{also}"
    )
