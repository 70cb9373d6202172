"""Cases as a commit holds them, in real repositories."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from expci.core.model import limits
from expci.core.model.cases import BadCases, read_source
from expci.errors import ExpciError
from expci.runner.lab.case_copy import case_copy
from expci.store.cases import CaseList, read_cases, working_tree
from expci.store.git.git import Git
from expci.store.merges import Merge
from support.clones import run_git

FILES = read_source("evals/*")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    run_git(tmp_path, "init", "-q", "-b", "main", ".")
    run_git(tmp_path, "config", "user.name", "A User")
    run_git(tmp_path, "config", "user.email", "user@example.com")
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def commit(root: Path, message: str = "work") -> str:
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "--allow-empty", "-m", message)
    return run_git(root, "rev-parse", "HEAD").strip()


def ids(cases: CaseList) -> list[str]:
    return [case.id for case in cases.cases]


def test_files_and_directories_are_cases_by_their_names(root: Path) -> None:
    write(root, {"evals/log in.md": "x", "evals/größe/task.txt": "y", "evals/größe/d/e": "z"})
    write(root, {"evals/.notes": "no case", "other/x": "no case"})
    cases = read_cases(Git(root), commit(root), FILES)
    assert ids(cases) == ["größe", "log in.md"]
    assert sorted(cases.contents[0].files) == ["evals/größe/d/e", "evals/größe/task.txt"]


def test_the_hash_is_of_the_content_alone_and_agrees_between_object_formats(
    tmp_path: Path,
) -> None:
    hashes = []
    for shape in ("sha1", "sha256"):
        root = tmp_path / shape
        root.mkdir()
        run_git(root, "init", "-q", f"--object-format={shape}", ".")
        run_git(root, "config", "user.name", "A User")
        run_git(root, "config", "user.email", "user@example.com")
        write(root, {"evals/a/task": "do it", "evals/b": "x"})
        hashes.append(read_cases(Git(root), commit(root), FILES).cases)
    assert hashes[0] == hashes[1]
    row = ["/task", "100644", hashlib.sha256(b"do it").hexdigest()]
    text = json.dumps([row], separators=(",", ":")).encode()
    assert hashes[0][0].hash == hashlib.sha256(text).hexdigest()


def test_lines_of_a_file_are_cases(root: Path) -> None:
    write(root, {"evals/cases.jsonl": '{"id": "a"}\n{"id": "b", "task": "x"}\n'})
    cases = read_cases(Git(root), commit(root), read_source("evals/cases.jsonl"))
    assert ids(cases) == ["a", "b"]
    assert cases.contents[1].line == b'{"id": "b", "task": "x"}'
    assert cases.cases[0].hash == hashlib.sha256(b'{"id": "a"}').hexdigest()


def test_a_link_inside_its_case_is_taken_and_one_that_leaves_is_refused(root: Path) -> None:
    write(root, {"evals/a/data/x": "1", "evals/b/x": "1"})
    (root / "evals/a/link").symlink_to("data/x")
    (root / "evals/a/data/up").symlink_to("../data")
    assert ids(read_cases(Git(root), commit(root), FILES)) == ["a", "b"]
    for target in ("../../b/x", "/etc/passwd", "../../../outside", "data/../../b/x"):
        (root / "evals/a/link").unlink()
        (root / "evals/a/link").symlink_to(target)
        with pytest.raises(BadCases, match="'evals/a/link' is a symlink that leaves its case"):
            read_cases(Git(root), commit(root), FILES)
    (root / "evals/a/link").unlink()
    (root / "evals/c").symlink_to("a")
    with pytest.raises(BadCases, match="the case 'evals/c' is a symlink"):
        read_cases(Git(root), commit(root), FILES)


def test_huge_cases_are_refused_before_they_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, {"evals/a": "x" * 600, "evals/b": "y" * 600})
    head = commit(root)
    monkeypatch.setattr(limits, "CASE_BYTES", 1000)
    with pytest.raises(BadCases, match="hold 0 MB, more than 0 MB; have large data fetched"):
        read_cases(Git(root), head, FILES)


@pytest.mark.slow
def test_five_thousand_cases_are_read(root: Path) -> None:
    (root / "evals").mkdir()
    for number in range(5000):
        (root / f"evals/{number:04}").write_text(f"case {number}")
    cases = read_cases(Git(root), commit(root), FILES)
    assert len(cases.cases) == 5000
    assert len({case.hash for case in cases.cases}) == 5000


def test_no_directory_no_case(root: Path) -> None:
    head = commit(root)
    assert ids(read_cases(Git(root), head, FILES)) == []
    assert ids(read_cases(Git(root), head, read_source("evals/cases.jsonl"))) == []


def test_before_the_start_cases_are_read_from_the_disk(root: Path) -> None:
    write(root, {"evals/a": "1", ".gitignore": "evals/ignored\n"})
    commit(root)
    write(root, {"evals/a": "2", "evals/b": "1", "evals/ignored": "1"})
    git = Git(root)
    before = run_git(root, "status", "--porcelain")
    cases = read_cases(git, working_tree(git, FILES), FILES)
    assert ids(cases) == ["a", "b"]
    assert cases.cases[0].hash != read_cases(git, "HEAD", FILES).cases[0].hash
    assert run_git(root, "status", "--porcelain") == before


# --- merges ------------------------------------------------------------------------------


def merged(root: Path, count: int) -> CaseList:
    git = Git(root)
    return read_cases(git, git.require("HEAD"), read_source({"merged": count}))


def test_merges_squashes_and_rebased_commits_are_replayed(root: Path) -> None:
    write(root, {"a.txt": "0\n"})
    start = commit(root, "start")
    write(root, {"a.txt": "1\n"})
    squashed = commit(root, "a squashed pull request (#1)")
    run_git(root, "checkout", "-q", "-b", "topic", start)
    write(root, {"b.txt": "1\n"})
    commit(root, "on the branch")
    write(root, {"b.txt": "2\n"})
    commit(root, "on the branch too")
    run_git(root, "checkout", "-q", "main")
    run_git(root, "merge", "-q", "--no-ff", "-m", "Merge pull request #2", "topic")
    merge = run_git(root, "rev-parse", "HEAD").strip()
    cases = {one.merge.commit: one.merge for one in merged(root, 5).contents if one.merge}
    assert cases.keys() == {squashed, merge}  # the first commit has none before it
    assert cases[squashed].before == start
    assert cases[merge].before == squashed
    assert cases[merge].title == "Merge pull request #2"


def test_a_rebased_pull_request_is_one_case_where_its_commits_name_it(root: Path) -> None:
    write(root, {"a.txt": "0\n"})
    start = commit(root, "start")
    write(root, {"b.txt": "1\n"})
    commit(root, "Add b (#7)")
    write(root, {"b.txt": "1\n2\n"})
    rebased = commit(root, "Extend b (#7)")
    write(root, {"c.txt": "1\n"})
    other = commit(root, "Add c (#8)")
    write(root, {"b.txt": "3\n"})
    again = commit(root, "Correct b (#7)")  # not next to the others: merged later
    cases = merged(root, 5)
    assert cases.notes == ("3 of the 5 wanted merges can be replayed",)
    by_commit = {one.merge.commit: one for one in cases.contents if one.merge}
    assert by_commit.keys() == {rebased, other, again}
    assert by_commit[rebased].merge == Merge(rebased, start, "Extend b (#7)", 2)
    assert by_commit[rebased].case.hash == f"{start}..{rebased}"
    assert by_commit[again].case.hash == again
    with case_copy(Git(root), root.parent, by_commit[rebased]) as path:
        assert "+1\n+2\n" in (path / "merged.diff").read_text()
        assert (path / "message.txt").read_text().split("\n\n")[0].startswith("Add b (#7)")
        assert "Extend b (#7)" in (path / "message.txt").read_text()


def pick(root: Path, commits: list[str], at: int, **author: str) -> str:
    """Have those commits written anew on the branch, as a rebase does, each at `at` seconds."""
    for one in commits:
        env = {"GIT_COMMITTER_DATE": f"@{at} +0000", **author}
        run_git(root, "cherry-pick", one, env=env)
    return run_git(root, "rev-parse", "HEAD").strip()


def branch_of(root: Path, start: str, *names: str) -> list[str]:
    """Commits on a branch of their own, a file each."""
    run_git(root, "checkout", "-q", "--detach", start)
    commits = []
    for name in names:
        write(root, {name: f"{name}\n"})
        commits.append(commit(root, f"Add {name}"))
    run_git(root, "checkout", "-q", "main")
    return commits


def test_what_one_rebase_wrote_is_one_case(root: Path) -> None:
    write(root, {"a.txt": "0\n"})
    start = commit(root, "start")
    first, second, alone = (
        branch_of(root, start, *names) for names in (("b", "c", "d"), ("e", "f"), ("g",))
    )
    rebased = pick(root, first, 2_000_000_000)
    later = pick(root, second, 2_000_000_060)  # another pull request, a minute later
    other = {"GIT_COMMITTER_NAME": "Another", "GIT_COMMITTER_EMAIL": "another@example.com"}
    by_another = pick(root, alone, 2_000_000_060, **other)
    write(root, {"h": "1\n"})
    pushed = commit(root, "Pushed as it is")
    write(root, {"h": "2\n"})
    again = commit(root, "Pushed as it is, too")
    cases = merged(root, 6)
    merges = {one.merge.commit: one.merge for one in cases.contents if one.merge}
    assert merges == {
        rebased: Merge(rebased, start, "Add d", 3),
        later: Merge(later, rebased, "Add f", 2),
        by_another: Merge(by_another, later, "Add g"),
        pushed: Merge(pushed, by_another, "Pushed as it is"),
        again: Merge(again, pushed, "Pushed as it is, too"),
    }
    assert cases.notes == (
        "2 of the cases are a commit each that was pushed as it is and names no pull request as "
        "`(#123)` at the end of its title: several such commits of one pull request are cases of "
        "their own",
        "5 of the 6 wanted merges can be replayed",
    )


def test_pull_requests_of_one_moment_with_other_numbers_are_two_cases(root: Path) -> None:
    write(root, {"a.txt": "0\n"})
    start = commit(root, "start")
    picked = branch_of(root, start, "b (#1)", "c (#1)", "d (#2)", "e")
    last = pick(root, picked, 2_000_000_000)
    merges = {one.merge.commit: one.merge.commits for one in merged(root, 3).contents if one.merge}
    assert merges == {last: 2, run_git(root, "rev-parse", "HEAD~2").strip(): 2}


def test_a_pull_request_of_many_commits_is_whole(root: Path) -> None:
    """Also where it has more commits than are looked at first."""
    write(root, {"a.txt": "0\n"})
    start = commit(root, "start")
    stream = "".join(
        f"commit refs/heads/main\ncommitter A User <user@example.com> {number} +0000\n"
        f"data 13\nStep {number:03} (#9)\n{f'from {start}' if number == 1 else ''}\n"
        f"M 100644 inline a.txt\ndata 4\n{number:03}\n\n"
        for number in range(1, 121)
    )
    run_git(root, "fast-import", "--quiet", stdin=stream.replace("\n\nM", "\nM").encode())
    [case] = merged(root, 1).contents
    assert case.merge is not None
    assert (case.merge.before, case.merge.commits) == (start, 120)


def test_what_changes_experiments_alone_is_no_work_to_replay(root: Path) -> None:
    commit(root, "start")
    write(root, {"a.txt": "1\n"})
    work = commit(root, "work")
    spec, variant = "experiments/one/experiment.yml", "experiments/one/treatment/a.txt"
    write(root, {spec: "x\n", variant: "2\n"})
    commit(root, "Propose an experiment")
    write(root, {variant: "3\n"})
    commit(root, "Change its treatment")
    write(root, {"experiments/two/experiment.yml": "x\n", "experiments/two/treatment/a.txt": "5\n"})
    commit(root, "Propose another")
    write(root, {"a.txt": "2\n"})
    run_git(root, "rm", "-q", "-r", "experiments/two")
    promoted = commit(root, "Promote it")
    cases = merged(root, 4)
    assert {one.merge.commit for one in cases.contents if one.merge} == {work, promoted}
    assert "merges that are not replayed: 3 of experiments alone" in cases.notes


def test_titles_that_hold_control_characters_are_titles(root: Path) -> None:
    commit(root, "start")
    write(root, {"a.txt": "1\n"})
    odd = commit(root, "One \x1e and \x1f of them (#3)")
    [case] = merged(root, 1).contents
    assert case.merge is not None
    assert (case.merge.commit, case.merge.pull_request) == (odd, "3")


def test_binary_huge_and_empty_merges_are_left_out_and_that_is_said(root: Path) -> None:
    commit(root, "start")
    write(root, {"good.txt": "1\n"})
    good = commit(root)
    (root / "image").write_bytes(b"\0\1\2" * 100)
    commit(root, "binary")
    write(root, {"huge.txt": "x\n" * (limits.MERGED_LINES + 1)})
    commit(root, "huge")
    commit(root, "empty")
    cases = merged(root, 3)
    assert [one.merge.commit for one in cases.contents if one.merge] == [good]
    assert cases.notes == (
        "1 of the cases are a commit each that was pushed as it is and names no pull request as "
        "`(#123)` at the end of its title: several such commits of one pull request are cases of "
        "their own",
        "merges that are not replayed: 1 without a changed line, 1 of more than 5,000 lines, "
        "1 with binary files",
        "1 of the 3 wanted merges can be replayed",
    )


def test_a_shallow_clone_is_told_to_deepen(root: Path, tmp_path: Path) -> None:
    for number in range(6):
        write(root, {"a.txt": f"{number}\n"})
        commit(root)
    shallow = tmp_path / "shallow"
    run_git(tmp_path, "clone", "-q", "--depth", "3", f"file://{root}", str(shallow))
    with pytest.raises(ExpciError, match=r"holds 2 of the 5 merges.*fetch-depth: 0"):
        merged(shallow, 5)
    assert len(merged(shallow, 2).cases) == 2
    with pytest.raises(ExpciError, match=r"is not in this clone: fetch the history"):
        read_cases(Git(shallow), "HEAD", read_source({"merged": 2}), "0" * 40)


def test_a_pull_request_that_a_shallow_clone_cuts_is_no_case(root: Path, tmp_path: Path) -> None:
    write(root, {"a.txt": "0\n"})
    commit(root, "start")
    for number in range(4):
        write(root, {"a.txt": f"{number}\n"})
        commit(root, "before")
    for number in range(3):
        write(root, {"a.txt": f"part {number}\n"})
        commit(root, f"Part {number} (#7)")
    write(root, {"a.txt": "9\n"})
    commit(root, "Another (#8)")
    for depth, whole in ((2, 1), (4, 1), (5, 2)):
        shallow = tmp_path / f"depth-{depth}"
        run_git(tmp_path, "clone", "-q", f"--depth={depth}", f"file://{root}", str(shallow))
        assert merged(shallow, whole).cases == merged(root, whole).cases
        with pytest.raises(ExpciError, match=rf"holds {whole} of the {whole + 1} merges"):
            merged(shallow, whole + 1)
