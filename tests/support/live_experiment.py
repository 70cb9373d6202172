"""A live experiment for the workflows: a script that jobs of a slot run, made faster."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping

from expci import app
from expci.core.assignment import Rule
from expci.core.assignment import assign as draw
from expci.flows.verbs.start import start
from expci.settings import Settings
from expci.store import published
from expci.store.git.remote import Remote
from support.act_stage import ActRun, ActStage

SPEC = """\
version: 1
name: Faster review
hypothesis: The new script cuts the review's duration by 15% within 14 days.
slot: review
arms:
  control: {{}}
  treatment:
    files: treatment/
    env: {{MODE: {name}}}
metrics:
  - {{name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}}
assignment: {{design: randomized, unit: {unit}}}
plan: {{min_trials: 10, sample_size: 60}}
"""
LAB = """\
version: 1
name: Faster work
hypothesis: The new script cuts the work's duration by 15% within 14 days.
run: "sh work.sh; env | sed 's|^|saw-|'"
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
plan: {min_trials: 10, sample_size: 60}
"""


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
ACTIONS = "expci/expci/.github/actions"


def checkout(**inputs: str) -> str:
    """The step as `init` writes it: no token stays in the job."""
    return _step(CHECKOUT, {"persist-credentials": "false", **inputs})


def assign(**inputs: str) -> str:
    return _step(f"{ACTIONS}/assign@PIN", {"slot": "review", **inputs}, "id: expci")


def record(**inputs: str) -> str:
    more = ("id: record", "if: always()")
    return _step(f"{ACTIONS}/record@PIN", {"slot": "review", **inputs}, *more)


def one_step(**inputs: str) -> str:
    return _step(f"{ACTIONS}/trial@PIN", {"slot": "review", **inputs}, "id: expci")


def lab(**inputs: str) -> str:
    return _step(f"{ACTIONS}/lab@PIN", inputs, "id: lab")


def work(script: str) -> str:
    lines = "".join(f"          {line}\n" for line in script.strip().splitlines())
    return f"      - run: |\n{lines}"


def _step(uses: str, inputs: Mapping[str, str], *keys: str) -> str:
    """A step; an input of "" is left out."""
    lines = [f"      - uses: {uses}", *(f"        {key}" for key in keys), "        with:"]
    lines += [f"          {name}: {json.dumps(value)}" for name, value in inputs.items() if value]
    if lines[-1].endswith("with:"):
        lines.pop()
    return "\n".join(lines) + "\n"


def workflow(on: str = "push", **jobs: str) -> str:
    """Jobs by name (`_` for `-`), each its steps."""
    parts = [f"name: ci\non: {on}\njobs:\n"]
    for name, steps in jobs.items():
        head = f"  {name.replace('_', '-')}:\n    runs-on: ubuntu-latest\n"
        parts.append(f"{head}    steps:\n{steps}")
    return "".join(parts)


def units(stage: ActStage, arm: str, count: int, name: str = "faster") -> list[str]:
    """Names of units that get this arm."""
    found = published.fetch_published(Remote.of(stage.repository_git))
    assert found is not None
    e = found[0].experiments[name]
    rule = Rule(e.plan, e.salt, e.design, e.weights, e.traffic)
    names = (f"{arm[0]}{number}" for number in itertools.count())
    return list(itertools.islice((n for n in names if draw(rule, n).arm == arm), count))


def arms_by_job(run: ActRun) -> dict[str, str]:
    """What `assign` said in each job."""
    found = re.findall(r"\[\w+/([\w-]+) *\].*expci: \w+: (\w+) \(", run.text)
    return dict(found)


def go_live(
    stage: ActStage, name: str = "faster", file: str = "work.sh", unit: str = "run"
) -> None:
    """Merged to main and started, as after a reviewed pull request."""
    begin(stage, name, SPEC.format(name=name, unit=unit), file)


def begin(stage: ActStage, name: str, spec: str, file: str = "work.sh") -> None:
    home = f"experiments/{name}"
    stage.repository.write(f"{home}/experiment.yml", spec)
    stage.repository.write(f"{home}/treatment/{file}", f"echo {name} treatment\n")
    stage.publish(f"Experiment {name}")
    start(app.open_context(stage.repository.path, Settings(actor="ada")), name)
