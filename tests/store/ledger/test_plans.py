"""A frozen plan needs nothing outside the ledger, and reads back as it was written."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from expci.core.model.content import Blob, plan_id
from expci.errors import LedgerDamaged
from expci.store.git.git import Git
from expci.store.ledger import paths
from expci.store.ledger.plans import Plan, content_id, dump_plan, entries, parse_plan
from support.ledger_samples import PLAN, experiment
from support.repositories import Repository

A, B, C = (Blob("100644", letter * 40) for letter in "abc")
FROZEN = Plan(
    id=PLAN,
    experiment=experiment(),
    base="d" * 40,
    directory="experiments/speed",
    files={"experiment.yml": A},
    arms={
        "control": {"größe.txt": A, "new.txt": None, "same.txt": C},
        "treatment": {"größe.txt": B, "new.txt": B, "same.txt": C},
    },
    shipped={},
)
SHIPPED = replace(FROZEN, shipped={"treatment": {"other.txt": C}, "control": {"other.txt": None}})


@pytest.mark.parametrize("plan", [FROZEN, SHIPPED])
def test_it_reads_back_as_it_was_written(plan: Plan) -> None:
    assert parse_plan(dump_plan(plan)) == plan


def test_a_promotion_takes_what_differs_from_control() -> None:
    assert FROZEN.varied == ("größe.txt", "new.txt", "same.txt")
    assert FROZEN.promotes("treatment") == {"größe.txt": B, "new.txt": B}
    assert FROZEN.promote_base("treatment") == {"größe.txt": A, "new.txt": None}
    assert FROZEN.change_size("treatment") == 2


def test_or_what_the_experiment_says_that_it_ships() -> None:
    assert SHIPPED.promotes("treatment") == {"other.txt": C}
    assert SHIPPED.promote_base("treatment") == {"other.txt": None}


def test_every_blob_stands_in_the_ledger() -> None:
    root = paths.plan("speed", PLAN)
    assert entries(SHIPPED) == {
        f"{root}/files/experiment.yml": A,
        f"{root}/arms/control/größe.txt": A,
        f"{root}/arms/control/same.txt": C,
        f"{root}/arms/treatment/größe.txt": B,
        f"{root}/arms/treatment/new.txt": B,
        f"{root}/arms/treatment/same.txt": C,
        f"{root}/ship/treatment/other.txt": C,
    }


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b'{"schema": "expci.plan-content/2"}',
     dump_plan(FROZEN).replace(b'"files"', b'"file"'),
     dump_plan(FROZEN).replace(b'"arms": {', b'"arms": {"x": 1,')],
)  # fmt: skip
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(LedgerDamaged):
        parse_plan(data)


def test_a_kind_of_a_newer_version_is_named() -> None:
    data = re.sub(rb'"kind": "[a-z]+"', b'"kind": "novel"', dump_plan(FROZEN))
    with pytest.raises(LedgerDamaged, match="kind 'novel': use a newer expci"):
        parse_plan(data)


def test_the_content_in_the_tree_now_has_its_own_id(repository: Repository) -> None:
    git = Git(repository.path)
    assert content_id(git, "HEAD", FROZEN) is None
    repository.write("experiments/speed/experiment.yml", "version: 1\n")
    repository.write("experiments/speed/treatment/a.txt", "a\n")
    repository.write("experiments/speed/notes.md", "of no account\n")
    repository.commit()
    files = git.read_files("HEAD", "experiments/speed")
    del files["notes.md"]
    assert content_id(git, "HEAD", FROZEN) == plan_id(files)
    repository.write("experiments/speed/treatment/a.txt", "b\n")
    repository.commit()
    assert content_id(git, "HEAD", FROZEN) != plan_id(files)
