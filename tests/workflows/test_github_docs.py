"""docs/github.md: its snippets are valid, its inputs are those of the actions, and the arm
keeps caches apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from support.act_stage import PIN, WRITE, ActStage
from support.linters import lint
from support.live_experiment import assign, checkout, go_live, record, units, work, workflow

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/github.md").read_text()
CACHING = (ROOT / "docs/caching.md").read_text()
AGENTS = (ROOT / "docs/agents.md").read_text()
STEPS = ("assign", "record", "trial", "lab")
PAGES = (GUIDE, CACHING, AGENTS)
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
JOB = """\
name: snippet
on: push
permissions: {}
concurrency:
  group: snippet-${{ github.ref }}
  cancel-in-progress: false
jobs:
  snippet:
    name: snippet
    runs-on: ubuntu-latest
"""


def snippet(text: str, word: str) -> str:
    [found] = (block for block in BLOCK.findall(text) if word in block)
    return pinned(found)


def pinned(text: str) -> str:
    return text.replace("@SHA", f"@{PIN}").replace("@AGENT", f"@{PIN}")


def whole(block: str) -> str:
    """A workflow that has the snippet where it belongs."""
    if block.startswith("name:"):
        return block
    if "permissions:" in block:
        return JOB + block
    begin = checkout() + assign(slot="build").replace("@PIN", f"@{PIN}")
    return f"{JOB}    permissions:\n      contents: read # to read\n    steps:\n{begin}{block}"


@pytest.mark.parametrize(
    "block", [*BLOCK.findall(GUIDE), *BLOCK.findall(CACHING), *BLOCK.findall(AGENTS)]
)
def test_a_snippet_has_no_findings(block: str, tmp_path: Path) -> None:
    directory = tmp_path / ".github/workflows"
    directory.mkdir(parents=True)
    (directory / "snippet.yml").write_text(whole(pinned(block)))
    said = lint(tmp_path)
    assert not re.search(r"^(actionlint|check-jsonschema):", said, re.MULTILINE), said
    # A first example stays short: names and concurrency are a matter of taste there.
    found = set(re.findall(r"^(?:error|warning|info|help)\[([\w-]+)\]", said, re.MULTILINE))
    assert found <= {"anonymous-definition", "concurrency-limits"}, said


def test_every_input_of_a_step_is_documented_and_exists() -> None:
    table = GUIDE[GUIDE.index("## Inputs of the steps") :].split("\n\n")[1]
    said: dict[str, set[str]] = {name: set() for name in STEPS}
    for names, actions, _ in re.findall(r"^\| (`.*?) \| (.*?) \| (.*) \|$", table, re.MULTILINE):
        of = STEPS if actions == "all" else re.findall(r"`(\w+)`", actions)
        for action in of:
            said[action] |= set(re.findall(r"`([\w-]+)`", names))
    said["lab"].add("experiment")
    for name in STEPS:
        action = yaml.safe_load((ROOT / f".github/actions/{name}/action.yml").read_text())
        hidden = {"status"} if name == "trial" else set()  # it reads it by itself
        assert said[name] == action["inputs"].keys() - hidden, name


def test_arms_share_no_cache_and_one_step_does_both_halves(stage: ActStage) -> None:
    stage.repository.write("a/lock", "1\n")
    go_live(stage)
    [treated], [untreated] = (units(stage, arm, 1) for arm in ("treatment", "control"))
    cache = snippet(CACHING, "actions/cache@")
    one = snippet(GUIDE, "actions/trial@").replace(
        "slot: build", f"slot: review\n          unit: {treated}"
    )
    one = one[one.index("    steps:\n") :].removeprefix("    steps:\n")
    jobs = workflow(
        treatment=checkout() + assign(unit=treated) + cache + work("sh work.sh") + record(),
        control=checkout() + assign(unit=untreated) + cache + work("sh work.sh") + record(),
        neither=checkout() + assign(slot="quiet") + cache + work("sh work.sh"),
        one_step=one.replace("./build.sh", "sh work.sh"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run(permissions=WRITE)
    assert run.ok, run.text
    keys = dict(re.findall(r"\[ci/(\w+) *\]   \| cache key \[(.*?)\] else", run.text))
    parts = {job: key.rsplit("-", 1) for job, key in keys.items()}
    assert {job: name for job, (name, _) in parts.items()} == {
        "treatment": "build-treatment",
        "control": "build-control",
        "neither": "build-",
    }
    assert len({digest for _, digest in parts.values()} - {""}) == 1
    assert "else [build-treatment-]" in run.text
    [pushed] = stage.pushed()
    assert (pushed.arm, pushed.status, pushed.unit) == ("treatment", "ok", treated)
