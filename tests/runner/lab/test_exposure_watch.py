"""Which copies of the arms' files are opened, and what follows from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from expci.runner.lab.exposure_watch import ExposureWatch
from expci.runner.lab.file_opens import FileOpens

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def trees(tmp_path: Path) -> dict[str, Path]:
    """The checkout and two arms' work trees, each with its own a.txt and sub/b.txt."""
    trees = {name: tmp_path / name for name in ("checkout", "control", "treatment")}
    for name, tree in trees.items():
        (tree / "sub").mkdir(parents=True)
        (tree / "a.txt").write_text(name)
        (tree / "sub/b.txt").write_text(name)
    return trees


@pytest.fixture
def watch(trees: Mapping[str, Path]) -> ExposureWatch:
    roots = {arm: trees[arm] for arm in ("control", "treatment")}
    return ExposureWatch(roots, trees["checkout"], ("a.txt", "sub/b.txt", "gone.txt"), (".venv",))


def run(watch: ExposureWatch, arm: str, script: str) -> None:
    with watch.watching(arm):
        subprocess.run(["sh", "-c", script], cwd=watch.roots[arm], check=True)


OUT = "cat ../checkout/a.txt"


@pytest.mark.parametrize(
    ("script", "place"),
    [
        (OUT, "a.txt in the checkout"),
        ("cp -R ../checkout ../copy", "a.txt, sub/b.txt in the checkout"),
        ("ln ../checkout/sub/b.txt ../hard && cat ../hard", "sub/b.txt in the checkout"),
        ("ln -s checkout ../link && cat ../link/a.txt", "a.txt in the checkout"),
        ("chmod +x ../checkout/a.txt; ../checkout/a.txt || true", "a.txt in the checkout"),
        ("cat ../control/a.txt", "a.txt in another arm's work tree"),
    ],
)
def test_a_run_that_opens_only_other_copies_is_not_exposed(
    watch: ExposureWatch, script: str, place: str
) -> None:
    run(watch, "treatment", f"{script} >&2")
    assert place in watch.not_exposed("treatment")
    assert watch.not_exposed("control") == ""


@pytest.mark.parametrize(
    ("script", "doubt"),
    [
        ("cat a.txt", None),
        ("cat a.txt sub/b.txt ../checkout/a.txt", None),  # compares them, say
        ("cat a.txt ../checkout/sub/b.txt", "beside files of its own work tree the run opened sub"),
        ("ls -l a.txt ../checkout/a.txt", "neither its setup nor its run opened any file"),
        ("true", "share:` links (.venv)"),
    ],
)
def test_what_is_doubtful_is_only_said(
    watch: ExposureWatch, script: str, doubt: str | None
) -> None:
    run(watch, "treatment", script)
    assert watch.not_exposed("treatment") == ""
    doubts = list(watch.doubts("treatment"))
    assert [doubt in text for text in doubts if doubt] == ([] if doubt is None else [True])
    assert doubt is not None or doubts == []


def test_what_the_setup_opened_counts_too(watch: ExposureWatch) -> None:
    run(watch, "treatment", "cp a.txt built")
    run(watch, "treatment", "cat built ../checkout/a.txt")
    assert watch.not_exposed("treatment") == ""
    assert list(watch.doubts("treatment")) == []


def test_an_arm_without_files_of_its_own_is_in_no_doubt(trees: Mapping[str, Path]) -> None:
    watch = ExposureWatch({"treatment": trees["treatment"]}, trees["checkout"], ("gone.txt",))
    run(watch, "treatment", "true")
    assert list(watch.doubts("treatment")) == []


@pytest.fixture
def opens(trees: Mapping[str, Path]) -> Iterator[FileOpens]:
    opens = FileOpens([trees["checkout"] / "a.txt", trees["checkout"] / "gone.txt"])
    yield opens
    opens.close()


def test_opens_are_reported_once_and_since_the_watch_began(
    opens: FileOpens, trees: Mapping[str, Path]
) -> None:
    file = trees["checkout"] / "a.txt"
    assert opens.opened() == set()
    file.read_text()
    file.stat()
    (trees["checkout"] / "sub/b.txt").read_text()
    assert opens.opened() == {file}
    assert opens.opened() == set()


def test_where_events_were_lost_nothing_is_known(
    opens: FileOpens, trees: Mapping[str, Path]
) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    other = trees["checkout"] / "sub/b.txt"
    both = FileOpens([trees["checkout"] / "a.txt", other])
    try:
        for _ in range(most // 2 + 2):  # two alike in a row are one event
            os.close(os.open(trees["checkout"] / "a.txt", os.O_RDONLY))
            os.close(os.open(other, os.O_RDONLY))
        assert both.opened() is None
    finally:
        both.close()
