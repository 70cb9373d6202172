"""What `experiments/expci.yml` says holds for trials too, wherever experiments lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expci.core.spec.repository_defaults import read_defaults
from expci.runner.lab.runnable import runnable
from expci.runner.published_copy import fetch_published
from expci.store.git.remote import Remote
from support.clones import Clone, make_clone

DEFAULTS = "experiments/expci.yml"


def published(tmp_path: Path, defaults: str, keys: str = "run: sh tool.sh") -> Clone:
    clone = make_clone(tmp_path, keys)
    clone.write({DEFAULTS: defaults})
    clone.commit("defaults")
    clone.publish()
    return clone


def test_the_repositorys_timeout_ends_a_trial(tmp_path: Path) -> None:
    clone = published(tmp_path, "version: 1\ntimeout: 1s\n", "run: sleep 60")
    clone.expci("trial", "faster")
    assert [trial.status for trial in clone.arrived()] == ["timeout", "timeout"]


def test_an_experiments_own_keys_win(tmp_path: Path) -> None:
    defaults = "version: 1\ntimeout: 1s\nwarmup: 2\nshare: [cache]\n"
    keys = "timeout: 10m\nwarmup: 0\nrun: sleep 1.2; test -e cache/it && echo shared"
    clone = published(tmp_path, defaults, keys)
    clone.write({".git/info/exclude": "cache\n", "cache/it": ""})
    done = clone.expci("trial", "faster")
    assert done.stdout.split() == ["shared", "shared"], "no warm-up ran, and the cache was linked"
    assert [trial.status for trial in clone.arrived()] == ["ok", "ok"]


def test_a_trial_keeps_the_defaults_that_its_plan_was_frozen_with(tmp_path: Path) -> None:
    clone = published(tmp_path, "version: 1\nwarmup: 1\n", "run: echo ran")
    clone.write({DEFAULTS: "version: 1\nwarmup: 5\n"})
    clone.commit("more warm-up")
    assert len(clone.expci("trial", "faster").stdout.split()) == 4


@pytest.fixture
def elsewhere(tmp_path: Path) -> Clone:
    """An experiment of a service, in a repository with several."""
    clone = make_clone(tmp_path)
    (clone.root / "services/api").mkdir(parents=True)
    clone.publish()
    (clone.root / "experiments").rename(clone.root / "services/api/experiments")
    clone.write({DEFAULTS: "version: 1\nroots: [experiments, services/api/experiments]\n"})
    clone.commit("roots")
    return clone


def test_a_trial_looks_where_the_roots_say(elsewhere: Clone) -> None:
    assert elsewhere.expci("trial", "faster").returncode == 0
    assert len(elsewhere.arrived()) == 2
    assert elsewhere.expci("trial", "faster", "--pilot").returncode == 0


def test_a_job_looks_where_the_roots_say(elsewhere: Clone) -> None:
    document = fetch_published(Remote.of(elsewhere.git)).document
    assert runnable(elsewhere.git, document) == ["faster"]
    asked = elsewhere.expci("assign", "faster", "--unit", "run-1", "--json")
    assert json.loads(asked.stdout)["assignments"][0]["arm"] in ("control", "treatment")


def test_defaults_that_a_job_cannot_read_keep_it_out_and_say_so(elsewhere: Clone) -> None:
    elsewhere.write({DEFAULTS: "version: 1\nroots: &all [services/api/experiments]\n"})
    elsewhere.commit("an anchor")
    asked = elsewhere.expci("assign", "faster", "--unit", "run-1", "--json")
    answer = json.loads(asked.stdout)["assignments"][0]
    assert answer["reason_code"] == "defaults_broken"
    assert "experiments/expci.yml:2" in answer["reason"]


def test_defaults_that_a_job_would_not_read_are_refused_before_it_runs() -> None:
    [problem] = read_defaults("version: 1\nroots:\n  - a\n  -\n    b\n").problems
    assert problem.line in (2, 4)
    assert "trial job" in problem.message
    assert not read_defaults("version: 1\ntimeout: 1h30m\nshare:\n  - .venv\n").problems
