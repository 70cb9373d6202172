"""The user's checkout, lent to the arms of a trial, and given back byte for byte."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from expci.core.model.content import Paths
from expci.errors import ExpciError
from expci.runner import checkout
from expci.store.git.git import Git

IN_PLACE = "in-place"


@contextlib.contextmanager
def borrowed(git: Git, arms: Mapping[str, Paths]) -> Iterator[Path]:
    """The checkout with what stands at the arms' paths set aside; it is put back at the end."""
    try:
        checkout.set_aside(git, IN_PLACE, arms.values())
        yield git.root
    finally:
        checkout.give_back(git, IN_PLACE)


@contextlib.contextmanager
def lock(git: Git) -> Iterator[None]:
    """The checkout for one run alone, with what a killed one left in it put back."""
    path = git.git_dir / "expci" / "in-place.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        checkout.give_back(git, IN_PLACE)
        yield
    except BlockingIOError as error:
        raise ExpciError(
            f"another trial runs in place in {git.root}; wait for it, or leave out --in-place"
        ) from error
    finally:
        os.close(handle)


def recover(git: Git) -> bool:
    """Give back what a killed `--in-place` run left in the checkout; whether there was such."""
    if checkout.read(git, IN_PLACE) is None:
        return False
    try:
        with lock(git):
            return True
    except ExpciError:
        return False  # it is not dead
