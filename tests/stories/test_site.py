"""`expci site` on a repository that has lived: pages, links, and what is written again."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from expci.core.model.trial import Trial
from expci.flows.verbs.lifecycle import stop
from expci.flows.verbs.site import SiteResult, site
from expci.store.ledger.transaction import LedgerChange, Snapshot
from support.repositories import project
from support.specimen import SPEC
from support.stage import Stage

pytestmark = pytest.mark.slow
KEEP = os.environ.get("EXPCI_KEEP_SITE")  # a directory, for whoever wants to look at it
ATOM = "{http://www.w3.org/2005/Atom}"
WEB = "https://github.com/octocat/tools"
FRONT = {"index.html", "portfolio.json", "feed.xml", "badge.svg"}


def in_ci(trials: Callable[..., list[Trial]], *arguments: object, **changes: object) -> None:
    context = {"run_id": "4711", "repository": "octocat/tools", "actor": "ada"}
    trials(*arguments, context=context, **changes)


def write(stage: Stage, directory: Path) -> SiteResult:
    return site(replace(stage.context, web=WEB), directory)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """One experiment that won and is watched, one that goes on, one that was stopped."""
    repository = project(tmp_path_factory.mktemp("lived"))
    repository.write("work.sh", "echo slow\n", executable=True)
    repository.commit("Work")
    repository.push("HEAD:main")
    stage = Stage(repository)
    for name, title in (("cache", "Cache the tool chain"), ("speed", "Faster work")):
        stage.begin(name, SPEC.replace("Faster work", title))
    for _ in range(5):
        in_ci(stage.pairs, 3, 0.8, "speed")
        in_ci(stage.pairs, 2, 0.98, "cache")
        stage.now += timedelta(hours=9)
        stage.auto()
    stage.merge_promotion("speed")
    other = "echo other flags\nsleep 0.004\n"
    stage.begin("flags", SPEC.replace("Faster work", "Other compiler flags"), other)
    in_ci(stage.pairs, 4, 1.02, "flags")
    stage.auto()
    learned = "The flags were never the slow part."
    stop(stage.context, "flags", "not worth more trials", learned)
    stage.auto()
    return stage


@pytest.fixture
def stage(lived: Stage, tmp_path: Path) -> Stage:
    """Its copy."""
    return lived.copy(tmp_path / "stage")


def test_the_page_of_a_repository(stage: Stage, tmp_path: Path) -> None:
    done = write(stage, tmp_path / "page")
    pages = {"cache.html", "flags.html", "speed.html"}
    assert set(done.written) == pages | FRONT
    assert {path.name for path in (tmp_path / "page").iterdir()} == pages | FRONT | {"pages.json"}
    index = (tmp_path / "page" / "index.html").read_text()
    for word in ("Faster work", "Cache the tool chain", "The flags were never the slow part."):
        assert word in index
    speed = (tmp_path / "page" / "speed.html").read_text()
    assert f'href="{WEB}/actions/runs/4711"' in speed
    assert f"{WEB}/tree/" in speed
    assert '<span class="added">+' in speed
    trials = stage.context.store.snapshot().ledger.trials("speed")
    on_each_screen = 2  # the picture for desktops and the one for phones
    drawn = speed.count('class="trial arm0')
    assert drawn == on_each_screen * len([t for t in trials if t.arm == "control"])
    if KEEP:
        shutil.copytree(tmp_path / "page", KEEP, dirs_exist_ok=True)


def test_the_portfolio_and_the_feed_are_for_machines(stage: Stage, tmp_path: Path) -> None:
    page = tmp_path / "page"
    write(stage, page)
    document = json.loads((page / "portfolio.json").read_text())
    assert document["schema"] == "expci.portfolio/1"
    states = {item["id"]: item["state"] for item in document["experiments"]}
    assert states == {"cache": "running", "flags": "stopped", "speed": "watching"}
    feed = ET.fromstring((page / "feed.xml").read_text())
    titles = [entry.findtext(f"{ATOM}title") for entry in feed.iter(f"{ATOM}entry")]
    assert titles[0] == "Other compiler flags: stopped"
    assert "Faster work: promoted" in titles
    # RFC 4287, 4.1.1 and 4.2.7: author, id, updated, and the feed itself, by a relative reference.
    assert {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")} == {
        "self": "feed.xml",
        "alternate": "index.html",
    }
    ids = [
        feed.findtext(f"{ATOM}id"),
        *(e.findtext(f"{ATOM}id") for e in feed.iter(f"{ATOM}entry")),
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"tag:[a-z]+,\d{4}:[\w.~%/-]+", id or "") for id in ids)  # RFC 4151
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == "expci"
    moments = [item.text or "" for item in feed.iter(f"{ATOM}updated")]
    assert all(datetime.fromisoformat(moment).tzinfo for moment in moments)
    for entry in feed.iter(f"{ATOM}entry"):  # RFC 4287, 4.1.2: content, or a link to it
        assert entry.findtext(f"{ATOM}content") or entry.find(f"{ATOM}link") is not None
    ET.fromstring((page / "badge.svg").read_text())


def test_only_what_changed_is_written_again(stage: Stage, tmp_path: Path) -> None:
    page = tmp_path / "page"
    write(stage, page)
    times = {path.name: path.stat().st_mtime_ns for path in page.glob("*.html")}
    again = write(stage, page)
    assert (set(again.written), again.unchanged) == (FRONT, 3)
    in_ci(stage.pairs, 2, 0.98, "cache")
    stage.auto()
    third = write(stage, page)
    assert set(third.written) - FRONT == {"cache.html"}
    for name in ("flags.html", "speed.html"):
        assert (page / name).stat().st_mtime_ns == times[name]
    (page / "speed.html").unlink()
    assert "speed.html" in write(stage, page).written


MANY = 200
SECONDS = 4  # of processor time for them; half of it on two idle cores


def test_many_experiments_take_little_time(stage: Stage, tmp_path: Path) -> None:
    multiply(stage, MANY)
    page = tmp_path / "page"
    began = time.process_time()
    done = write(stage, page)
    spent = time.process_time() - began
    assert (len(done.written), done.problems) == (MANY + 3 + len(FRONT), ())
    assert spent < SECONDS
    began = time.process_time()
    assert set(write(stage, page).written) == FRONT
    assert time.process_time() - began < SECONDS / 2


def multiply(stage: Stage, times: int) -> None:
    """The experiment `speed` again under other ids, with all its records."""

    def copies(snapshot: Snapshot) -> LedgerChange:
        ledger, files = snapshot.ledger, dict[str, bytes | None]()
        own = [path for path in ledger.entries if path.startswith("experiments/speed/")]
        data = ledger.read_many(own)
        for number in range(times):
            name = f"speed-{number}"
            for path in own:
                text = data[path].replace(b'"speed"', f'"{name}"'.encode())
                files[path.replace("experiments/speed/", f"experiments/{name}/")] = text
        return LedgerChange.of("Many", files)

    stage.context.store.transact(stage.now, copies)
