"""Shell completion: the script for a shell, and the candidates that it asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from expci.cli.options import place
from expci.errors import ExpciError

if TYPE_CHECKING:
    from expci.core.spec.job_reader import PlainSpec
    from expci.store.git.git import Git

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the completion script of a shell: verbs, options, ids, slots and arms.

    \b
    bash  echo 'eval "$(expci completion bash)"' >> ~/.bashrc
    zsh   echo 'eval "$(expci completion zsh)"' >> ~/.zshrc
    fish  expci completion fish > ~/.config/fish/completions/expci.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    script = get_completion_class(shell)
    if script is None:  # pragma: no cover - click knows the three
        raise ExpciError(f"there is no completion for {shell}")
    click.echo(script(root, {}, "expci", "_EXPCI_COMPLETE").source())
    return 0


Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(names: Callable[[Git], set[str]]) -> Completer:
    """Return what click asks for candidates: the `names` in this repository that fit."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        git = _git(context)
        candidates = set() if git is None else names(git)
        return sorted(name for name in candidates if name.startswith(incomplete))

    return complete


@_completer
def experiment_ids(git: Git) -> set[str]:
    """Return the experiments on disk and those that this clone knows as started."""
    from expci.runner.published_copy import last_read

    return {path.parent.name for path in _specs(git)} | set(last_read(git).document.experiments)


@_completer
def slots(git: Git) -> set[str]:
    """Return the slots that the experiments on disk ask for."""
    return {spec.slot for path in _specs(git) if (spec := _read(path)) and spec.slot}


@_completer
def arms(git: Git) -> set[str]:
    """Return the arms of the experiment that the command line names; of all without one."""
    paths = list(_specs(git))
    # A line that ends in an option without its value is not parsed, so the words are read here.
    words = os.environ.get("COMP_WORDS", "").split()
    named = [path for path in paths if path.parent.name in words]
    return {arm for path in named or paths if (spec := _read(path)) for arm in spec.arms}


def _git(context: click.Context) -> Git | None:
    from expci.store.git.git import Git

    try:
        with context.scope(cleanup=False):
            return Git.at(place(context.params.get("directory")))
    except (ExpciError, OSError):
        return None


def _specs(git: Git) -> Iterator[Path]:
    from expci.runner.experiment_files import ROOTS, defaults_on_disk

    try:
        roots = defaults_on_disk(git).roots or ROOTS
    except ExpciError:
        roots = ROOTS
    for root in roots:
        yield from sorted((git.root / root).glob("*/experiment.yml"))


def _read(path: Path) -> PlainSpec | None:
    from expci.core.spec.job_reader import read_plain

    try:
        return read_plain(path.read_text(errors="replace"))
    except (ExpciError, OSError):
        return None
