"""Ask a database from a process of its own, so that a silent one holds up nothing for long."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import msgspec

from expci.store.git.time_limit import TimedOut, TimeLimits, run_limited
from expci.store.warehouse.request import SourceReply, SourceRequest

SECONDS = 120.0  # connecting, the query and its answer, of one experiment


def ask_source(request: SourceRequest, seconds: float = SECONDS) -> SourceReply:
    """What the source answers; one that does not in time is down."""
    limits = TimeLimits(seconds, seconds, seconds)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "request.json")
        file.write_bytes(msgspec.json.encode(request))
        # -P: nothing that lies in the repository is imported.
        command = [sys.executable, "-P", "-m", "expci.store.warehouse", str(file)]
        try:
            ended = run_limited(command, limits, cwd=Path(request.root), env=os.environ)
        except TimedOut:
            return SourceReply("down", f"did not answer within {seconds:g} seconds")
    try:
        return msgspec.json.decode(ended.stdout, type=SourceReply)
    except msgspec.MsgspecError:
        return SourceReply("down", f"its process ended with {ended.returncode} and no answer")
