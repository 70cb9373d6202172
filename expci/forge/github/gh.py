"""The token of GitHub's own command line, where a person has logged in with it."""

from __future__ import annotations

import subprocess

TIMEOUT = 10.0  # seconds


def gh_token(host: str) -> str | None:
    """What `gh auth token` prints for this host; `None` without `gh`, or without a login."""
    command = ["gh", "auth", "token", "--hostname", host]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
