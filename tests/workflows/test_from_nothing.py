"""From a repository without expci to a promote pull request by cases and to a reverted harm, as
GitHub runs it.

`pytest -n 0 -s tests/workflows/test_from_nothing.py` prints the transcript with timings.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import geometric_mean, median

from expci import app
from expci.core.assignment import Rule
from expci.core.assignment import assign as draw
from expci.core.model.trial import Trial, timestamp
from expci.flows.context import Context
from expci.flows.verbs.fsck import fsck
from expci.runner.trial_ids import new_trial_id
from expci.settings import Settings
from expci.store.inbox import send
from support.act_stage import PIN, READ, REPOSITORY, ActRun, ActStage
from support.command import expci_command
from support.github_server.world import Issue
from support.ground import as_file, packed
from support.hub_bench import ALL
from support.live_experiment import assign, checkout, record, work

SPEED = """\
version: 1
name: Faster work
hypothesis: The new script cuts the work's duration by 15% within 14 days.
slot: build
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
assignment: {design: randomized, unit: job}
plan: {min_trials: 10, sample_size: 60}
"""
PROMPT, PAIRS = "shorter-prompt", 24
EXAMPLE = REPOSITORY / "docs/examples/cases"
SHORTER = "You answer questions. Check your answer. The last line is the number alone.\n"
TAKES_PART = checkout(**{"fetch-depth": "0"}) + assign(slot="build") + work("sh work.sh")
CI = f"""\
name: ci
on: [push, pull_request]
permissions: {{}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
{TAKES_PART}{record(slot="build")}
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        shard: [1, 2, 3, 4]
    steps:
{TAKES_PART}{record(slot="build")}
""".replace("@PIN", f"@{PIN}")
PASS = ALL | {"actions": "write"}


@dataclass
class Story:
    """People at work on the small GitHub. What workflows do, act does."""

    stage: ActStage
    begun: float = field(default_factory=time.monotonic)
    random: random.Random = field(default_factory=lambda: random.Random(5))

    def tell(self, what: str, run: ActRun | None = None) -> None:
        took = f"{run.seconds:5.1f} s" if run else " " * 7
        print(f"{time.monotonic() - self.begun:6.1f} s {took}  {what}", flush=True)

    # --- people ------------------------------------------------------------------------

    def expci(self, *arguments: str) -> str:
        done = expci_command(self.stage.repository.path, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def propose(self, name: str, spec: str, script: str) -> Issue:
        home = f"experiments/{name}"
        files = {f"{home}/experiment.yml": spec, f"{home}/treatment/{script}": "sleep 0\n"}
        return self.stage.open_pull(f"try/{name}", files)

    def propose_prompt(self) -> Issue:
        """What `expci create` makes, with another prompt."""
        repository = self.stage.repository
        run = 'python3 agent.py "$EXPCI_CASE_PATH"'
        self.expci(
            *("create", PROMPT, "--agent", "agents/answer.md", "--run", run),
            *("--primary-metric", "cost_usd", "--minimum-effect", "20%"),
            *("--hypothesis", "A shorter prompt cuts the cost of an answer by 20% within a day."),
        )
        home = repository.path / "experiments" / PROMPT
        files = {
            f"experiments/{PROMPT}/experiment.yml": (home / "experiment.yml").read_text(),
            f"experiments/{PROMPT}/treatment/agents/answer.md": SHORTER,
        }
        shutil.rmtree(home.parent)
        return self.stage.open_pull(f"try/{PROMPT}", files)

    def merge(self, pull: Issue) -> None:
        assert pull.pull is not None
        found = self.context.forge.pull_requests.of_branch(pull.pull.head)
        assert found is not None
        assert self.context.forge.pull_requests.merge(found, f"Merge {pull.pull.head}") is not None
        self.stage.repository.git("pull", "-q", "--ff-only", "origin", "main")

    def trials(self, count: int, usual: float, ratio: float) -> None:
        """Records of `count` jobs an arm, as they would push them.

        Control's take about `usual` seconds, treatment's `ratio` times that.
        """
        exposure = self.context.store.snapshot().published.experiments["speed"]
        rule = Rule(
            exposure.plan, exposure.salt, exposure.design, exposure.weights, exposure.traffic
        )
        sent = []
        for unit, arm in itertools.islice(drawn(rule, self.random), 2 * count):
            now = datetime.now(UTC) + timedelta(seconds=1)
            noise = self.random.lognormvariate(0, 0.05)
            duration = usual * noise * (ratio if arm == "treatment" else 1)
            metrics = {"duration_s": duration, "success": 1.0}
            made = Trial(
                new_trial_id(now), "speed", exposure.plan, "live", arm, unit, timestamp(now)
            )
            sent.append(replace(made, metrics=metrics))
        send.send(self.context.store.remote, "speed", send.encode([t.line() for t in sent]))

    # --- workflows ---------------------------------------------------------------------

    def runs_pass(self, event: str = "schedule", **payload: object) -> ActRun:
        run = self.stage.run(
            event,
            "expci-pass.yml",
            payload=payload,
            permissions=PASS,
            environment={"EXPCI_PAUSE": "0"},
        )
        assert run.ok, run.text
        assert not run.annotations("warning"), run.text
        return run

    def after_validate(self) -> ActRun:
        return self.runs_pass("workflow_run", workflow_run={"name": "expci-validate"})

    def validates(self, pull: Issue, action: str = "opened") -> ActRun:
        run = self.stage.run(
            "pull_request",
            "expci-validate.yml",
            number=pull.number,
            permissions={"contents": "read"},
            payload={"action": action},
        )
        assert run.ok, run.text
        return run

    # --- what came of it ---------------------------------------------------------------

    @property
    def context(self) -> Context:
        made = app.open_context(self.stage.repository.path, Settings(actor="ada"))
        return replace(made, make_forge=self.stage.bench.forge)

    def state(self, name: str = "speed") -> str:
        return self.context.store.snapshot().ledger.life(name).state

    def recorded(self, name: str = "speed") -> dict[str, Trial]:
        return {trial.id: trial for trial in self.context.store.snapshot().ledger.trials(name)}

    def of_forks(self) -> Mapping[str, Mapping[str, int]]:
        data = self.context.store.snapshot().ledger.read("uncounted.json")
        return dict(json.loads(data or b"{}")["forks"])

    def refusals(self) -> list[str]:
        ledger = self.context.store.snapshot().ledger
        held = ledger.read_many(f"quarantine/{name}" for name in ledger.files("quarantine"))
        return [json.loads(data)["reason"] for data in held.values()]

    def pull_of(self, branch: str) -> Issue:
        issues = self.stage.hub.issues.values()
        [found] = (issue for issue in issues if issue.pull and issue.pull.head == branch)
        return found

    def said(self, pull: Issue) -> str:
        return "\n".join(comment.body for comment in self.stage.hub.comments(pull.number))


def drawn(rule: Rule, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Units with their arms, as many of each arm in turn."""
    waiting: dict[str, list[str]] = {"control": [], "treatment": []}
    while True:
        unit = f"job-{chance.getrandbits(40)}"
        arm = draw(rule, unit).arm
        assert arm is not None
        waiting[arm].append(unit)
        if all(waiting.values()):
            yield from ((waiting[name].pop(), name) for name in waiting)


def set_up(story: Story) -> None:
    """`expci init` twice: the second time it finds the workflow that takes part."""
    stage, root = story.stage, story.stage.repository.path
    assert not (root / ".github").exists()
    story.expci("init", "--pin", PIN)
    stage.repository.write(".github/workflows/ci.yml", CI)
    assert "updated .github/workflows/expci-pass.yml" in story.expci("init", "--pin", PIN)
    story.expci("init", "--check", "--pin", PIN)
    assert '"ci"' in (root / ".github/workflows/expci-pass.yml").read_text()
    for name in ("expci-validate", "expci-pass"):
        # act has no network to make a Python with; everything else is as it was written.
        path = root / f".github/workflows/{name}.yml"
        text = path.read_text()
        action = r"^( +)(uses: expci/expci/.github/actions/(?:pass|validate)@\S+\n)( +with:\n)?"
        given = rf"\1\2\1with:\n\1  python: {sys.executable}\n"
        path.write_text(re.sub(action, given, text, flags=re.MULTILINE))
    shutil.copytree(EXAMPLE, root, dirs_exist_ok=True)
    stage.publish("Set up experiments")


def test_from_an_empty_repository_to_a_reverted_harm(stage: ActStage, tmp_path: Path) -> None:
    story, hub = Story(stage), stage.hub
    print("\n      at  workflow  what happened")
    before = hub.bare.git("show", "main:work.sh")
    set_up(story)
    story.tell("expci init wrote three workflows; ci.yml takes part with two lines")

    # Proposed: validated, shown, and the labelled one runs in the lab.
    speed = story.propose("speed", SPEED, "work.sh")
    prompt = story.propose_prompt()
    run = story.validates(speed)
    assert "speed: valid" in run.text
    story.tell(f"#{speed.number} opened: expci-validate finds speed valid", run)
    hub.label(prompt.number, "ada", "expci:run")
    run = story.after_validate()
    for pull, name in ((speed, "Faster work"), (prompt, "A shorter prompt")):
        assert pull.pull is not None
        assert name in story.said(pull)
        checks = {c.name: c for c in hub.checks if c.commit == pull.pull.head_sha}
        assert checks["expci / plan"].conclusion == "neutral", "valid, with advice"
    assert story.state(PROMPT) == "running"
    assert hub.dispatches == [("expci-lab.yml", f"try/{PROMPT}", {"experiment": PROMPT})]
    story.tell("the pass shows both designs, starts the prompt (label), asks for a lab run", run)
    run = runs_in_the_lab(story, prompt)
    story.tell(f"expci-lab on try/{PROMPT}: {PAIRS} pairs on 12 cases, as an artifact", run)

    # Merged: the next pass starts it, and real jobs take part.
    story.merge(speed)
    validated = story.validates(speed, "closed")
    assert "Run Main" not in validated.text
    run = story.after_validate()
    assert story.state() == "running"
    story.tell(f"#{speed.number} merged: the pass that follows starts speed, live", run)

    # By the same pass: two visits of each case show the effect, the promote pull request is open.
    assert len(story.recorded(PROMPT)) == 2 * PAIRS
    assert story.state(PROMPT) == "promoting"
    promoted = story.pull_of(f"expci/promote/{PROMPT}")
    assert "12 cases" in promoted.body
    assert hub.bare.git("show", f"expci/promote/{PROMPT}:agents/answer.md") + "\n" == SHORTER
    story.tell(f"and proposes the shorter prompt for good: #{promoted.number}")
    own, run = takes_part(story)
    story.tell(f"a push: {len(own)} jobs, a matrix among them, take part and upload", run)
    for name in ("assign", "record"):
        times = seconds(run, name)
        story.tell(f"    {name}: {median(times):.2f} s, at most {max(times):.2f} s")
    theirs, run = strangers_take_part(story)
    story.tell(
        f"a fork's pull request: {len(theirs)} jobs upload; 5 poisoned artifacts lie beside", run
    )

    # The schedule: what is good is taken, what is not is refused, and there is a win.
    usual = geometric_mean(trial.metrics["duration_s"] for trial in own)
    story.trials(20, usual, ratio=0.4)
    run = story.runs_pass()
    held = story.recorded()
    assert {held[trial.id].excluded for trial in own} == {None}
    assert len(held) == len(own) + 40
    assert {trial.id for trial in theirs}.isdisjoint(held)
    assert story.of_forks() == {
        "eve/copy": {"artifacts": 9, "records": 6, "refused": 3},
        "": {"artifacts": 1, "records": 0, "refused": 1},  # too large to look further
    }
    for _, _, why in POISON[:4]:
        assert run.text.count(why) >= 1, why
    assert story.refusals() == []
    promote = story.pull_of("expci/promote/speed")
    assert promote.state == "open"
    assert story.state() == "promoting"
    story.tell(f"the schedule: {len(held)} trials in the ledger, 5 refused, #{promote.number}", run)

    # The win is merged, watched, does harm, and is taken back.
    story.merge(promote)
    assert hub.bare.git("show", "main:work.sh") != before
    story.validates(promote, "closed")
    run = story.after_validate()
    assert story.state() == "watching"
    story.tell(f"#{promote.number} merged: the pass that follows watches", run)
    story.trials(20, usual, ratio=3.0)
    run = story.runs_pass()
    assert story.state() == "rolled_back"
    assert hub.bare.git("show", "main:work.sh") == before
    assert "revert" in hub.bare.git("log", "-1", "--format=%s", "main").lower()
    story.tell("20 slow trials an arm: the pass reverts the promotion on main", run)
    assert fsck(story.context).problems == []
    assert list(tmp_path.rglob(".bashrc")) == [], "a path out of an artifact"
    for secret in hub.tokens:
        assert all(secret not in run.text for run in stage.log)


def seconds(run: ActRun, action: str) -> list[float]:
    """How long an action of ours took in each job, by act's log."""
    took = rf"Success - Main \S+/actions/{action}@\w+ \[([\d.]+)(ms|s)\]"
    found = re.findall(took, run.text)
    return [float(number) / (1000 if unit == "ms" else 1) for number, unit in found]


def runs_in_the_lab(story: Story, pull: Issue) -> ActRun:
    """What the pass asked for, on the branch that it named."""
    assert pull.pull is not None
    ref = f"refs/heads/try/{PROMPT}"
    run = story.stage.run(
        "workflow_dispatch",
        "expci-lab.yml",
        permissions={"contents": "read"},
        payload={"inputs": {"experiment": PROMPT, "pairs": str(PAIRS)}, "ref": ref},
        environment={"GITHUB_REF": ref, "GITHUB_SHA": pull.pull.head_sha, "STAND_IN_SEED": "7"},
    )
    assert run.ok, run.text
    trials = [trial for trial in story.stage.uploaded() if trial.experiment == PROMPT]
    assert [sum(trial.arm == arm for trial in trials) for arm in ("control", "treatment")] == [
        PAIRS,
        PAIRS,
    ]
    assert {trial.mode for trial in trials} == {"lab"}
    assert len({trial.unit for trial in trials}) == 12
    return run


def takes_part(story: Story) -> tuple[list[Trial], ActRun]:
    """A push to main: one job, and a matrix of four."""
    known = len(story.stage.uploaded())
    run = story.stage.run("push", permissions={"contents": "read"})
    assert run.ok, run.text
    made = story.stage.uploaded()[known:]
    assert len(made) == len({trial.unit for trial in made}) == 5
    assert {(trial.mode, trial.status, trial.excluded) for trial in made} == {("live", "ok", None)}
    ours = [artifact for artifact in story.stage.hub.artifacts if artifact.run is run.run]
    assert len(ours) == 5
    assert {trial.context["run_id"] for trial in made} == {str(run.run.id)}
    return made, run


# (artifact's name, its bytes made from a good record of the same run, why it is refused)
POISON: tuple[tuple[str, Callable[[Trial], bytes], str], ...] = (
    ("path", lambda t: as_file(t, name="../../../../.bashrc"), "must be one file"),
    ("bomb", lambda t: packed(("trials.jsonl", bytes(50_000_000))), "unpacks to more"),
    ("large", lambda t: bytes(50_000_000), "at most 1000000"),
    ("schema", lambda t: packed(("trials.jsonl", b'{"v":1,"evil":true}\n')), "unknown keys: evil"),
    ("arm", lambda t: as_file(replace(t, arm="winner")), "the plan has no arm 'winner'"),
)


def strangers_take_part(story: Story) -> tuple[list[Trial], ActRun]:
    """A request from a fork: its jobs' records, and worse beside them."""
    stage, known = story.stage, len(story.stage.uploaded())
    pull = stage.open_pull("theirs", {"other.txt": "something else\n"}, fork="eve/copy")
    run = stage.run("pull_request", number=pull.number, fork="eve/copy", permissions=READ)
    assert run.ok, run.text
    made = stage.uploaded()[known:]
    assert len(made) == 5
    for name, make, _ in POISON:
        forged = replace(made[0], id=new_trial_id(datetime.now(UTC)))
        stage.hub.add_artifact(f"expci-{name}-{run.run.id}", make(forged), run.run)
    return made, run
