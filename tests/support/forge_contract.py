"""What every forge must do: one suite, run on each implementation.

A test takes a `Bench`: real git, and forges as new passes would make them. People act by
git alone, as they can everywhere: merge, delete a branch, push.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pytest

from expci.errors import ExpciError
from expci.forge.ports import Forge, Pull, PullState
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

    def open(self, name: str = "expci/promote/speed", *, draft: bool = False) -> Pull:
        self.branch(name)
        return self.forge().open_pull(name, "main", "Promote", "Faster.", draft=draft)

    def again(self, pull: Pull) -> Pull:
        found = self.forge().pull(pull.head)
        assert found is not None
        return found


class ForgeContract:
    """Subclasses bring a fixture `bench`."""

    def test_a_branch_without_a_request_has_none(self, bench: Bench) -> None:
        bench.branch("try/speed")
        assert bench.forge().pull("try/speed") is None

    def test_an_opened_request_is_found_with_everything(self, bench: Bench) -> None:
        commit = bench.branch("try/speed")
        made = bench.forge().open_pull("try/speed", "main", "A title", "A body", draft=False)
        found = bench.again(made)
        assert found == made
        assert (found.head, found.base, found.head_commit) == ("try/speed", "main", commit)
        assert (found.title, found.body) == ("A title", "A body")
        assert (found.state, found.draft, found.merge) == (PullState.OPEN, False, None)
        assert bench.forge().proposal("try/speed", "Another title", "") == made

    def test_requests_are_listed_and_found_by_number(self, bench: Bench) -> None:
        first = bench.open("try/first")
        second = bench.open("try/second")
        bench.repository.push("--delete", "try/first")
        forge = bench.forge()
        assert [(p.number, p.state) for p in forge.pulls()] == [
            (second.number, PullState.OPEN),
            (first.number, PullState.CLOSED),
        ]
        assert bench.forge().numbered(second.number) == second
        assert bench.forge().numbered(second.number + 7) is None

    def test_a_request_s_commit_can_be_fetched(self, bench: Bench) -> None:
        made = bench.open()
        bench.repository.git("fetch", "-q", "origin", bench.forge().head_ref(made))
        assert bench.repository.git("rev-parse", "FETCH_HEAD") == made.head_commit

    def test_opening_again_brings_it_up_to_date(self, bench: Bench) -> None:
        first = bench.open()
        second = bench.forge().open_pull(first.head, "main", "New", "Better.", draft=False)
        assert second.number == first.number
        assert (bench.again(first).title, bench.again(first).body) == ("New", "Better.")

    def test_a_request_becomes_a_draft_and_ready_again(self, bench: Bench) -> None:
        pull = bench.open(draft=True)
        assert pull.draft
        for draft in (False, True):
            changed = bench.forge().open_pull(pull.head, "main", "Promote", "", draft=draft)
            assert (changed.number, changed.draft) == (pull.number, draft)
            assert bench.again(pull).draft == draft

    def test_a_branch_that_is_not_pushed_cannot_be_requested(self, bench: Bench) -> None:
        with pytest.raises(ExpciError, match="try/nowhere"):
            bench.forge().open_pull("try/nowhere", "main", "Title", "", draft=False)

    def test_a_comment_is_written_once_and_then_edited(self, bench: Bench) -> None:
        pull = bench.open()
        forge = bench.forge()
        assert forge.comment(pull, MARKER, f"First look\n\n{MARKER}")
        assert not forge.comment(pull, MARKER, f"First look\n\n{MARKER}")
        assert not bench.forge().comment(pull, MARKER, f"First look\n\n{MARKER}")
        assert bench.forge().comment(pull, OTHER, f"Another experiment\n\n{OTHER}")
        assert forge.comment(pull, MARKER, f"Second look\n\n{MARKER}")
        assert bench.comments(pull.number) == [
            f"Second look\n\n{MARKER}",
            f"Another experiment\n\n{OTHER}",
        ]

    def test_labels_of_ours_are_replaced(self, bench: Bench) -> None:
        pull = bench.open()
        forge = bench.forge()
        forge.label(pull, ("expci:running",))
        assert bench.again(pull).labels == ("expci:running",)
        forge.label(bench.again(pull), ("expci:promoting", "expci:lab"))
        assert set(bench.again(pull).labels) == {"expci:promoting", "expci:lab"}
        bench.forge().label(bench.again(pull), ())
        assert bench.again(pull).labels == ()

    def test_closing_leaves_a_word_and_a_new_request_is_another(self, bench: Bench) -> None:
        pull = bench.open()
        closed = bench.forge().close_pull(pull, "The experiment is stopped.")
        assert closed.state is PullState.CLOSED
        assert bench.again(pull).state is PullState.CLOSED
        [word] = bench.comments(pull.number)
        assert word.startswith("The experiment is stopped.")
        assert bench.forge().close_pull(bench.again(pull), "Again.").state is PullState.CLOSED
        assert len(bench.comments(pull.number)) == 1
        reopened = bench.forge().open_pull(pull.head, "main", "Promote", "", draft=False)
        assert reopened.number > pull.number
        assert bench.again(pull) == reopened

    def test_a_merge_brings_the_branch_to_the_base(self, bench: Bench) -> None:
        before = bench.on_main("Meanwhile.\n", "README.md")
        pull = bench.open()
        after_opening = bench.on_main("More.\n", "notes.md")
        merged = bench.forge().merge_pull(bench.again(pull), "Promote speed\n\nBecause.")
        assert merged.state is PullState.MERGED
        assert merged.merge == bench.main()
        assert bench.again(pull) == merged
        parents = bench.repository.git("log", "-1", "--format=%P", merged.merge).split()
        assert parents == [after_opening, pull.head_commit]
        assert before != after_opening
        assert bench.repository.git("show", "origin/main:work.sh") == "sleep 0.005"
        assert bench.repository.git("log", "-1", "--format=%B", merged.merge).strip() == (
            "Promote speed\n\nBecause."
        )
        assert bench.forge().merge_pull(bench.again(pull), "Twice").merge == merged.merge

    def test_a_conflict_is_refused_and_moves_nothing(self, bench: Bench) -> None:
        pull = bench.open()
        tip = bench.on_main("sleep 99\n")
        with pytest.raises(ExpciError, match="conflict"):
            bench.forge().merge_pull(bench.again(pull), "Promote")
        assert bench.main() == tip
        assert bench.again(pull).state is PullState.OPEN

    def test_a_merge_by_hand_is_noticed(self, bench: Bench) -> None:
        pull = bench.open()
        bench.on_main("Meanwhile.\n", "README.md")
        bench.repository.git("merge", "-q", "--no-ff", "-m", "By hand", pull.head)
        bench.repository.push("HEAD:main")
        found = bench.again(pull)
        assert (found.state, found.merge) == (PullState.MERGED, bench.main())

    def test_a_deleted_branch_is_a_closed_request(self, bench: Bench) -> None:
        pull = bench.open()
        bench.repository.push("--delete", pull.head)
        assert bench.again(pull).state is PullState.CLOSED

    def test_a_push_moves_the_request(self, bench: Bench) -> None:
        pull = bench.open()
        pushed = bench.branch(pull.head, "sleep 0.001\n")
        assert bench.again(pull).head_commit == pushed
