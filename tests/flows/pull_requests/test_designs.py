"""A stranger's proposal does not keep the pass: no design unasked, a time for all of them."""

from __future__ import annotations

import pytest

from expci.flows.experiment.advance import Pass
from expci.flows.pull_requests.designs import FOR_A_WRITER, PLAN_LABEL
from expci.flows.pull_requests.review import review_open
from expci.store.git import refs
from expci.store.ledger.paths import REVIEWED
from expci.store.ledger.reviewed_pull_requests import parse_reviewed, read_reviewed
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage
from support.repositories import git
from support.specimen import FAST, SPEC

__all__ = ["bench", "template"]


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    return HubStage.of(bench)


def passes(stage: HubStage, seconds: float = 120) -> Pass:
    done = Pass()
    review_open(stage.context, done, seconds)
    assert done.problems == []
    return done


def from_a_fork(stage: HubStage, names: tuple[str, ...] = ("speed",)) -> int:
    """Eve's fork proposes experiments under these names, in one pull request."""
    repository = stage.repository
    repository.git("switch", "-q", "-C", "evil", "origin/main")
    for name in names:
        repository.write(f"experiments/{name}/experiment.yml", SPEC + f"owner: {name}\n")
        repository.write(f"experiments/{name}/treatment/work.sh", FAST, executable=True)
    repository.commit("Propose")
    git(repository.path, "push", "-q", "origin", "HEAD:refs/forks/eve/copy/evil")
    return stage.bench.hub.open_pull("eve", "evil", fork="eve/copy").number


def simulated(stage: HubStage, number: int) -> list[str]:
    """The experiments of a pull request of which a design is on record."""
    reviewed = read_reviewed(stage.context.store.snapshot().ledger)[number]
    return [name for name, item in reviewed.experiments.items() if "sample_size" in item.document]


def test_a_fork_s_design_waits_for_a_writer(stage: HubStage) -> None:
    number = from_a_fork(stage)
    passes(stage)
    assert simulated(stage, number) == []
    assert FOR_A_WRITER.partition("`")[0] in stage.bench.comments(number)[0]
    stage.bench.hub.label(number, "eve", PLAN_LABEL)
    passes(stage)
    assert simulated(stage, number) == [], "who opened it may not ask for it"
    stage.bench.hub.issues[number].labels.clear()
    stage.bench.hub.label(number, "ada", PLAN_LABEL)
    passes(stage)
    assert simulated(stage, number) == ["speed"]
    mark = len(stage.bench.hub.log)
    passes(stage)
    assert not [call for call in stage.calls_since(mark) if call.method != "GET"]


def test_when_the_time_is_over_what_was_made_is_on_record_and_the_next_pass_goes_on(
    stage: HubStage,
) -> None:
    number = from_a_fork(stage, ("one", "three", "two"))
    stage.bench.hub.label(number, "ada", PLAN_LABEL)
    for designs in (["one"], ["one", "three"], ["one", "three", "two"]):
        assert stage.bench.comments(number) == [], "nothing is said of a half"
        passes(stage, seconds=0)
        assert simulated(stage, number) == designs
    assert len(stage.bench.comments(number)) == 1


def test_a_fork_whose_content_does_not_come_keeps_nobody_waiting(
    stage: HubStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history of gigabytes: it gets its time once, our own pull requests are reviewed first."""
    theirs = from_a_fork(stage)
    ours = stage.request("ours")
    monkeypatch.setattr("expci.flows.pull_requests.review.FORK_SECONDS", 0.0001)
    done = Pass()
    review_open(stage.context, done)
    [(subject, problem)] = done.problems
    assert subject == f"pull request {theirs}"
    assert "was not done after" in problem
    assert stage.bench.comments(ours) != []
    assert set(read_reviewed(stage.context.store.snapshot().ledger)) >= {ours}, "not given up"
    passes(stage)
    assert stage.bench.comments(theirs) == [], "not tried again until it moves"
    monkeypatch.undo()
    git(stage.repository.path, "commit", "-q", "--allow-empty", "-m", "More")
    stage.repository.git("switch", "-q", "evil")
    stage.repository.write("experiments/speed/notes.md", "more\n")
    stage.repository.commit("More")
    git(stage.repository.path, "push", "-q", "origin", "HEAD:refs/forks/eve/copy/evil")
    passes(stage)
    assert stage.bench.comments(theirs) != []


def test_each_review_is_on_record_before_the_next(stage: HubStage) -> None:
    origin = stage.repository.origin
    git(origin, "config", "core.logAllRefUpdates", "always")
    numbers = {stage.request("first"), stage.request("second")}
    passes(stage)
    commits = git(origin, "log", "--walk-reflogs", "--format=%H", refs.DERIVED).split()
    records = (git(origin, "show", f"{commit}:{REVIEWED}").encode() for commit in commits)
    assert [len(parse_reviewed(record)) for record in records][:2] == [2, 1]
    assert set(read_reviewed(stage.context.store.snapshot().ledger)) == numbers


def test_quantiles_cost_what_they_take(stage: HubStage) -> None:
    guards = "".join(
        f"  - {{name: m{n}, role: guardrail, direction: increase, kind: quantile, quantile: 0.99, "
        f"max_regression: 10%, baseline: {{mean: 5, sd: 30}}}}\n"
        for n in range(2)
    )
    number = stage.request(spec=SPEC.replace("plan:", f"{guards}plan:", 1))
    passes(stage)
    assert simulated(stage, number) == []
    assert "comparisons" in stage.bench.comments(number)[0]
