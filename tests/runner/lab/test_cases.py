"""Pairs on cases, and what an isolated run can see: real processes, real git."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.clones import Clone, assert_untouched, make_clone

# What a run sees, as metrics and as lines of one file for each run.
LOOK = """\
run: |
  {
    echo "case=$EXPCI_CASE unit=$EXPCI_UNIT repeat=$EXPCI_REPEAT arm=$EXPCI_ARM"
    echo "text=$(cat "$EXPCI_CASE_PATH" 2>/dev/null || cat "$EXPCI_CASE_PATH/task.txt")"
    echo "path=$EXPCI_CASE_PATH"
    echo "files=$(find . -path ./.git -prune -o -type f -print | sort | tr '\\n' ' ')"
    echo "log=$(git log --all --format=%s | tr '\\n' ' ')"
    echo "objects=$(git cat-file --batch-all-objects --batch-check | wc -l)"
    echo "home=$(ls -A "$HOME" | tr '\\n' ' ')"
    echo "tool=$(sh tool.sh)"
  } > "$OUT/$EXPCI_CASE.$EXPCI_ARM.$EXPCI_REPEAT.$(date +%N)"
  echo changed > other.txt; echo left > left-behind; echo spoilt > "$EXPCI_CASE_PATH" || true
  echo note > "$HOME/notes"; git checkout -q -b mine; git commit -qam mine
cases: evals/*
"""
CASES = {
    "evals/log in": "task of login",
    "evals/größe/task.txt": "task of size",
    "evals/größe/answer.txt": "42",
    "evals/c": "task of c",
    "evals/d": "task of d",
    "evals/e": "task of e",
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def with_cases(tmp_path: Path, keys: str = LOOK, files: Mapping[str, str] = CASES) -> Clone:
    clone = make_clone(tmp_path, keys)
    clone.write(dict(files))
    clone.commit("cases")
    clone.publish(unit="case")
    clone.environment["OUT"] = str(tmp_path / "out")
    return clone


def looks(out: Path) -> list[dict[str, str]]:
    return [
        dict(line.split("=", 1) for line in file.read_text().splitlines())
        for file in sorted(out.iterdir())
    ]


def test_a_pair_runs_both_arms_on_one_case_and_all_cases_are_visited(
    tmp_path: Path, out: Path
) -> None:
    clone = with_cases(tmp_path)
    before = clone.state()
    done = clone.expci("trial", "faster", "--pairs", "5")
    assert done.returncode == 0, done.stderr
    trials = clone.arrived()
    assert Counter(trial.unit for trial in trials) == dict.fromkeys(
        ("case-log in", "case-größe", "case-c", "case-d", "case-e"), 2
    )
    assert {len({t.unit for t in trials if t.block == block}) for block in
            {trial.block for trial in trials}} == {1}  # fmt: skip
    runs = looks(out)
    assert {(run["case"].split(" unit")[0], run["text"]) for run in runs} == {
        ("log in", "task of login"),
        ("größe", "task of size"),
        ("c", "task of c"),
        ("d", "task of d"),
        ("e", "task of e"),
    }
    # Each run has its own copy of the case, outside of the work tree.
    assert all(str(clone.root) not in run["path"] for run in runs)
    assert_untouched(before, clone)


def test_an_isolated_run_sees_its_arm_and_nothing_that_tells_the_answer(
    tmp_path: Path, out: Path
) -> None:
    clone = with_cases(tmp_path)
    done = clone.expci("trial", "faster", "--pairs", "6")
    assert done.returncode == 0, done.stderr
    runs = looks(out)
    assert len(runs) == 12
    # No case, no file of the experiment, nothing that an earlier run left.
    assert {run["files"] for run in runs} == {"./other.txt ./tool.sh "}
    # One commit, with three objects more than its two files: the commit, its tree, … no history.
    assert {run["log"] for run in runs} == {"The work tree of a run "}
    assert {run["home"] for run in runs} == {""}
    assert {(run["case"].rsplit("=", 1)[1], run["tool"]) for run in runs} == {
        ("control", "control"),
        ("treatment", "treatment"),
    }


def test_the_objects_of_an_isolated_repository_are_those_of_its_files(
    tmp_path: Path, out: Path
) -> None:
    clone = with_cases(tmp_path)
    assert clone.expci("trial", "faster").returncode == 0
    # other.txt, tool.sh, their tree, the commit, and the commit after the (empty) setup.
    assert {run["objects"].strip() for run in looks(out)} == {"5"}


def test_what_the_setup_made_is_there_in_every_run_and_in_no_other_arm(
    tmp_path: Path, out: Path
) -> None:
    setup = 'setup: echo "$EXPCI_ARM" > built; echo x > "$HOME/installed"\n'
    clone = with_cases(tmp_path, LOOK + setup)
    done = clone.expci("trial", "faster", "--pairs", "3")
    assert done.returncode == 0, done.stderr
    runs = looks(out)
    assert {run["files"] for run in runs} == {"./built ./other.txt ./tool.sh "}
    assert {run["home"] for run in runs} == {"installed "}


def test_without_isolation_the_work_tree_is_a_worktree(tmp_path: Path, out: Path) -> None:
    keys = "run: ls evals > $OUT/$EXPCI_ARM\ncases: evals/*\nisolate: false"
    clone = with_cases(tmp_path, keys)
    assert clone.expci("trial", "faster").returncode == 0
    assert "log in" in (out / "control").read_text()


def test_isolation_without_cases_hides_the_experiment(tmp_path: Path, out: Path) -> None:
    keys = "run: find . -name .git -prune -o -type f -print > $OUT/$EXPCI_ARM\nisolate: true"
    clone = make_clone(tmp_path, keys)
    clone.publish()
    clone.environment["OUT"] = str(out)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    assert sorted((out / "treatment").read_text().split()) == ["./other.txt", "./tool.sh"]


def test_repeats_are_pairs_of_the_same_case(tmp_path: Path, out: Path) -> None:
    clone = with_cases(tmp_path, LOOK + "repeats: 3")
    done = clone.expci("trial", "faster", "--pairs", "2")
    assert done.returncode == 0, done.stderr
    trials = clone.arrived()
    assert sorted(Counter(trial.unit for trial in trials).values()) == [6, 6]
    assert len({trial.block for trial in trials}) == 6
    assert len({trial.seq for trial in trials}) == 6
    repeats = Counter(run["case"].split("repeat=")[1][0] for run in looks(out))
    assert repeats == {"1": 4, "2": 4, "3": 4}


def test_the_least_visited_case_comes_next_also_in_the_next_call(tmp_path: Path, out: Path) -> None:
    clone = with_cases(tmp_path)
    assert clone.expci("trial", "faster", "--case", "c", "--case", "d").returncode == 0
    for _ in range(4):
        assert clone.expci("trial", "faster").returncode == 0
    counts = Counter(trial.unit for trial in clone.arrived())
    assert sorted(counts.values()) == [2, 2, 2, 2, 2]


def test_consecutive_runs_of_the_ci_go_on_where_the_last_one_stopped(
    tmp_path: Path, out: Path
) -> None:
    clone = with_cases(tmp_path)
    for number in ("20", "21", "22", "23", "24"):
        ci = {"GITHUB_RUN_ID": f"9{number}", "GITHUB_RUN_NUMBER": number, "GITHUB_JOB": "lab"}
        assert clone.expci("trial", "faster", env=ci).returncode == 0
        visits = clone.private / "visits"
        for file in visits.iterdir():
            file.unlink()  # every job has a clone of its own
    assert sorted(Counter(t.unit for t in clone.arrived()).values()) == [2, 2, 2, 2, 2]


def test_parts_split_the_cases(tmp_path: Path, out: Path) -> None:
    clone = with_cases(tmp_path)
    for part in ("1/2", "2/2"):
        done = clone.expci("trial", "faster", "--part", part, "--pairs", "3")
        assert done.returncode == 0, done.stderr
    assert len({trial.unit for trial in clone.arrived()}) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--case", "logn in"), "--case logn in: no such case; there are log in"),
        (("--part", "3/2"), "--part 3/2: write i/n"),
        (("--part", "1/6"), "--part 1/6: there are 5 cases to split"),
        (("--part", "1/2", "--case", "c"), "--part and --case both choose cases"),
        (("--unit", "me"), "the unit is the case"),
        (("--in-place",), "leave it out, or write `isolate: false`"),
    ],
)
def test_wrong_options_are_refused_with_a_word(
    tmp_path: Path, out: Path, options: tuple[str, ...], words: str
) -> None:
    clone = with_cases(tmp_path)
    done = clone.expci("trial", "faster", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert clone.arrived() == []


def test_case_and_part_need_cases(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    clone.publish()
    done = clone.expci("trial", "faster", "--case", "c")
    assert done.returncode == 2
    assert "faster has no cases" in done.stderr


def test_lines_of_a_file_come_as_one_file_each(tmp_path: Path, out: Path) -> None:
    lines = [json.dumps({"id": id, "n": number}) for number, id in enumerate("abcde")]
    keys = 'run: cp "$EXPCI_CASE_PATH" "$OUT/$EXPCI_CASE.$EXPCI_ARM"; ls evals\n'
    keys += "cases: evals/cases.jsonl"
    clone = with_cases(tmp_path, keys, {"evals/cases.jsonl": "\n".join(lines), "evals/x": "x"})
    done = clone.expci("trial", "faster", "--pairs", "5")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"x"}  # the file of all cases is hidden
    assert {file.name: json.loads(file.read_text())["n"] for file in out.iterdir()} == {
        f"{id}.{arm}": number
        for number, id in enumerate("abcde")
        for arm in ("control", "treatment")
    }


def test_changed_cases_are_another_plan(tmp_path: Path) -> None:
    clone = with_cases(tmp_path)
    clone.write({"evals/c": "another task"})
    clone.commit("a case was changed")
    done = clone.expci("trial", "faster")
    assert done.returncode == 1
    assert "is not the plan that was started" in done.stderr


def test_a_run_that_destroys_its_repository_harms_no_later_one(tmp_path: Path, out: Path) -> None:
    keys = "run: sh tool.sh > $OUT/$EXPCI_CASE.$EXPCI_ARM; rm -rf .git tool.sh\ncases: evals/*\n"
    keys += "setup: touch built"
    clone = with_cases(tmp_path, keys)
    done = clone.expci("trial", "faster", "--pairs", "2")
    assert done.returncode in (0, 1), done.stderr
    assert len(list(out.iterdir())) == 4
    assert {file.read_text().strip() for file in out.iterdir()} == {"control", "treatment"}


def test_links_of_a_case_come_along(tmp_path: Path, out: Path) -> None:
    clone = make_clone(tmp_path, 'run: cat "$EXPCI_CASE_PATH/link"\ncases: evals/*')
    clone.write({f"evals/{name}/data": f"of {name}" for name in "abcde"})
    for name in "abcde":
        (clone.root / f"evals/{name}/link").symlink_to("data")
    clone.commit("cases")
    clone.publish(unit="case")
    done = clone.expci("trial", "faster", "--case", "b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("of b") == 2


# --- replay ------------------------------------------------------------------------------

REPLAY = """\
run: |
  {
    echo "case=$EXPCI_CASE"
    echo "file=$(cat other.txt)"
    echo "tool=$(sh tool.sh)"
    echo "log=$(git log --all --format=%s | tr '\\n' ' ')"
    echo "diff=$(grep '^+[a-z0-9]' "$EXPCI_CASE_PATH/merged.diff")"
    echo "message=$(head -1 "$EXPCI_CASE_PATH/message.txt")"
    echo "leak=$(git log --all -p | grep -c "version 4" || true)"
  } > "$OUT/$EXPCI_CASE.$EXPCI_ARM"
cases: {merged: 3}
"""


def test_a_replay_starts_before_the_merge_and_hides_it(tmp_path: Path, out: Path) -> None:
    clone = make_clone(tmp_path, REPLAY)
    heads = {}
    for number in range(1, 5):
        clone.write({"other.txt": f"version {number}\n"})
        heads[clone.commit(f"merge {number}")[:12]] = number
    clone.publish(unit="case")
    clone.environment["OUT"] = str(out)
    before = clone.state()
    done = clone.expci("trial", "faster", "--pairs", "3")
    assert done.returncode == 0, done.stderr
    runs = looks(out)
    assert len(runs) == 6
    for run in runs:
        number = heads[run["case"]]
        assert run["file"] == f"version {number - 1}"
        assert run["diff"] == f"+version {number}"
        assert run["message"] == f"merge {number}"
        assert run["log"] == "The work tree of a run "
        assert run["leak"] == "0"
    assert sorted(heads[run["case"]] for run in runs) == [2, 2, 3, 3, 4, 4]
    assert Counter(run["tool"] for run in runs) == {"control": 3, "treatment": 3}
    assert_untouched(before, clone)


def test_a_replay_goes_on_with_the_merges_of_its_start(tmp_path: Path, out: Path) -> None:
    clone = make_clone(tmp_path, REPLAY)
    for number in range(1, 5):
        clone.write({"other.txt": f"version {number}\n"})
        clone.commit(f"merge {number}")
    clone.publish(unit="case")
    clone.environment["OUT"] = str(out)
    clone.write({"other.txt": "version 5\n"})
    clone.commit("merge 5")
    done = clone.expci("trial", "faster", "--pairs", "3")
    assert done.returncode == 0, done.stderr
    assert {run["message"] for run in looks(out)} == {"merge 2", "merge 3", "merge 4"}
