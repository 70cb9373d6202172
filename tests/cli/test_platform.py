"""Where expci runs."""

from __future__ import annotations

import subprocess
import sys


def test_a_system_without_fcntl_is_told_where_expci_runs() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import expci.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: expci runs on Linux and macOS")
    assert len(done.stderr.splitlines()) == 1
