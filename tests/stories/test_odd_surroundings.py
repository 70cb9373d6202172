"""Branches in the way, a rewritten base, servers that refuse, cuts: no silence, no standstill."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from expci import app
from expci.core.lifecycle.transitions import State
from expci.core.model.trial import Trial, timestamp
from expci.errors import ExpciError, Refused
from expci.flows.auto.auto import auto
from expci.flows.lookup import waiting_words
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.lifecycle import pause, resume, stop
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from expci.flows.verbs.status import one, one_json, portfolio_rows
from expci.runner.trial_ids import new_trial_id
from expci.settings import Settings
from expci.store.git import refs
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.transaction import LedgerChange
from support.command import expci_command
from support.repositories import Repository, git
from support.stage import Stage


def hook(stage: Stage, name: str, script: str) -> None:
    path = stage.repository.origin / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def branches(stage: Stage) -> list[str]:
    text = git(stage.repository.origin, "for-each-ref", "--format=%(refname:short)", "refs/heads")
    return text.splitlines()


# --- names that collide ----------------------------------------------------------------


@pytest.mark.parametrize("taken", ["expci", "expci/promote", "expci/promote/speed/mine"])
def test_a_branch_in_the_way_of_the_promotion(winning: Stage, taken: str) -> None:
    git(winning.repository.origin, "update-ref", refs.head(taken), "main")
    [note] = winning.start().notes[:1]
    assert f"the branch {taken} is in the way" in note
    winning.auto()
    assert winning.life().state is State.PROMOTING
    assert "expci-promote-speed" in branches(winning)
    promote(winning.context, "speed", merge=True)
    assert winning.life().state is State.WATCHING
    assert "sleep 0" in winning.repository.origin_file("work.sh")


@pytest.mark.parametrize("taken", ["expci/revert", "expci/revert/speed/mine"])
def test_a_branch_in_the_way_of_the_revert(watching: Stage, taken: str) -> None:
    git(watching.repository.origin, "update-ref", refs.head(taken), "main")
    hook(watching, "update", 'case $1 in refs/heads/main) echo "GH006: Protected"; exit 1;; esac')
    result = rollback(watching.context, "speed", reason="slow", force=True)
    assert result.pull is not None
    assert "expci-revert-speed" in branches(watching)


def test_a_revert_that_was_refused_is_finished_by_the_same_verb(watching: Stage) -> None:
    hook(watching, "update", 'case $1 in refs/heads/*) echo "closed for today"; exit 1;; esac')
    with pytest.raises(ExpciError, match="closed for today"):
        rollback(watching.context, "speed", reason="slow", force=True)
    assert watching.life().state is State.ROLLED_BACK
    assert auto(watching.context).problems
    hook(watching, "update", "exit 0")
    result = rollback(watching.context, "speed", reason="slow", force=True)
    assert result.commit
    assert "sleep 0.01" in watching.repository.origin_file("work.sh")
    assert rollback(watching.context, "speed", reason="slow", force=True) == result


# --- the base branch is rewritten ------------------------------------------------------


def rewrite(stage: Stage) -> None:
    """Every commit of main gets another message, as when something is purged from it."""
    path, origin = stage.repository.path, stage.repository.origin
    git(path, "fetch", "-q")
    git(path, "switch", "-q", "-C", "main", "origin/main")
    message = "cat; echo rewritten"
    git(path, "filter-branch", "-f", "--msg-filter", message, "--", "main")
    git(path, "push", "-q", "-f", "origin", "main")
    for branch in branches(stage):
        if branch != "main":
            git(origin, "update-ref", "-d", refs.head(branch))
    git(origin, "reflog", "expire", "--expire=now", "--all")
    git(origin, "gc", "-q", "--prune=now")


def elsewhere(stage: Stage, tmp_path: Path) -> Stage:
    """The same in a fresh clone, which holds nothing of the old history."""
    address = stage.repository.origin.as_uri()
    git(tmp_path, "clone", "-q", address, "fresh")
    return replace(stage, repository=Repository(tmp_path / "fresh", stage.repository.origin))


def test_the_watch_goes_on_over_a_rewritten_base(watching: Stage, tmp_path: Path) -> None:
    rewrite(watching)
    fresh = elsewhere(watching, tmp_path)
    fresh.auto()
    assert fresh.life().state is State.WATCHING
    assert fsck(fresh.context).problems == []
    git(fresh.repository.path, "revert", "--no-edit", "-m", "1", "HEAD")
    fresh.repository.push("HEAD:main")
    fresh.auto()
    assert fresh.life().state is State.ROLLED_BACK  # undone by hand, and noticed


@pytest.fixture
def merged_first(winning: Stage) -> Stage:
    """Watched; the experiment was on main before it was promoted, so its trials go on."""
    winning.repository.push("HEAD:main")
    winning.auto()
    promote(winning.context, "speed", merge=True)
    assert winning.life().state is State.WATCHING
    return winning


def test_trials_are_compared_with_the_rewritten_history_where_it_can_be(
    merged_first: Stage, tmp_path: Path
) -> None:
    rewrite(merged_first)
    fresh = elsewhere(merged_first, tmp_path)
    assert auto(fresh.context).problems == []
    done = expci_command(fresh.repository.path, "trial", "speed", "--json")
    trials = json.loads(done.stdout)["trials"]
    assert {item["arm"] for item in trials} == {"control", "treatment"}, done.stdout
    assert {item["status"] for item in trials} == {"ok"}


def test_where_nothing_is_left_to_compare_with_the_pass_and_the_trial_say_so(
    merged_first: Stage, tmp_path: Path
) -> None:
    rewrite(merged_first)
    path = merged_first.repository.path
    git(path, "checkout", "-q", "--orphan", "other")
    git(path, "commit", "-qm", "One commit for all")
    git(path, "push", "-qf", "origin", "other:main")
    fresh = elsewhere(merged_first, tmp_path)
    [(_, problem)] = auto(fresh.context).problems
    assert "no commit of it holds what stood before the promotion" in problem
    words = expci_command(fresh.repository.path, "trial", "speed").stderr
    assert "its history was rewritten" in " ".join(words.split())
    assert "unshallow" not in words
    git(tmp_path, "clone", "-q", "--depth=1", merged_first.repository.origin.as_uri(), "shallow")
    assert "unshallow" in expci_command(tmp_path / "shallow", "trial", "speed").stderr
    shallow = replace(fresh, repository=Repository(tmp_path / "shallow", fresh.repository.origin))
    assert auto(shallow.context).problems == []


def test_harm_on_a_rewritten_base_is_a_draft_on_the_new_history(
    watching: Stage, tmp_path: Path
) -> None:
    rewrite(watching)
    fresh = elsewhere(watching, tmp_path)
    assert rollback(fresh.context, "speed", reason="slow", force=True).pull is not None
    pull = fresh.pull("expci/revert/speed")
    assert pull.draft
    assert "first-parent line" in pull.body
    main, head = (git(fresh.repository.origin, "rev-parse", b) for b in ("main", pull.head))
    assert git(fresh.repository.origin, "rev-parse", f"{head}^") == main
    assert "sleep 0.01" in fresh.repository.origin_file("work.sh", pull.head)


def test_harm_seen_by_a_shallow_clone_is_a_draft_that_names_the_cause(
    watching: Stage, tmp_path: Path
) -> None:
    origin = watching.repository.origin
    watching.repository.git("fetch", "-q", "origin")
    watching.repository.git("switch", "-q", "-C", "main", "origin/main")
    watching.repository.git("commit", "-q", "--allow-empty", "-m", "Later work")
    watching.repository.push("main")
    git(tmp_path, "clone", "-q", "--depth=1", origin.as_uri(), "shallow")
    fresh = elsewhere(watching, tmp_path)
    shallow = replace(fresh, repository=Repository(tmp_path / "shallow", origin))
    assert rollback(shallow.context, "speed", reason="slow", force=True).pull is not None
    pull = shallow.pull("expci/revert/speed")
    assert pull.draft
    assert "this clone is shallow" in pull.body
    assert "fetch-depth: 0" in pull.body


def test_without_a_copy_it_is_said_what_a_person_must_do(watching: Stage, tmp_path: Path) -> None:
    for ref in (refs.promoted("speed"), refs.backup("speed")):
        git(watching.repository.origin, "update-ref", "-d", ref)
    rewrite(watching)
    fresh = elsewhere(watching, tmp_path)
    [(name, problem)] = auto(fresh.context).problems
    assert (name, "was rewritten" in problem, "by hand" in problem) == ("speed", True, True)
    assert "undone by hand" in fsck(fresh.context).problems[0]
    rollback(fresh.context, "speed", reason="slow", force=True)
    reverted = fresh.life().reverted
    assert reverted is not None
    assert "nothing was reverted" in reverted.why


# --- verbs that are repeated -----------------------------------------------------------


def test_a_verb_again_says_that_it_is_done(watching: Stage, winning: Stage) -> None:
    before = watching.life()
    again = promote(watching.context, "speed", merge=True)
    assert (again.state, again.merge) == ("watching", before.promoted and before.promoted.merge)
    assert watching.life() == before
    for verb, state in ((pause, "paused"), (resume, "running")):
        assert verb(winning.context, "speed", "x").after == state
        assert verb(winning.context, "speed", "x").before == state
    assert stop(winning.context, "speed", "x", None).after == "stopped"
    assert stop(winning.context, "speed", "x", None).before == "stopped"


def test_a_promotion_that_was_cut_off_after_its_merge_is_finished(winning: Stage) -> None:
    winning.auto()
    context = winning.context
    context.forge.pull_requests.merge(winning.pull("expci/promote/speed"), "Promote")
    result = promote(winning.context, "speed", merge=True)
    assert (result.state, bool(result.merge)) == ("watching", True)


# --- servers and other writers ---------------------------------------------------------


def test_a_server_that_refuses_deletions_holds_up_no_decision(winning: Stage) -> None:
    zero = "0" * 40
    hook(winning, "update", f'case $3 in {zero}) echo "deletion prohibited"; exit 1;; esac')
    done = winning.auto()
    assert winning.life().state is State.PROMOTING
    assert any("deletion prohibited" in what for _, what in done.actions)
    trials = len(winning.context.store.snapshot().ledger.trials("speed"))
    winning.auto()
    assert len(winning.context.store.snapshot().ledger.trials("speed")) == trials


NO_DELETION = """\
while read old new ref; do
  case $new in *[!0]*) ;; *) echo "no deletion here"; exit 1;; esac
done"""


@pytest.mark.parametrize("server", ["denyDeletes", "pre-receive"])
def test_where_nothing_can_be_deleted_a_change_is_promoted_and_undone(
    winning: Stage, server: str
) -> None:
    """A setting of the server, and a hook that refuses the whole push for one deletion in it."""
    if server == "denyDeletes":
        git(winning.repository.origin, "config", "receive.denyDeletes", "true")
    else:
        hook(winning, server, NO_DELETION)
    winning.auto()
    promote(winning.context, "speed", merge=True)
    assert winning.life().state is State.WATCHING
    trials = len(winning.context.store.snapshot().ledger.trials("speed"))
    rollback(winning.context, "speed", reason="slow", force=True)
    winning.auto()
    assert winning.life().state is State.ROLLED_BACK
    assert "sleep 0.01" in winning.repository.origin_file("work.sh")
    assert len(winning.context.store.snapshot().ledger.trials("speed")) == trials == 28
    assert fsck(winning.context, repair=True).problems == []


@pytest.mark.parametrize("target", ["refs/heads/gone", refs.LEDGER, refs.inbox("speed", "f" * 64)])
def test_a_symbolic_ref_to_anything_else_deletes_nothing(winning: Stage, target: str) -> None:
    """To nothing, to the ledger, to a batch of trials (which the pass then takes itself)."""
    origin, ledger = winning.repository.origin, winning.context.store.snapshot().ledger.commit
    assert ledger is not None
    git(origin, "symbolic-ref", refs.inbox("speed", "0a" * 32), target)
    winning.auto()
    assert winning.life().state is State.PROMOTING
    assert git(origin, "merge-base", refs.LEDGER, ledger) == ledger
    assert len(winning.context.store.snapshot().ledger.trials("speed")) == 28
    assert fsck(winning.context).problems == []


def test_a_symbolic_ref_in_the_inbox_deletes_nothing(winning: Stage) -> None:
    origin = winning.repository.origin
    for number, target in enumerate(("main", "try/speed")):
        ref = refs.inbox("speed", f"{number}a" * 32)
        git(origin, "symbolic-ref", ref, refs.head(target))
    main = git(origin, "rev-parse", "main")
    done = winning.auto()
    assert git(origin, "rev-parse", "main") == main
    assert "try/speed" in branches(winning)
    assert sum("stands for another ref" in what for _, what in done.actions) == 2
    assert winning.life().state is State.PROMOTING


OURS = [refs.DERIVED, refs.backup("speed"), refs.head(refs.promote_branch("speed"))]


@pytest.mark.parametrize("ref", OURS)
def test_what_is_written_to_a_ref_that_stands_for_a_branch_never_overwrites_it(
    winning: Stage, ref: str
) -> None:
    """Reports in place of `main`; a promotion that nobody reviewed on it."""
    origin = winning.repository.origin
    if git(origin, "for-each-ref", ref):
        git(origin, "update-ref", "-d", ref)
    git(origin, "symbolic-ref", ref, "refs/heads/main")
    main = git(origin, "rev-parse", "main")
    done = auto(winning.context)
    assert git(origin, "rev-parse", "main") == main
    if ref == refs.head(refs.promote_branch("speed")):
        [(_, why)] = done.problems
        assert "stands for refs/heads/main" in why
    else:
        assert (done.problems, winning.life().state) == ([], State.PROMOTING)
    told = [problem for problem in fsck(winning.context).problems if "stands for" in problem]
    assert len(told) == (ref == refs.DERIVED)


@pytest.mark.parametrize("ref", [refs.LEDGER, refs.PUBLISHED])
def test_nor_is_the_ledger_written_over_a_branch(winning: Stage, ref: str) -> None:
    origin = winning.repository.origin
    git(origin, "update-ref", refs.head("theirs"), git(origin, "rev-parse", ref))
    git(origin, "update-ref", "-d", ref)
    git(origin, "symbolic-ref", ref, refs.head("theirs"))
    theirs = git(origin, "rev-parse", "theirs")
    with pytest.raises(Refused, match=f"{ref} stands for refs/heads/theirs.*symbolic-ref -d"):
        auto(winning.context)
    assert git(origin, "rev-parse", "theirs") == theirs
    assert any("stands for" in problem for problem in fsck(winning.context).problems)


def test_a_tag_in_the_inbox_holds_up_no_deletion(winning: Stage) -> None:
    origin = winning.repository.origin
    git(origin, "-c", "user.name=x", "-c", "user.email=x@y", "tag", "-a", "-m", "x", "v1", "main")
    tag = git(origin, "rev-parse", "v1")
    git(origin, "update-ref", refs.inbox("speed", "0b" * 32), tag)
    winning.auto()
    assert git(origin, "for-each-ref", refs.INBOX) == ""
    refused = winning.context.store.snapshot().ledger.refused("speed")
    assert refused == {"malformed": {"": 1}}


def test_a_server_that_takes_no_push_as_a_whole_serves_too(winning: Stage) -> None:
    """Azure Repos has no atomic push: the ledger goes first, what follows from it after."""
    git(winning.repository.origin, "config", "receive.advertiseAtomic", "false")
    assert auto(winning.context).problems == []
    assert winning.life().state is State.PROMOTING
    pause(winning.context, "speed", "x")
    assert winning.life().state is State.PAUSED
    assert fsck(winning.context).problems == []


def test_a_server_that_keeps_no_copies_holds_up_no_promotion_and_no_watch(winning: Stage) -> None:
    hook(winning, "update", "case $1 in refs/expci/backup/*|refs/expci/promoted/*) exit 1;; esac")
    assert auto(winning.context).problems == []
    winning.merge_promotion()
    assert auto(winning.context).problems == []
    assert winning.life().state is State.WATCHING
    assert any("does not hold refs/expci/promoted" in note for note in fsck(winning.context).notes)


def test_a_lost_race_is_left_to_the_next_pass(winning: Stage, tmp_path: Path) -> None:
    """The ref moves between the look and the push, as when another pass is first."""
    stray = git(winning.repository.origin, "rev-parse", "main")
    script = (
        f"[ -e {tmp_path}/done ] && exit 0; while read old new ref; do case $ref in "
        f"refs/heads/expci/promote/*) touch {tmp_path}/done; "
        f"unset GIT_QUARANTINE_PATH; git update-ref $ref {stray};; esac; done"
    )
    hook(winning, "pre-receive", script)
    done = auto(winning.context)
    assert done.problems == []
    assert any("left to the next pass" in what for _, what in done.actions)
    assert done.experiments == ("speed",)
    winning.auto()
    assert winning.life().state is State.PROMOTING


# --- what was refused is to be seen ----------------------------------------------------


def sent(stage: Stage, **changes: object) -> Trial:
    values: dict[str, object] = {
        "id": new_trial_id(stage.now), "experiment": "speed", "plan": stage.life().plan,
        "mode": "lab", "arm": "treatment", "unit": "u", "started": timestamp(stage.now),
        "metrics": {"duration_s": 1.0},
    }  # fmt: skip
    trial = Trial(**{**values, **changes})  # type: ignore[arg-type]
    send.send(stage.context.store.remote, "speed", send.encode([trial.line()]))
    return trial


def test_refused_records_stand_wherever_one_looks(winning: Stage) -> None:
    for minutes in (20, 60 * 20):
        sent(winning, started=timestamp(winning.now + timedelta(minutes=minutes)))
    sent(winning, arm="ghost")
    sent(winning, plan="cd" * 32)
    for look in ("before", "after"):
        text, document = one(winning.context, "speed"), one_json(winning.context, "speed")
        assert "none excluded" not in text, look
        assert "3 records refused" in " ".join(text.split())
        assert "a clock in the future: treatment 2" in " ".join(text.split())
        assert document["refused"] == {"clock": {"treatment": 2}, "no_arm": {"ghost": 1}}
        assert "1 record waits in the inbox (treatment 1)" in " ".join(text.split())
        assert document["waiting"] == {"treatment": 1}
        result = winning.auto()
        assert ("speed", waiting_words({"treatment": 1})) in result.actions
    notes = "\n".join(fsck(winning.context).notes)
    assert "2 records were refused (clock): treatment 2" in notes
    assert "1 record waits in the inbox (treatment 1)" in notes


@pytest.mark.parametrize("ref", [f"{refs.LEDGER}/mine", f"{refs.PUBLISHED}/mine"])
def test_a_ref_in_the_way_of_expcis_own_is_named(repository: Repository, ref: str) -> None:
    git(repository.origin, "update-ref", ref, "main")
    stage = Stage(repository)
    with pytest.raises(ExpciError, match=ref):
        stage.begin()
    [problem] = fsck(stage.context).problems
    assert f"{ref} is in the way" in problem


@pytest.mark.parametrize(("status", "pairs"), [("failed", 1), ("failed", 12), ("timeout", 12)])
def test_where_every_run_fails_the_report_says_so(running: Stage, status: str, pairs: int) -> None:
    running.pairs(pairs, 0.5, status=status)
    running.auto()
    text = " ".join(one(running.context, "speed").split())
    assert f"every run failed ({pairs} in control, {pairs} in treatment)" in text
    assert running.life().promoted is None
    # Nothing was learned, so it does not end with an answer either; a person may go on.
    assert running.life().state is (State.RUNNING if pairs == 1 else State.PAUSED)
    document = one_json(running.context, "speed")
    assert f"every run failed ({pairs}" in str(document["problem"])


def test_what_keeps_a_pass_from_acting_stands_in_the_status(winning: Stage) -> None:
    """A server that takes everything but the branch of the promotion."""
    refused = 'case $1 in refs/heads/expci*) echo "no branches of robots"; exit 1;; esac'
    hook(winning, "update", refused)
    sent(winning, plan="cd" * 32)
    assert auto(winning.context).problems
    assert "no branches of robots" in " ".join(one(winning.context, "speed").split())
    assert "no branches of robots" in str(one_json(winning.context, "speed")["problem"])
    [row] = portfolio_rows(winning.context)
    assert "could not go on" in str(row.problem)
    hook(winning, "update", "exit 0")
    assert auto(winning.context).problems == []
    assert one_json(winning.context, "speed")["problem"] is None
    assert "could not go on" not in one(winning.context, "speed")


# --- damaged files in the ledger -------------------------------------------------------


DERIVED = [paths.forge_state("speed"), paths.analysis("speed"), paths.REVIEWED, paths.HARVEST]


@pytest.mark.parametrize("data", [b"{", b"null\n", b'{"v": [1], "said": 7}\n'])
def test_damaged_derived_files_hold_up_nothing(winning: Stage, data: bytes) -> None:
    store = winning.context.store
    damage: dict[str, bytes | None] = dict.fromkeys(DERIVED, data)
    store.transact(winning.now, lambda _: LedgerChange.of("damage", damage))
    problems = "\n".join(fsck(winning.context).problems)
    assert [path for path in DERIVED if path not in problems] == []
    winning.auto()
    assert winning.life().state is State.PROMOTING


def test_a_damaged_comment_cursor_is_named_and_repaired(winning: Stage) -> None:
    change = LedgerChange.of("damage", {paths.ANSWERED: b"{"})
    winning.context.store.transact(winning.now, lambda _: change)
    assert auto(winning.context).experiments == ("speed",)
    assert winning.life().state is State.PROMOTING
    assert paths.ANSWERED in fsck(winning.context, repair=True).repaired[0]
    assert fsck(winning.context).problems == []
    quarantine = winning.context.store.snapshot().ledger.files(paths.QUARANTINE)
    assert len(quarantine) == 1


@pytest.mark.parametrize(
    "name",
    [
        b"refs/expci/inbox/speed/\xff\xfe",
        b"refs/expci/inbox/\xe9/" + b"0" * 64,
        b"refs/expci/backup/caf\xe9",
        b"refs/heads/expci/promote/\xf0\x28",
        b"refs/heads/\xe2\x80\xae",  # a mark that turns the direction of writing
    ],
)
def test_a_name_of_any_bytes_stops_no_verb(winning: Stage, name: bytes) -> None:
    origin = winning.repository.origin
    with (origin / "packed-refs").open("ab") as packed:
        packed.write(git(origin, "rev-parse", "main").encode() + b" " + name + b"\n")
    assert pause(winning.context, "speed", "x").after == "paused"
    assert resume(winning.context, "speed", "x").after == "running"
    done = auto(winning.context).to_json()
    assert json.dumps(done, ensure_ascii=False).encode()  # nothing in it cannot be printed
    assert winning.life().state is State.PROMOTING
    fsck(winning.context, repair=True)
    assert fsck(winning.context).problems == []
    assert stop(winning.context, "speed", "x", None).after == "stopped"


def test_a_fresh_checkout_of_a_branch_that_is_no_text(repository: Repository) -> None:
    stage = Stage(repository)
    stage.propose()
    git(repository.path, "switch", "-q", "-c", b"caf\xe9".decode(errors="surrogateescape"))
    context = app.open_context(repository.path, Settings(actor="ada"))
    assert context.git.branch()
    with pytest.raises(ExpciError, match="not UTF-8"):
        stage.start()
    assert json.dumps(auto(context).to_json())
