"""The changelog is kept by release: https://keepachangelog.com/en/1.1.0/."""

import re
from datetime import date
from pathlib import Path

import expci

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
PARTS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def test_the_newest_release_is_the_version_of_the_package() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert HEADINGS[1].startswith(f"[{expci.__version__}] - ")


def test_each_release_has_a_date_and_a_link_and_the_newest_comes_first() -> None:
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\S+)", text) for text in HEADINGS[1:]]
    dates = [date.fromisoformat(release[2]) for release in releases if release]
    assert len(dates) == len(HEADINGS) - 1
    assert dates == sorted(dates, reverse=True)
    for name in re.findall(r"^## (\[.*?\])", TEXT, re.MULTILINE):
        assert f"\n{name}: https://" in TEXT


def test_the_parts_are_those_of_the_convention() -> None:
    assert set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) <= set(PARTS)
