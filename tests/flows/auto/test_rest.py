"""A pass that left nothing to do spares the next one its work, until something is new or due."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from expci.flows.auto.rest import rest_of
from expci.store.git import refs
from expci.store.inbox import send
from expci.store.ledger.settled_experiments import is_in_turn, next_turn
from expci.store.local.resting_pass import answer_at_rest
from expci.store.published import next_beat
from support.command import expci_command
from support.repositories import Repository, project
from support.stage import Stage

HOUR = timedelta(hours=1)
LIBRARIES = {"click", "subprocess", "json", "re", "dataclasses", "expci.cli", "expci.flows"}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A clone in which a pass has just found nothing to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GIT_CONFIG_NOSYSTEM")
        stage = Stage(project(tmp_path_factory.mktemp("quiet")), now=datetime.now(UTC))
        stage.begin()
        for _ in range(4):
            assert expci_command(stage.repository.path, "auto").returncode == 0
            if kept_in(stage.repository).exists():
                return stage
    raise AssertionError("every pass found something to do")


@pytest.fixture
def stage(quiet: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The same, in a clone of the test's own, where a pass has to leave its file again."""
    stage = quiet.copy(tmp_path / "own")
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM")
    monkeypatch.chdir(stage.repository.path)
    for _ in range(2):  # the copy's files are new, and its hour may be another
        assert expci_command(stage.repository.path, "auto").returncode == 0
        if answer_at_rest(["auto"]) is not None:
            return stage
    raise AssertionError("the pass did not rest")


def kept_in(repository: Repository) -> Path:
    return repository.path / ".git/expci/resting-pass"


def test_the_answer_is_that_of_the_pass_and_nothing_is_imported_for_it(stage: Stage) -> None:
    place = stage.repository.path
    for arguments in (["auto"], ["auto", "--json"]):
        whole = expci_command(place, *arguments)
        command = [sys.executable, "-X", "importtime", "-m", "expci", *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "expci.store.local.resting_pass" in imported
        assert imported & LIBRARIES == set()
        assert done.stdout == whole.stdout
    assert answer_at_rest(["auto", "--dry-run"]) is None
    assert answer_at_rest(["auto", "--part", "0/2"]) is None
    assert answer_at_rest(["auto", "-C", "."]) is None
    assert answer_at_rest(["status"]) is None


def test_whatever_is_new_has_a_pass_look(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, remote = stage.repository, stage.context.store.remote
    spool, gone = kept_in(repository).parent / "spool/speed", repository.origin.with_name("gone")
    batch = send.encode(["no record"])
    defaults = repository.path / "experiments/expci.yml"

    def passes() -> None:
        assert expci_command(repository.path, "auto").returncode == 0

    def waits() -> None:
        spool.mkdir(parents=True, exist_ok=True)
        (spool / "batch.jsonl").touch()

    happenings: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "a batch": (
            lambda: send.send(remote, "speed", batch),
            lambda: repository.push(f":{refs.inbox('speed', send.batch_name(batch))}"),
        ),
        "a branch": (
            lambda: repository.push("HEAD:refs/heads/other"),
            lambda: repository.push(":refs/heads/other"),
        ),
        "a stranger's mark": (
            lambda: repository.push(f"HEAD:{refs.IDLE}/0"),
            lambda: repository.push(f":{refs.IDLE}/0"),
        ),
        "a commit here": (lambda: repository.git("commit", "-qm", "Here", "--allow-empty"), passes),
        "configuration": (lambda: repository.git("config", "core.abbrev", "9"), passes),
        "defaults of the repository": (
            lambda: defaults.write_text("timeout: 5m\n"),
            defaults.unlink,
        ),
        "a record that waits": (waits, (spool / "batch.jsonl").unlink),
        "a forge": (
            lambda: monkeypatch.setenv("GITHUB_REPOSITORY", "ada/work"),
            lambda: monkeypatch.delenv("GITHUB_REPOSITORY"),
        ),
        "settings of git": (
            lambda: monkeypatch.setenv("GIT_CONFIG_COUNT", "0"),
            lambda: monkeypatch.delenv("GIT_CONFIG_COUNT"),
        ),
        "no remote": (
            lambda: repository.origin.rename(gone),
            lambda: gone.rename(repository.origin),
        ),
    }
    for what, (happen, undo) in happenings.items():
        assert answer_at_rest(["auto"]) is not None, what
        happen()
        assert answer_at_rest(["auto"]) is None, what
        undo()
    assert answer_at_rest(["auto"]) is not None
    assert answer_at_rest(["auto", "--forge", "local"]) is None


def test_it_ends_at_its_time(stage: Stage) -> None:
    file = kept_in(stage.repository)
    *words, at, until, remote, listing, text, document = file.read_text().split("\0")
    now = time.time()
    assert float(at) <= now < float(until) <= float(at) + 24 * 3600
    for begin, end in ((at, now - 1), (now + 60, now + 120), (now - 25 * 3600, now + 60)):
        fields = [*words, str(begin), str(end), remote, listing, text, document]
        file.write_text("\0".join(fields))
        assert answer_at_rest(["auto"]) is None
    file.write_text("\0".join([*words, at, until, remote, listing]))
    assert answer_at_rest(["auto"]) is None
    file.unlink()
    assert answer_at_rest(["auto"]) is None


def test_another_work_tree_keeps_and_believes_nothing(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = kept_in(stage.repository)
    kept.unlink()
    stage.repository.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    assert expci_command(tmp_path / "linked", "auto").returncode == 0
    assert not kept.exists()
    assert expci_command(stage.repository.path, "auto").returncode == 0
    monkeypatch.chdir(tmp_path / "linked")
    assert answer_at_rest(["auto"]) is None
    monkeypatch.chdir(stage.repository.path)
    assert answer_at_rest(["auto"]) is not None


def test_what_was_not_looked_at_rests_until_its_turn_at_most(repository: Repository) -> None:
    """Whoever may push refs can write that everything rests for a day."""
    stage = Stage(repository)
    while not is_in_turn("speed", stage.now + 3 * HOUR):
        stage.now += HOUR
    stage.begin()
    for _ in range(4):
        done = stage.auto()
    assert list(done.settled) == ["speed"]
    assert done.rest is not None
    beat = next_beat(stage.context.store.snapshot(inbox=False).published)
    assert beat is not None
    assert stage.now + 3 * HOUR < beat
    assert done.rest.until == next_turn("speed", stage.now) == stage.now + 3 * HOUR
    stage.now += 4 * HOUR
    for _ in range(2):
        done = stage.auto()
    assert done.rest is not None
    assert done.rest.until <= beat


def test_a_pass_that_has_something_to_say_rests_not(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin()
    for _ in range(3):
        done = stage.auto()
    context = stage.context
    before = context.store.remote.listing()
    assert rest_of(context, done, before) is not None
    assert rest_of(context, done, before[:-1]) is None
    assert rest_of(replace(context, forge_name="ada/work"), done, before) is None
    assert rest_of(context, replace(done, dry_run=True), before) is None
    assert rest_of(context, replace(done, settled={}, at_rest={}), before) is None
    for trace in ({"sent": 1}, {"actions": [("speed", "x")]}, {"problems": [("speed", "x")]}):
        assert not replace(done, **trace).is_quiet
