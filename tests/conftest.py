"""Real git repositories to work in."""

from __future__ import annotations

import gc
import itertools
import math
import os
import venv
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("support")

from support import properties  # noqa: E402
from support.processes import PATIENT  # noqa: E402
from support.repositories import Repository, project  # noqa: E402

# The gate answers the same for the same code; `make seeds` looks at new inputs every time.
settings.register_profile("gate", derandomize=True, deadline=None, database=None)
settings.register_profile("nightly", deadline=None, database=None, print_blob=True)
settings.load_profile(properties.PROFILE)

# Where tests take longest, longest first: all processors are busy to the end.
LONGEST = ("workflows", "test_docs.py", "docs", "stories", "actions", "flows", "cli", "runner")


# What tests see of the environment of whoever runs them; every process that they start copies it.
KEPT = (
    *("PATH", "LANG", "LC_", "TMPDIR", "LD_LIBRARY_PATH", "JAVA_HOME", "PLAYWRIGHT_"),
    *("PYTEST_", "HYPOTHESIS_", "COV", "OMP_", "OPENBLAS_"),
    *("PIP_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy"),
)


@pytest.hookimpl(optionalhook=True)  # there is none without xdist
def pytest_xdist_auto_num_workers() -> int:
    """Two more than processors: some tests wait for act, a server or a killed process."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each worker imports another part of the files first.

    Else all rewrite the assertions of the same file at the same time; so most find what another
    has written. `pytest_collection_modifyitems` puts them in one order again.
    """
    report = yield
    if collector.path == Path(__file__).parent and report.result:
        first = len(report.result) * _worker() // _workers()
        report.result = report.result[first:] + report.result[:first]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests to the parts that the workers begin with (`--dist worksteal`).

    The parts are equal in number, whatever takes long stands first in each, and what is taken from
    the end of one is short.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    hands: list[list[pytest.Item]] = [[] for _ in range(_workers())]
    longest = sorted((path for path in files if _room(path) in LONGEST), key=_order)
    for number, path in enumerate(longest):
        hands[number % len(hands)] += files.pop(path)
    short = itertools.chain.from_iterable(files[path] for path in sorted(files, key=_order))
    equal = math.ceil(len(items) / len(hands))
    for hand in hands:
        hand.extend(itertools.islice(short, max(0, equal - len(hand))))
    items[:] = itertools.chain(*hands, short)


def pytest_collection_finish() -> None:
    """What stays to the end is not searched for garbage again and again, nor in forked processes.

    All modules and tests are there by now, some hundred megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _room(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def _order(path: Path) -> tuple[int, Path]:
    room = _room(path)
    return LONGEST.index(room) if room in LONGEST else len(LONGEST), path


def _workers() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(autouse=True, scope="session")
def quiet_git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests see no configuration, token or CI of whoever runs them."""
    home = tmp_path_factory.mktemp("home")
    (home / "template" / "hooks").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        '[protocol "file"]\nallow = always\n'
        # No housekeeping, nothing waits for the disk, no sample hooks. A server looks for what it
        # has in the repositories that it borrows objects of: here in none, by no process of git.
        "[gc]\nauto = 0\n[maintenance]\nauto = false\n[receive]\nautogc = false\n"
        "[core]\nfsync = none\nalternateRefsCommand = true\n[pack]\nthreads = 1\n"
        f"[init]\ntemplateDir = {home / 'template'}\n"
        # Nobody asks the real repository of expci's actions.
        f'[url "{home}/nowhere/"]\ninsteadOf = https://github.com/expci/\n'
    )
    # The `python3` of projects under test: nothing is installed in it, and it starts fast.
    venv.create(home / "python", symlinks=True)
    kept = dict(os.environ)
    for key in list(os.environ):
        if not key.startswith(KEPT):
            del os.environ[key]
    os.environ["PATH"] = f"{home / 'python' / 'bin'}{os.pathsep}{kept['PATH']}"
    os.environ["HOME"] = str(home)
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    os.environ.update(PATIENT)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[str], Repository]:
    def make(name: str = "work") -> Repository:
        return project(tmp_path, name)

    return make


@pytest.fixture
def repository(make_repository: Callable[..., Repository]) -> Repository:
    return make_repository()
