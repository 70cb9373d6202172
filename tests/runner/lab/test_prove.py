"""`trial --prove`: real runs of real files that are broken in a throw-away copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.clones import Clone, assert_untouched, make_clone
from support.command import expci_command


def prove(clone: Clone, *arguments: str, **environment: str) -> tuple[dict[str, Any], int]:
    """The answer as JSON and the exit code."""
    command = ("trial", "faster", "--prove", "--json", *arguments)
    done = expci_command(clone.root, *command, env={**clone.environment, **environment})
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


@pytest.mark.parametrize(
    ("keys", "code", "in_force"),
    [
        ("run: sh tool.sh", "ends_otherwise", True),
        ("run: test $(wc -l < tool.sh) = 1 && cat tool.sh", "prints_otherwise", True),
        ("run: echo lines=$(wc -c < tool.sh) > $EXPCI_METRICS", "reports_otherwise", True),
        # Nothing but the file's being there matters, and only that it is missing shows it.
        ("run: test -f tool.sh && date +%N", "ends_otherwise", True),
        ("run: cat other.txt", "same", False),
        ("run: date +%N", "varies", None),
        ("run: cat tool.sh; exit 3", "fails", None),
        # What a setup builds from the arm's file is in force; its own output does not count.
        ("setup: date +%N; sh tool.sh > built\nrun: cat built", "ends_otherwise", True),
        ("setup: date +%N\nrun: cat other.txt", "same", False),
        # A run that puts the file back before it uses it.
        ("run: git checkout -q HEAD tool.sh && sh tool.sh", "error", False),
    ],
)
def test_breaking_a_treatment_shows_whether_it_is_in_force(
    tmp_path: Path, keys: str, code: str, in_force: bool | None
) -> None:
    clone = make_clone(tmp_path, keys)
    before = clone.state()
    proof, exit_code = prove(clone)
    [arm] = proof["arms"]
    assert (arm["arm"], arm["reason_code"], arm["in_force"]) == ("treatment", code, in_force)
    assert arm["broken"] == ["tool.sh", "MODE"]
    assert exit_code == (0 if in_force else 3)
    assert ("NOT IN FORCE" in arm["reason"]) is (in_force is False)
    assert_untouched(before, clone)
    assert clone.arrived() == []
    if in_force:  # that the broken run fails is no news
        assert proof["warnings"] == []


def test_a_broken_run_is_no_failure_but_the_question(tmp_path: Path) -> None:
    clone = make_clone(tmp_path, "run: sh tool.sh")
    done = expci_command(clone.root, "trial", "faster", "--prove", env=clone.environment)
    *lines, broken = [line for line in done.stderr.splitlines() if line.startswith("treatment: ")]
    assert [line.startswith("treatment: ok in") for line in lines] == [True, True]
    assert broken == "treatment: runs with its content broken on purpose …"
    assert "failed" not in done.stderr
    assert done.stdout.startswith("treatment: in force: with its content broken the run ends")


def test_what_a_run_writes_for_a_judge_is_its_outcome(tmp_path: Path) -> None:
    run = 'mkdir "$EXPCI_OUTPUT" && sed -n "$ p" FILE > "$EXPCI_OUTPUT/answer"'
    keys = f'run: {run}\ncompare: "false"'
    for file, code in (("tool.sh", "prints_otherwise"), ("other.txt", "same")):
        directory = tmp_path / code
        directory.mkdir()
        proof, _ = prove(make_clone(directory, keys.replace("FILE", file)))
        assert proof["arms"][0]["reason_code"] == code


def test_an_arm_that_only_sets_variables(tmp_path: Path) -> None:
    clone = make_clone(tmp_path, "run: echo $MODE")
    file = clone.root / "experiments/faster/experiment.yml"
    file.write_text(file.read_text().replace("    files: treatment/\n", ""))
    proof, code = prove(clone)
    assert [(arm["reason_code"], arm["broken"]) for arm in proof["arms"]] == [
        ("prints_otherwise", ["MODE"])
    ]
    assert code == 0


def test_an_installation_that_leads_back_is_the_reason(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "__editable__.pth").write_text(f"{clone.root}\n")
    proof, code = prove(clone, VIRTUAL_ENV=str(venv))
    assert (proof["arms"][0]["in_force"], code) == (False, 3)
    assert any("leads back to the checkout itself" in text for text in proof["warnings"])
