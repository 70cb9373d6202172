"""Where expci runs."""

from __future__ import annotations

import subprocess
import sys

import pytest


def without_fcntl(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where the module is missing, as on Windows."""
    code = f"import runpy, sys; sys.modules['fcntl'] = None; {code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import expci.cli",
        "sys.argv = ['expci', '--help']; from expci.cli import main; main()",
        "sys.argv = ['expci', 'status']; runpy.run_module('expci', run_name='__main__')",
        "sys.argv = ['expci', 'assign', 'x']; runpy.run_module('expci', run_name='__main__')",
        "import expci.core.analysis.analyze",
    ],
)
def test_a_system_without_fcntl_is_told_where_expci_runs(code: str) -> None:
    done = without_fcntl(code)
    assert done.returncode == 1
    assert done.stderr.startswith("error: expci runs on Linux and macOS")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
