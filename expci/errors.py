"""What can go wrong, each with the exit code that the shell sees.

Verdicts are values; these are for what stops a verb from doing its work. A message
says what is wrong *and what to do next*: it is all that the user reads.
"""

from __future__ import annotations


class ExpciError(Exception):
    """A verb could not do its work; nothing was left half done."""

    exit_code = 1


class UsageError(ExpciError):
    """The command line asks for something that does not exist or fit."""

    exit_code = 2


class GitError(ExpciError):
    """git refused. `stderr` is git's own answer."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class Unreachable(GitError):
    """The remote did not answer or refused the push; the work can go on without it."""


class Refused(Unreachable):
    """The remote answered, and refused the push. `code` is one of `store/git/refusal.py`."""

    def __init__(self, message: str, stderr: str = "", code: str = "") -> None:
        super().__init__(message, stderr)
        self.code = code


class LostRace(ExpciError):
    """Another writer moved the ref first; read again and try again."""


class Overtaken(LostRace):
    """Another writer changed the ledger so that nothing is left to write."""


class LedgerDamaged(ExpciError):
    """The ledger is missing, behind what was published, or unreadable."""


class InvalidRecord(ExpciError):
    """A trial, amendment or event that does not have the published shape."""


class NotOneFile(InvalidRecord):
    """An artifact that is no archive of exactly one file of at most the allowed size.

    `data` is what came of the archive itself.
    """

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class SecretsRefused(ExpciError):
    """What stands here was not started by a writer as it stands, so it gets no secret."""


class IllegalEvent(ExpciError):
    """The experiment's state does not allow this event; nothing was changed."""


class ForgeError(ExpciError):
    """The forge refused. `status` is the HTTP status of its answer, where there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ForgeUnreachable(ForgeError):
    """The forge did not answer, failed, or wants to be left alone; the next pass goes on.

    The action may have been done all the same.
    """


class NotPermitted(ForgeError):
    """The token may not do this; the message names the `permissions:` line that lets it."""


class PullsForbidden(NotPermitted):
    """The token may not open pull requests. On the page `compare` a person can."""

    def __init__(self, message: str, compare: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.compare = compare


class NotMergeable(ForgeError):
    """The pull request cannot be merged now: conflicts, checks, reviews, or it moved."""
