"""The peak memory of small commands, which wait4 cannot tell from expci's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from expci.runner.measure.peak_memory import PeakMemory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
# Touches every page of 60 MB, then frees them: only a high-water mark remembers.
BIG = "import time; x = bytearray(b'1' * 60_000_000); del x; time.sleep(1)"


def peak(*command: str) -> int:
    child = subprocess.Popen(command)
    memory = PeakMemory(child.pid)
    child.wait()
    return memory.stop()


def test_a_small_command_shows_its_own_peak() -> None:
    assert 0 < peak("sleep", "1") < 5_000


def test_a_command_that_is_over_at_once_shows_none_rather_than_its_first_page() -> None:
    for _ in range(20):
        kib = peak("true")
        assert kib == 0 or kib > 500


def test_the_largest_of_the_tree_counts_even_when_it_has_freed_its_memory() -> None:
    kib = peak("sh", "-c", f'{sys.executable} -S -c "{BIG}"; true')
    assert 60_000_000 / 1024 < kib < 200_000
