"""docs/agents.md and docs/examples/agent, run as they stand with a stand-in for the agent."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from expci import app
from expci.core.model.trial import Trial
from expci.flows.verbs.start import start
from expci.flows.verbs.validate import validate
from expci.settings import Settings
from support.act_stage import PIN, ActStage
from support.linters import lint
from support.live_experiment import assign, checkout, units, workflow
from support.repositories import Repository

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples/agent"
CONTROL = EXAMPLE / "agents/review.md"
VARIANT = EXAMPLE / "experiments/shorter-review/treatment/agents/review.md"

# Answers as `claude -p PROMPT --output-format json` does; a word is a token. It reads the
# files that its prompt names, as an agent would.
CLAUDE = f"""\
#!{sys.executable}
import json, random, re, sys
from pathlib import Path
arguments = sys.argv[1:]
assert arguments[0] == "-p" and arguments[2:] == ["--output-format", "json"], arguments
prompt, given = arguments[1], sys.stdin.read()
for name in re.findall(r"[\\w./-]+\\.md", prompt):
    prompt += "\\n" + (Path(name).read_text() if Path(name).exists() else "# Review of nothing")
answer = prompt.split()[-1] if "# Review" in prompt else ("0.9" if "so." in given else "0.7")
usage = {{"input_tokens": len(prompt.split()), "cache_read_input_tokens": 1000}}
usage["output_tokens"] = len(answer.split())
print(json.dumps({{"type": "result", "result": answer, "duration_ms": 1500,
    "total_cost_usd": random.uniform(0.9, 1.1) * sum(usage.values()) / 1e6, "usage": usage}}))
"""
# Before it runs the agent it does to the checkout what claude-code-action does on pull requests:
# https://github.com/anthropics/claude-code-action, src/github/operations/restore-config.ts
ACTION = """\
name: agent
description: Stands for an action that restores an agent's configuration.
inputs:
  anthropic_api_key: {description: a key, required: true}
  prompt: {description: what to do, required: true}
outputs:
  execution_file: {description: the turns, value: '${{ steps.run.outputs.execution_file }}'}
runs:
  using: composite
  steps:
    - id: run
      shell: bash
      env: {PROMPT: '${{ inputs.prompt }}', TOKEN: '${{ github.token }}'}
      run: |
        rm -rf .claude CLAUDE.md
        header="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)"
        git -c "http.extraheader=$header" fetch -q origin main --depth=1
        for path in .claude CLAUDE.md; do
          git checkout -q FETCH_HEAD -- "$path" 2>/dev/null || true
        done
        git reset -q -- .claude CLAUDE.md 2>/dev/null || true
        claude -p "$PROMPT" --output-format json </dev/null >answer.json
        echo "[{\\"type\\": \\"system\\"}, $(cat answer.json)]" >turns.json
        echo "execution_file=turns.json" >>"$GITHUB_OUTPUT"
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "agent-bin"
    directory.mkdir()
    script = directory / "claude"
    script.write_text(CLAUDE)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def copied(repository: Repository) -> None:
    shutil.copytree(EXAMPLE, repository.path, dirs_exist_ok=True)
    path = repository.path / ".github/workflows/review.yml"
    path.write_text(path.read_text().replace("@SHA", f"@{PIN}"))


def begin(repository: Repository, name: str) -> None:
    start(app.open_context(repository.path, Settings(actor="ada")), name)


def tokens(prompt: Path, more: int = 0) -> int:
    return len(prompt.read_text().split()) + 1000 + 1 + more


def test_reviews_follow_two_prompts_and_are_measured(stage: ActStage, agent: None) -> None:
    copied(stage.repository)
    stage.publish("The example")
    begin(stage.repository, "shorter-review")
    trials: dict[str, Trial] = {}
    for number in range(1, 5):  # blocks of two requests hold both arms
        pull = stage.open_pull(f"change-{number}", {"app.py": f"print({number})\n"})
        run = stage.run("pull_request", "review.yml", number=pull.number)
        assert run.ok, run.text
        trial = stage.uploaded()[-1]
        assert (trial.unit, trial.status, trial.excluded) == (f"pr-{pull.number}", "ok", None)
        trials[trial.arm] = trial
        if len(trials) == 2:
            break
    control, treatment = trials["control"].metrics, trials["treatment"].metrics
    assert (control["tokens"], control["score"]) == (tokens(CONTROL), 0.7)
    assert (treatment["tokens"], treatment["score"]) == (tokens(VARIANT), 0.9)
    for metrics in (control, treatment):
        assert metrics["cost_usd"] == pytest.approx(metrics["tokens"] / 1e6, rel=0.11)
        assert metrics["review_s"] == 1.5
        assert metrics["duration_s"] > 0


MORE = """\
version: 1
name: A command of the agent's own
hypothesis: A shorter command cuts the cost of a review by 20% within 30 days.
slot: command
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: cost_usd, role: primary, kind: duration, minimum_effect: 20%}
plan: {sample_size: 80}
"""


def test_a_prompt_of_ones_own_survives_what_restores_the_agents(
    stage: ActStage, agent: None
) -> None:
    repository, home = stage.repository, "experiments/command"
    copied(repository)
    repository.write(".github/agent/action.yml", ACTION)
    repository.write(".claude/commands/review.md", "# Review\nas before.\n")
    repository.write(f"{home}/experiment.yml", MORE)
    repository.write(f"{home}/treatment/.claude/commands/review.md", "# Review\nbriefly.\n")
    advice = validate(repository.path).advice
    assert advice["shorter-review"] == ()
    assert any("varies .claude/commands/review.md" in words for words in advice["command"])
    stage.publish("The example, and a command")
    for name in ("shorter-review", "command"):
        begin(repository, name)
    [text] = re.findall(r"^```yaml\n( +- uses: anthropics.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    text = text.replace("anthropics/claude-code-action@AGENT", "./.github/agent")
    text = text.replace("@SHA", f"@{PIN}")
    assert "agents/review.md" in text
    command = text.replace("slot: review", "slot: command")
    command = command.replace("agents/review.md", ".claude/commands/review.md")
    full = checkout(**{"fetch-depth": "0"})
    treated = {
        name: units(stage, "treatment", 1, name)[0] for name in ("shorter-review", "command")
    }
    jobs = workflow(
        "pull_request",
        own=full + assign(unit=treated["shorter-review"]) + text,
        restored=full + assign(slot="command", unit=treated["command"]) + command,
    )
    stage.write_workflow("ci.yml", jobs)
    pull = stage.open_pull("change", {"app.py": "print(1)\n"})
    run = stage.run("pull_request", number=pull.number)
    assert run.ok, run.text
    by_job = {trial.context["job"]: trial for trial in stage.uploaded()}
    own, restored = by_job["own"], by_job["restored"]
    assert (own.arm, own.status, own.excluded) == ("treatment", "ok", None)
    [prompt] = re.findall(r"prompt: (.*)", text)
    assert own.metrics["tokens"] == tokens(VARIANT, more=len(prompt.split()))
    assert own.metrics["score"] == 0.9
    assert (restored.arm, restored.status) == ("treatment", "error")
    assert (restored.excluded, restored.metrics) == ("not_exposed", {})


GUIDE = (DOCS / "agents.md").read_text()


def test_a_pilot_tells_how_much_the_agent_varies(repository: Repository, agent: None) -> None:
    copied(repository)
    repository.commit("The example")
    repository.push("HEAD:main")
    assert validate(repository.path).problems == ()
    [script] = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    script = script.replace("expci ", f"'{sys.executable}' -m expci ")
    done = subprocess.run(
        ["sh", "-eu"], input=script, cwd=repository.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 pilot trials kept" in done.stdout
    assert "the plan has not been simulated" not in done.stdout
    assert repository.git("status", "--porcelain") == ""


def test_the_examples_workflow_has_no_findings(repository: Repository) -> None:
    copied(repository)
    assert lint(repository.path) == ""
