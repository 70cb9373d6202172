"""The pass takes trials from CI artifacts: all of them, each once, and no stranger's word."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from expci.core.model.trial import Amendment, Trial, timestamp
from expci.flows.arrivals.artifacts import (
    FORK_ARTIFACTS_A_RUN,
    Collection,
    collect_artifacts,
    records_to_fold,
)
from expci.flows.auto.auto import auto
from expci.flows.verbs.fsck import fsck
from expci.forge.github.retries import Limits
from expci.runner.trial_ids import new_trial_id
from expci.store.inbox import send
from expci.store.inbox.read_batches import collect
from expci.store.ledger import artifact_cursor
from expci.store.ledger.uncounted import (
    FORKS,
    ForkArtifact,
    Uncounted,
    read_uncounted,
    with_artifacts,
)
from support.github_server import Fault
from support.github_server.world import Artifact, Run
from support.ground import CI, LIVE, START, Field, as_file, begun, counted, ground, packed, pushed
from support.hub_bench import BOT, HubBench, bench, template
from support.repositories import git
from support.specimen import SPEC

__all__ = ["begun", "bench", "ground", "template"]


def downloads(bench: HubBench) -> int:
    return bench.calls("GET", "/zip")


# --- taking ------------------------------------------------------------------------------


def test_a_trial_arrives_with_the_origin_that_the_ci_tells(ground: Field) -> None:
    run = ground.run(head_sha="a" * 40, number=7, actor="grace")
    sent = ground.trial(run, context={"sha": "f" * 40, "event": "release", "cpu": "EPYC"})
    ground.artifact(run, as_file(sent))
    assert ground.pass_().problems == ()
    [trial] = ground.trials()
    assert replace(trial, context={}) == replace(sent, context={})
    assert trial.excluded is None
    assert trial.context == {
        "run_id": str(run.id),
        "run_number": "7",
        "repository": ground.bench.hub.name,
        "event": "push",
        "sha": "a" * 40,
        "actor": "grace",
        "workflow_path": CI,
        "conclusion": "success",
        "artifact": str(ground.bench.hub.artifacts[0].id),
        "cpu": "EPYC",
    }
    assert fsck(ground.context).problems == []


def test_a_second_pass_asks_once_and_writes_nothing(ground: Field) -> None:
    """Without anything new: one listing, and one of the runs while jobs take part in a slot."""
    ground.artifact(ground.run())
    ground.pass_()
    before, calls = ground.ledger.commit, ground.bench.calls()
    assert ground.pass_().problems == ()
    assert ground.ledger.commit == before
    asked = [exchange.path.rsplit("/", 1)[-1] for exchange in ground.bench.hub.log[calls:]]
    assert asked == ["artifacts", "runs"]


def test_the_pass_takes_artifacts_and_then_rests(ground: Field) -> None:
    ground.artifact(ground.run())
    ground.artifact(ground.run(), b"no archive")
    first = auto(ground.context)
    assert (first.problems, first.folded) == ([], {"speed": 1})
    assert [refused.reason[-12:] for refused in first.refused] == ["not a zip file"[-12:]]
    auto(ground.context)
    before, calls = ground.ledger.commit, ground.bench.calls()
    second = auto(ground.context)
    assert (second.problems, second.folded, second.refused) == ([], {}, [])
    assert ground.ledger.commit == before
    asked = [exchange.path.partition("/actions/")[2] for exchange in ground.bench.hub.log[calls:]]
    assert [path for path in asked if path] == ["artifacts", "runs"]


def test_a_lab_experiment_costs_one_listing(bench: HubBench) -> None:
    ground = Field(bench)
    ground.begin(SPEC)
    ground.pass_()
    assert bench.calls() == bench.calls("GET", "/actions/artifacts") == 1


def test_what_is_older_than_the_experiments_is_not_even_listed(ground: Field) -> None:
    before = timestamp(START - timedelta(hours=2))
    for number in range(150):
        old = ground.bench.hub.add_run(created=before)
        ground.bench.hub.add_artifact(f"expci-{number}", b"no archive", old, created=before)
    ground.pass_()
    assert (downloads(ground.bench), ground.bench.calls("GET", "/actions/artifacts")) == (0, 1)


def test_an_artifact_of_the_second_of_the_start_is_taken(ground: Field) -> None:
    """GitHub's times have no fractions, and the starter's clock may be ahead of GitHub's."""
    ground.artifact(ground.run(), created=timestamp(START - timedelta(seconds=1)))
    assert auto(ground.context).folded == {"speed": 1}


def test_many_artifacts_of_others_are_not_read_again(ground: Field) -> None:
    run = ground.run()
    for _ in range(150):
        at = timestamp(ground.now)
        ground.now += timedelta(minutes=2)
        ground.bench.hub.add_artifact("coverage", b"", run, created=at)
    ground.pass_()
    assert ground.bench.calls("GET", "/actions/artifacts") == 2
    before = ground.ledger.commit
    ground.pass_()
    assert ground.bench.calls("GET", "/actions/artifacts") == 3
    assert ground.ledger.commit == before


def test_our_own_are_not_crowded_out_by_forks(
    ground: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expci.flows.arrivals.artifact_downloads.DOWNLOADS", 2)
    fork = forked(ground)
    for _ in range(3):
        ground.artifact(fork, as_file(ground.trial(fork)))
    own = [ground.run(), ground.run()]
    for run in own:
        ground.artifact(run)
    ground.pass_()
    assert {trial.unit for trial in ground.trials()} == {f"run-{run.id}" for run in own}
    assert refused_of_forks(ground) == 0
    ground.pass_()
    ground.pass_()
    assert len(ground.trials()) == 2
    assert refused_of_forks(ground) == 3


def test_before_any_start_nothing_is_asked(bench: HubBench) -> None:
    assert Field(bench).pass_() == Collection()
    assert bench.calls() == 0


def test_many_artifacts_are_paged_and_each_is_taken_once(
    ground: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three passes of sixty: what is left is in the ledger, and not listed again."""
    monkeypatch.setattr("expci.flows.arrivals.artifact_downloads.DOWNLOADS", 60)
    exposure = ground.exposure
    sent = []
    for _ in range(150):
        run = ground.run()
        ground.now -= timedelta(minutes=9)
        started = timestamp(ground.now)
        arm = "control" if run.id % 2 else "treatment"
        made = Trial(
            new_trial_id(ground.now), "speed", exposure.plan, "live", arm, f"run-{run.id}", started
        )
        sent.append(made.id)
        ground.artifact(run, as_file(made))
        ground.bench.hub.add_artifact("coverage", b"", run, created=run.created)
    for expected in (60, 120, 150):
        assert ground.pass_().problems == ()
        assert len(ground.trials()) == expected
        assert [trial.id for trial in ground.trials()] == sent[:expected]  # oldest first
    assert downloads(ground.bench) == 150
    assert artifact_cursor.read_artifact_cursor(ground.ledger).waiting == ()
    # 300 artifacts are three pages; the last hour's are listed again.
    listings = [e for e in ground.bench.hub.log if e.path.endswith("/actions/artifacts")]
    assert len(listings) == 3 + 2 + 2
    # The runs came from listings too, not one by one.
    assert sum("/actions/runs/" in e.path for e in ground.bench.hub.log) == 0
    before = ground.ledger.commit
    ground.pass_()
    assert (ground.ledger.commit, downloads(ground.bench)) == (before, 150)


def test_killed_between_download_and_commit_it_takes_the_same_again(ground: Field) -> None:
    ground.artifact(ground.run())
    ground.artifact(ground.run(), b"no archive")
    ground.gather()
    assert ground.trials() == []
    ground.pass_()
    assert len(ground.trials()) == 1
    assert len(ground.refusals()) == 1


def test_of_two_passes_at_once_each_artifact_counts_once(ground: Field) -> None:
    ground.artifact(ground.run())
    ground.artifact(ground.run(), b"no archive")
    slow, quick = ground.gather(), ground.gather()
    ground.take(slow, meanwhile=lambda: ground.take(quick))
    assert len(ground.trials()) == 1
    assert len(ground.refusals()) == 1
    state = artifact_cursor.read_artifact_cursor(ground.ledger)
    assert len(state.done) == 2
    assert fsck(ground.context).problems == []


def test_without_a_server_nothing_is_harvested(ground: Field) -> None:
    context = replace(ground.context, make_forge=ground.without_a_server)
    harvest = collect_artifacts(context, ground.snapshot())
    assert (harvest.batches, harvest.problems) == ((), ())
    arrived = collect(context.git, {})
    assert records_to_fold(ground.ledger, harvest, arrived).changes == {}


# --- once --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["push", "artifact", "both"])
def test_pushed_and_uploaded_a_record_counts_once(ground: Field, first: str) -> None:
    run = ground.run()
    trial = ground.trial(run)
    if first != "artifact":
        pushed(ground, trial)
    if first == "push":
        ground.pass_()
    ground.artifact(run, as_file(trial))
    ground.pass_()
    pushed(ground, trial)
    ground.artifact(run, as_file(trial))  # uploaded again by a re-run
    ground.pass_()
    assert [found.id for found in ground.trials()] == [trial.id]
    assert ground.refusals() == []


def test_one_id_with_other_numbers_is_quarantined(ground: Field) -> None:
    run = ground.run()
    trial = ground.trial(run)
    ground.artifact(run, as_file(trial))
    ground.artifact(run, as_file(replace(trial, metrics={"duration_s": 1.0})))
    ground.pass_()
    assert len(ground.trials()) == 1
    assert "is taken by another record" in ground.refusals()[0]


# --- strangers ---------------------------------------------------------------------------


def refused_of_forks(ground: Field) -> int:
    """How many records of forks the counters know for the experiment."""
    return sum(ground.ledger.refused("speed").get("untrusted", {}).values())


def forked(ground: Field, **fields: Any) -> Run:
    return ground.run("pull_request", fork="mallory/copy", head_sha="e" * 40, **fields)


def test_what_a_fork_left_is_a_number_and_does_not_count(ground: Field) -> None:
    ground.artifact(ground.run())
    ground.artifact(forked(ground))
    ground.artifact(ground.run(head_repository=None))
    ground.pass_()
    assert [trial.excluded for trial in ground.trials()] == [None]
    assert refused_of_forks(ground) == 2
    rows = json.loads(ground.ledger.read("uncounted.json") or b"")["forks"]
    assert rows["mallory/copy"] == {"artifacts": 1, "records": 1, "refused": 0}
    found = counted(ground)
    assert found["excluded"] == {}
    assert found["control"] + found["treatment"] == 1


def test_the_plan_may_say_that_forks_count(bench: HubBench) -> None:
    ground = Field(bench)
    ground.begin(LIVE.replace("plan:\n", "plan:\n  count_forks: true\n"))
    run = forked(ground)
    ground.artifact(run)
    other = ground.trial(forked(ground), unit=f"run-{run.id}")  # speaks for somebody else
    ground.artifact(ground.run("pull_request", fork="mallory/copy"), as_file(other))
    ground.pass_()
    found = counted(ground)
    assert found["control"] + found["treatment"] == 1
    assert found["excluded"] == {}
    third = forked(ground)
    ground.artifact(third, as_file(ground.trial(third, unit=f"run-{run.id}")))
    ground.now += timedelta(hours=1)
    reasons = [refused.reason for refused in auto(ground.context).refused]
    assert any("cannot speak for the unit" in reason for reason in reasons)
    assert ground.refusals() == [], "a stranger's lines are named once, and not kept"
    rows = json.loads(ground.ledger.read("uncounted.json") or b"")["forks"]
    assert rows["mallory/copy"] == {"artifacts": 3, "records": 0, "refused": 2}


def test_a_fork_cannot_take_the_id_of_a_job_that_still_runs(ground: Field) -> None:
    run, fork = ground.run(), forked(ground)
    trial = ground.trial(run)
    ground.artifact(fork, as_file(ground.trial(fork, id=trial.id, block="job-1")))
    ground.pass_()
    assert ground.trials() == []
    ground.artifact(run, as_file(trial))
    ground.pass_()
    assert [found.id for found in ground.trials() if found.excluded is None] == [trial.id]
    assert ground.refusals() == []


def test_a_fork_cannot_change_what_was_measured(ground: Field) -> None:
    run, fork = ground.run(), forked(ground)
    trial = ground.trial(run)
    ground.artifact(run, as_file(trial))
    score = Amendment(
        new_trial_id(ground.now), trial.id, "speed", timestamp(ground.now), {"duration_s": 0.1}
    )
    ground.artifact(fork, as_file(score))
    ground.pass_()
    assert ground.trials()[0].metrics["duration_s"] == 12.0
    assert ground.refusals() == []
    late = replace(score, id=new_trial_id(ground.now), metrics={"satisfaction": 0.8})
    ground.artifact(ground.run(), as_file(late))
    ground.pass_()
    assert ground.trials()[0].metrics["satisfaction"] == 0.8


def test_a_job_adds_values_to_the_trials_of_others_and_changes_none(ground: Field) -> None:
    """Else one job of a workflow that takes part would rewrite what all the others measured."""
    run = ground.run()
    trial = ground.trial(run)
    ground.artifact(run, as_file(trial))
    ground.pass_()

    def uploads(of: Run, **metrics: float) -> dict[str, float]:
        at = timestamp(ground.now)
        late = Amendment(new_trial_id(ground.now), trial.id, "speed", at, metrics)
        ground.artifact(of, as_file(late))
        ground.pass_()
        return dict(ground.trials()[0].metrics)

    other = ground.run()
    assert uploads(other, duration_s=0.1)["duration_s"] == 12.0
    assert uploads(other, satisfaction=0.8)["satisfaction"] == 0.8
    assert uploads(ground.run(), satisfaction=0.0)["satisfaction"] == 0.8
    why = "another run's trial; whoever may push corrects it with `expci record --trial`"
    assert [reason.endswith(why) for reason in ground.refusals()] == [True, True]
    assert uploads(run, duration_s=11.0)["duration_s"] == 11.0, "its own"


def test_of_a_trial_that_comes_with_it_nothing_that_every_trial_measures_is_changed(
    ground: Field,
) -> None:
    """A running job's log names its trial."""
    run, other = ground.run(), ground.run()
    trial = ground.trial(run)
    at = timestamp(ground.now)
    for metrics in ({"duration_s": 0.1}, {"satisfaction": 0.8}):
        late = Amendment(new_trial_id(ground.now), trial.id, "speed", at, metrics)
        ground.artifact(other, as_file(late))
    ground.artifact(run, as_file(trial))
    ground.pass_()
    assert ground.trials()[0].metrics == {"duration_s": 12.0, "success": 1.0, "satisfaction": 0.8}


def line(text: str) -> Callable[[Field, Run], bytes]:
    return lambda ground, run: packed(("trials.jsonl", text.encode()))


def changed(**changes: Any) -> Callable[[Field, Run], bytes]:
    return lambda ground, run: as_file(ground.trial(run, **changes))


def crowded(ground: Field, run: Run) -> bytes:
    """As much context as a record may have: with what the CI tells it is too much."""
    return as_file(ground.trial(run, context={f"k{n}": "v" for n in range(100)}))


POISON: dict[str, tuple[Callable[[Field, Run], bytes], str]] = {
    "a path": (lambda g, r: as_file(g.trial(r), name="../../.bashrc"), "must be one file"),
    "a bomb": (lambda g, r: packed(("trials.jsonl", bytes(50_000_000))), "unpacks to more"),
    "two files": (lambda g, r: packed(("a", b"{}"), ("b", b"{}")), "must be one file"),
    "no archive": (lambda g, r: b"hello", "not a readable archive"),
    "too large": (lambda g, r: bytes(1_000_001), "at most 1000000"),
    "no JSON": (line("trials!\n"), "not a line of JSON"),
    "another schema": (line('{"v":1,"id":"x","evil":true}\n'), "unknown keys: evil"),
    "another version": (line('{"v":2}\n'), "newer data need a newer expci"),
    "a forged arm": (changed(arm="winner"), "the plan has no arm 'winner'"),
    "a forged run": (changed(context={"run_id": "1"}), "says that it is of run 1"),
    "another experiment": (changed(experiment="other"), "no experiment of this name"),
    "another plan": (changed(plan="b" * 64), "never ran"),
    "another time": (changed(started="2026-10-01T00:00:00.000Z"), "not while run"),
    "no time at all": (changed(started="0001-01-01T00:00:00+23:59"), "no time of this era"),
    "a lost trial": (changed(status="lost"), "only the CI's records make it"),
    "too much context": (crowded, "more than 100 entries"),
}


def test_poison_is_refused_downloaded_once_and_does_no_harm(ground: Field) -> None:
    made: dict[str, Artifact] = {}
    for name, (make, _) in POISON.items():
        run = ground.run()
        made[name] = ground.artifact(run, make(ground, run))
    ground.artifact(ground.run())
    assert ground.pass_().problems == ()
    assert len(ground.trials()) == 1
    reasons = ground.refusals()
    for name, (_, why) in POISON.items():
        assert any(why in reason for reason in reasons), name
    assert len(reasons) == len(POISON)
    held = ground.ledger
    kept = [json.loads(held.read(f"quarantine/{n}") or b"") for n in held.files("quarantine")]
    hello = hashlib.sha256(b"hello").hexdigest()
    assert any((item["sha256"], item["excerpt"]) == (hello, "hello") for item in kept)
    for name, artifact in made.items():
        expected = 0 if name == "too large" else 1
        assert ground.bench.calls("GET", f"/artifacts/{artifact.id}/zip") == expected
    before = ground.ledger.commit
    ground.pass_()
    assert ground.ledger.commit == before
    assert downloads(ground.bench) == len(POISON)  # but for the large one, with the good one
    assert fsck(ground.context).problems == []


def test_strangers_cannot_fill_the_ledger(ground: Field) -> None:
    fork, own = forked(ground), ground.run()
    ground.artifact(fork, packed(("t", b"{}\n" * 201)))
    ground.artifact(own, packed(("t", b"".join(b"%d\n" % n for n in range(5000)))))
    ground.pass_()
    reasons = ground.refusals()
    assert "4980 more lines of it are no records either" in reasons
    assert len(reasons) == 20 + 1


def test_a_fork_that_uploads_by_the_hundred_adds_counters_to_the_ledger(ground: Field) -> None:
    """1.4 MB by four artifacts of one run, once: 200 lines of junk context each."""
    ground.artifact(ground.run())
    ground.pass_()
    run = forked(ground)
    for _ in range(12):
        honest = ground.trial(run)
        junk = {f"k{n}": secrets.token_hex(30) for n in range(40)}
        lines = [
            replace(honest, id=new_trial_id(ground.now), context={**honest.context, **junk})
            for _ in range(200)
        ]
        data = send.encode([line.line() for line in lines])[:990_000]
        ground.artifact(run, packed(("trials.jsonl", data[: data.rfind(b"\n") + 1])))
    before = stored_bytes(ground)
    harvest = ground.pass_()
    assert stored_bytes(ground) - before < 50_000, "objects take whole blocks"
    assert harvest.crowd == 12 - FORK_ARTIFACTS_A_RUN
    assert refused_of_forks(ground) > 1_000
    assert fsck(ground.context).problems == []
    assert len(ground.trials()) == 1


def stored_bytes(ground: Field) -> int:
    """How much the server's repository holds."""
    sizes = git(ground.bench.repository.origin, "count-objects", "-v").splitlines()
    values = dict(line.split(": ") for line in sizes)
    return (int(values["size"]) + int(values["size-pack"])) * 1024


def test_many_forks_share_the_counters_there_are() -> None:
    artifacts = [ForkArtifact(f"eve/copy-{n}", lines=1) for n in range(FORKS + 30)]
    counters = with_artifacts(Uncounted(), artifacts)
    assert len(counters.forks) == FORKS + 1
    assert counters.forks["others"]["artifacts"] == 30
    assert read_uncounted(counters.dump()) == counters


def test_an_expired_artifact_is_reported_and_remembered(ground: Field) -> None:
    ground.artifact(ground.run(), expired=True)
    late = ground.artifact(ground.run())
    ground.bench.hub.faults.add(Fault.meanwhile("GET", "/zip", lambda: _expire(late)))
    ground.pass_()
    reasons = ground.refusals()
    assert [reason[:7] for reason in reasons] == ["expired", "expired"]
    before = ground.ledger.commit
    ground.pass_()
    assert ground.ledger.commit == before
    assert downloads(ground.bench) == 1


def _expire(artifact: Artifact) -> None:
    artifact.expired = True


# --- faults ------------------------------------------------------------------------------


def test_a_download_that_fails_waits_for_the_next_pass(ground: Field) -> None:
    broken, fine = ground.artifact(ground.run()), ground.artifact(ground.run())
    ground.bench.hub.faults.add(
        Fault.failure("GET", f"/artifacts/{broken.id}/zip", times=4),
    )
    [(subject, problem)] = ground.pass_().problems
    assert subject == "artifacts"
    assert problem.startswith("1 artifact waits for the next pass: cannot download the artifact")
    assert [trial.context["artifact"] for trial in ground.trials()] == [str(fine.id)]
    ground.bench.hub.faults.add(Fault.reset("GET", f"/_blobs/{broken.id}", times=4))
    before = ground.ledger.commit
    assert len(ground.pass_().problems) == 1
    assert ground.ledger.commit == before
    assert ground.pass_().problems == ()
    assert {trial.context["artifact"] for trial in ground.trials()} == {
        str(broken.id),
        str(fine.id),
    }


def test_what_never_can_be_had_does_not_hold_up_the_rest(ground: Field) -> None:
    """Three failures in a row end a pass; the next begins with what was not tried."""
    broken = [ground.artifact(ground.run()) for _ in range(3)]
    ground.artifact(ground.run())
    faults = [Fault.failure("GET", f"/artifacts/{a.id}/zip", times=4) for a in broken]
    ground.bench.hub.faults.add(*faults)
    assert ground.pass_().problems[0][1].startswith("4 artifacts wait")
    assert ground.trials() == []
    ground.bench.hub.faults.add(*faults)
    assert ground.pass_().problems[0][1].startswith("3 artifacts wait")
    assert len(ground.trials()) == 1


def test_a_listing_that_breaks_off_loses_nothing(ground: Field) -> None:
    for _ in range(3):
        ground.artifact(ground.run())
    ground.now += timedelta(hours=3)
    for _ in range(120):
        ground.bench.hub.add_artifact(
            "coverage", b"", ground.bench.hub.add_run(), created=timestamp(ground.now)
        )
    ground.artifact(ground.run())
    broken = Fault.failure("GET", "/actions/artifacts", times=4)
    broken.skip = 1
    ground.bench.hub.faults.add(broken)
    [(_, problem)] = ground.pass_().problems
    assert "cannot list the artifacts" in problem
    assert len(ground.trials()) == 1  # the newest was on the first page
    assert ground.pass_().problems == ()
    assert len(ground.trials()) == 4
    assert downloads(ground.bench) == 4


def test_without_the_permission_it_says_so_once_and_takes_what_was_pushed(ground: Field) -> None:
    token = ground.bench.hub.token(BOT, {"contents": "write"})
    run = ground.run()
    pushed(ground, ground.trial(run))
    context = replace(ground.context, make_forge=lambda: ground.bench.forge(token))
    harvest = collect_artifacts(context, ground.snapshot())
    [(_, problem)] = harvest.problems
    assert "permissions:\n    actions: read" in problem
    ground.take(harvest)
    assert len(ground.trials()) == 1
    assert ground.bench.calls() == 1


def test_used_up_limits_end_the_harvest_and_the_next_pass_goes_on(ground: Field) -> None:
    for _ in range(5):
        ground.artifact(ground.run())
    fault = Fault.primary_limit("GET", "/zip", reset=3600)
    fault.skip = 2
    ground.bench.hub.faults.add(fault)
    [(_, problem)] = ground.pass_().problems
    assert problem.startswith("3 artifacts wait for the next pass: ")
    assert "rate limit" in problem
    assert downloads(ground.bench) == 3
    assert len(ground.trials()) == 2
    ground.bench.limits = Limits(left=10, unnamed=0.05, backoff=0.01)  # an hour later
    assert ground.pass_().problems == ()
    assert len(ground.trials()) == 5
