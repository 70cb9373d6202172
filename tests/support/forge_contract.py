"""What each port of a forge must do: a suite per port, run on each implementation.

A test takes a `Bench`: real git, and forges as new passes would make them. People act by
git alone, as they can everywhere: merge, delete a branch, push.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import pytest

from expci.errors import ExpciError
from expci.forge.ports import CheckRun, Forge, PullRequest, PullRequestState
from support.ports import alerts_of, checks_of, ci_of
from support.repositories import Repository

MARKER = "<!-- expci:report:speed -->"
OTHER = "<!-- expci:report:speed-2 -->"


@dataclass
class Bench(ABC):
    repository: Repository

    @abstractmethod
    def forge(self) -> Forge:
        """As a new pass sees the place."""

    @abstractmethod
    def comments(self, number: int) -> list[str]:
        """The bodies, oldest first."""

    def check_runs(self, commit: str) -> dict[str, tuple[str, str]]:
        """Conclusion and title of the newest check run of each name."""
        raise NotImplementedError

    def open_issues(self) -> list[str]:
        """Their titles."""
        raise NotImplementedError

    def ci_run(self, commit: str) -> int:
        """The id of a run that the CI has just made of a commit."""
        raise NotImplementedError

    def branch(self, name: str, text: str = "sleep 0.005\n", path: str = "work.sh") -> str:
        """A pushed branch with one commit on the main branch."""
        self.repository.git("switch", "-q", "-C", name, "origin/main")
        self.repository.write(path, text)
        commit = self.repository.commit(f"Change {path}")
        self.repository.push("-f", f"HEAD:{name}")
        return commit

    def on_main(self, text: str, path: str = "work.sh") -> str:
        self.repository.git("switch", "-q", "-C", "main", "origin/main")
        self.repository.write(path, text)
        commit = self.repository.commit("Meanwhile")
        self.repository.push("main")
        self.repository.git("fetch", "-q")
        return commit

    def main(self) -> str:
        self.repository.git("fetch", "-q")
        return self.repository.git("rev-parse", "origin/main")

    def open(self, name: str = "expci/promote/speed", *, draft: bool = False) -> PullRequest:
        self.branch(name)
        return self.forge().pull_requests.open(name, "main", "Promote", "Faster.", draft=draft)

    def again(self, pull: PullRequest) -> PullRequest:
        found = self.forge().pull_requests.of_branch(pull.head)
        assert found is not None
        return found


class PullRequestsContract:
    """Subclasses bring a fixture `bench`, here and below."""

    def test_a_branch_without_a_request_has_none(self, bench: Bench) -> None:
        bench.branch("try/speed")
        assert bench.forge().pull_requests.of_branch("try/speed") is None

    def test_an_opened_request_is_found_with_everything(self, bench: Bench) -> None:
        commit = bench.branch("try/speed")
        made = bench.forge().pull_requests.open(
            "try/speed", "main", "A title", "A body", draft=False
        )
        found = bench.again(made)
        assert found == made
        assert (found.head, found.base, found.head_commit) == ("try/speed", "main", commit)
        assert (found.title, found.body) == ("A title", "A body")
        assert (found.state, found.draft, found.merge) == (PullRequestState.OPEN, False, None)
        assert bench.forge().pull_requests.propose("try/speed", "Another title", "") == made

    def test_requests_are_listed_and_found_by_number(self, bench: Bench) -> None:
        first = bench.open("try/first")
        second = bench.open("try/second")
        bench.repository.push("--delete", "try/first")
        forge = bench.forge()
        assert [(p.number, p.state) for p in forge.pull_requests.listed()] == [
            (second.number, PullRequestState.OPEN),
            (first.number, PullRequestState.CLOSED),
        ]
        assert bench.forge().pull_requests.numbered(second.number) == second
        assert bench.forge().pull_requests.numbered(second.number + 7) is None

    def test_a_request_s_commit_can_be_fetched(self, bench: Bench) -> None:
        made = bench.open()
        bench.repository.git("fetch", "-q", "origin", bench.forge().pull_requests.head_ref(made))
        assert bench.repository.git("rev-parse", "FETCH_HEAD") == made.head_commit

    def test_opening_again_brings_it_up_to_date(self, bench: Bench) -> None:
        first = bench.open()
        second = bench.forge().pull_requests.open(first.head, "main", "New", "Better.", draft=False)
        assert second.number == first.number
        assert (bench.again(first).title, bench.again(first).body) == ("New", "Better.")

    def test_a_request_becomes_a_draft_and_ready_again(self, bench: Bench) -> None:
        pull = bench.open(draft=True)
        assert pull.draft
        for draft in (False, True):
            changed = bench.forge().pull_requests.open(
                pull.head, "main", "Promote", "", draft=draft
            )
            assert (changed.number, changed.draft) == (pull.number, draft)
            assert bench.again(pull).draft == draft

    def test_a_branch_that_is_not_pushed_cannot_be_requested(self, bench: Bench) -> None:
        with pytest.raises(ExpciError, match="try/nowhere"):
            bench.forge().pull_requests.open("try/nowhere", "main", "Title", "", draft=False)

    def test_labels_of_ours_are_replaced(self, bench: Bench) -> None:
        pull = bench.open()
        forge = bench.forge()
        forge.pull_requests.label(pull, ("expci:running",))
        assert bench.again(pull).labels == ("expci:running",)
        forge.pull_requests.label(bench.again(pull), ("expci:promoting", "expci:lab"))
        assert set(bench.again(pull).labels) == {"expci:promoting", "expci:lab"}
        bench.forge().pull_requests.label(bench.again(pull), ())
        assert bench.again(pull).labels == ()

    def test_closing_leaves_a_word_and_a_new_request_is_another(self, bench: Bench) -> None:
        pull = bench.open()
        closed = bench.forge().pull_requests.close(pull, "The experiment is stopped.")
        assert closed.state is PullRequestState.CLOSED
        assert bench.again(pull).state is PullRequestState.CLOSED
        [word] = bench.comments(pull.number)
        assert word.startswith("The experiment is stopped.")
        assert (
            bench.forge().pull_requests.close(bench.again(pull), "Again.").state
            is PullRequestState.CLOSED
        )
        assert len(bench.comments(pull.number)) == 1
        reopened = bench.forge().pull_requests.open(pull.head, "main", "Promote", "", draft=False)
        assert reopened.number > pull.number
        assert bench.again(pull) == reopened

    def test_a_merge_brings_the_branch_to_the_base(self, bench: Bench) -> None:
        before = bench.on_main("Meanwhile.\n", "README.md")
        pull = bench.open()
        after_opening = bench.on_main("More.\n", "notes.md")
        merged = bench.forge().pull_requests.merge(bench.again(pull), "Promote speed\n\nBecause.")
        assert merged.state is PullRequestState.MERGED
        assert merged.merge == bench.main()
        assert bench.again(pull) == merged
        parents = bench.repository.git("log", "-1", "--format=%P", merged.merge).split()
        assert parents == [after_opening, pull.head_commit]
        assert before != after_opening
        assert bench.repository.git("show", "origin/main:work.sh") == "sleep 0.005"
        assert bench.repository.git("log", "-1", "--format=%B", merged.merge).strip() == (
            "Promote speed\n\nBecause."
        )
        assert bench.forge().pull_requests.merge(bench.again(pull), "Twice").merge == merged.merge

    def test_a_conflict_is_refused_and_moves_nothing(self, bench: Bench) -> None:
        pull = bench.open()
        tip = bench.on_main("sleep 99\n")
        with pytest.raises(ExpciError, match="conflict"):
            bench.forge().pull_requests.merge(bench.again(pull), "Promote")
        assert bench.main() == tip
        assert bench.again(pull).state is PullRequestState.OPEN

    def test_a_merge_by_hand_is_noticed(self, bench: Bench) -> None:
        pull = bench.open()
        bench.on_main("Meanwhile.\n", "README.md")
        bench.repository.git("merge", "-q", "--no-ff", "-m", "By hand", pull.head)
        bench.repository.push("HEAD:main")
        found = bench.again(pull)
        assert (found.state, found.merge) == (PullRequestState.MERGED, bench.main())

    def test_a_deleted_branch_is_a_closed_request(self, bench: Bench) -> None:
        pull = bench.open()
        bench.repository.push("--delete", pull.head)
        assert bench.again(pull).state is PullRequestState.CLOSED

    def test_a_push_moves_the_request(self, bench: Bench) -> None:
        pull = bench.open()
        pushed = bench.branch(pull.head, "sleep 0.001\n")
        assert bench.again(pull).head_commit == pushed


class CommentsContract:
    def test_a_comment_is_written_once_and_then_edited(self, bench: Bench) -> None:
        pull = bench.open()
        forge = bench.forge()
        assert forge.comments.write(pull.number, MARKER, f"First look\n\n{MARKER}")
        assert not forge.comments.write(pull.number, MARKER, f"First look\n\n{MARKER}")
        assert not bench.forge().comments.write(pull.number, MARKER, f"First look\n\n{MARKER}")
        assert bench.forge().comments.write(pull.number, OTHER, f"Another experiment\n\n{OTHER}")
        assert forge.comments.write(pull.number, MARKER, f"Second look\n\n{MARKER}")
        assert bench.comments(pull.number) == [
            f"Second look\n\n{MARKER}",
            f"Another experiment\n\n{OTHER}",
        ]

    def test_a_marker_that_a_text_quotes_is_not_its_own(self, bench: Bench) -> None:
        pull = bench.open()
        quoting = f"```diff\n+# {MARKER}\n```\n\n{OTHER}"
        assert bench.forge().comments.write(pull.number, OTHER, quoting)
        assert bench.forge().comments.write(pull.number, MARKER, f"Report\n\n{MARKER}")
        assert bench.comments(pull.number) == [quoting, f"Report\n\n{MARKER}"]


class ChecksContract:
    """On a commit of the repository, as the bench shows it."""

    def test_a_check_run_is_set_once_and_then_replaced(self, bench: Bench) -> None:
        commit = bench.branch("try/speed")
        first = CheckRun("expci / plan", "failure", "A problem", "In full.")
        second = replace(first, conclusion="success", title="Valid")
        assert checks_of(bench.forge()).set(commit, first)
        assert not checks_of(bench.forge()).set(commit, first)
        assert bench.check_runs(commit) == {"expci / plan": ("failure", "A problem")}
        assert checks_of(bench.forge()).set(commit, second)
        assert bench.check_runs(commit) == {"expci / plan": ("success", "Valid")}


class AlertsContract:
    def test_an_alert_is_opened_once_closed_once_and_comes_back(self, bench: Bench) -> None:
        assert not alerts_of(bench.forge()).close(MARKER, "Nothing to close.")
        assert alerts_of(bench.forge()).open(MARKER, "Harm", f"Slower.\n\n{MARKER}")
        assert not alerts_of(bench.forge()).open(MARKER, "Harm", f"Slower.\n\n{MARKER}")
        assert bench.open_issues() == ["Harm"]
        assert alerts_of(bench.forge()).close(MARKER, "This is no longer the case.")
        assert not alerts_of(bench.forge()).close(MARKER, "This is no longer the case.")
        assert bench.open_issues() == []
        assert alerts_of(bench.forge()).open(MARKER, "Harm again", f"Slower.\n\n{MARKER}")
        assert bench.open_issues() == ["Harm again"]


class CIRecordsContract:
    def test_a_run_is_read_by_its_id(self, bench: Bench) -> None:
        commit = bench.branch("try/speed")
        id = bench.ci_run(commit)
        run = ci_of(bench.forge()).run(id)
        assert run is not None
        assert (run.id, run.head_commit, run.own) == (id, commit, True)
        assert ci_of(bench.forge()).run(id + 1_000_000) is None
        assert [run.id for run in ci_of(bench.forge()).runs(run.created)] == [id]
