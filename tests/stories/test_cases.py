"""docs/examples: cases, preferences and a compiler, from the file to the promote pull request."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import zlib
from pathlib import Path

from support.command import expci_command
from support.processes import PATIENT
from support.repositories import Repository

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
EXAMPLE = EXAMPLES / "cases"
SHORTER = (
    "You answer questions of customers. Check your answer. The last line is the number alone.\n"
)
RUN = 'python3 agent.py "$EXPCI_CASE_PATH"'


def expci(repository: Repository, *arguments: str) -> str:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "STAND_IN_SEED": "7"}
    environment |= {"HOME": str(repository.path), **PATIENT}
    done = expci_command(repository.path, *arguments, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def proposed(repository: Repository) -> Path:
    """The example with an experiment on its prompt, written but not committed."""
    shutil.copytree(EXAMPLE, repository.path, dirs_exist_ok=True)
    repository.commit("an agent and its cases")
    repository.push("HEAD:main")
    expci(
        repository,
        *("create", "shorter-prompt", "--agent", "agents/answer.md", "--run", RUN),
        *("--primary-metric", "cost_usd", "--minimum-effect", "20%"),
        *("--hypothesis", "A shorter prompt cuts the cost of an answer by 20% within a day."),
    )
    directory = repository.path / "experiments/shorter-prompt"
    (directory / "treatment/agents/answer.md").write_text(SHORTER)
    spec = (directory / "experiment.yml").read_text()
    spec = spec.replace("# must_pass: [example-1]  ", "must_pass: [refund, tax]")
    spec = spec.replace(
        "  # - {name: score, role: guardrail, direction: increase, max_regression: 10%}",
        "  - {name: score, role: guardrail, kind: mean, direction: increase, max_regression: 15%}",
    )
    (directory / "experiment.yml").write_text(spec)
    return directory


def test_from_create_to_the_promote_pull_request_in_one_sitting(repository: Repository) -> None:
    proposed(repository)
    expci(repository, "validate")
    repository.commit("Propose shorter-prompt")
    repository.push("HEAD:main")
    expci(repository, "start", "shorter-prompt")
    expci(repository, "trial", "shorter-prompt", "--pairs", "24")
    expci(repository, "auto")
    analysis = json.loads(expci(repository, "analyze", "shorter-prompt", "--json"))
    assert analysis["decision"]["verdict"] == "promote"
    assert analysis["state"] == "promoting"
    assert len(analysis["cases"]) == 12
    assert {sum(case["runs"].values()) for case in analysis["cases"]} == {4}
    report = expci(repository, "analyze", "shorter-prompt", "--full")
    assert "CASES" in report
    assert "refund (must pass)" in report
    status = expci(repository, "status", "shorter-prompt")
    assert "CASES" in status
    assert "7 cases more in expci analyze --json" in status
    told = json.loads(expci(repository, "status", "shorter-prompt", "--json"))
    assert told["cases"] == analysis["cases"]
    assert "everything is in order" in expci(repository, "fsck")
    branch = "expci/promote/shorter-prompt"
    assert repository.origin_file("agents/answer.md", branch) == SHORTER.strip()


def test_a_prompt_that_breaks_what_must_pass_is_not_promoted(repository: Repository) -> None:
    directory = proposed(repository)
    # Without the check the stand-in is wrong in 40 % of its runs, whatever they cost.
    prompt = "You answer questions of customers. The last line is the number alone.\n"
    (directory / "treatment/agents/answer.md").write_text(prompt)
    agent = (repository.path / "agent.py").read_text()
    agent = agent.replace("sys.exit(1 if", "sys.exit(1 if not is_right else 1 if")
    (repository.path / "agent.py").write_text(agent)
    repository.commit("Propose shorter-prompt; a wrong answer is a failure")
    repository.push("HEAD:main")
    expci(repository, "start", "shorter-prompt")
    expci(repository, "trial", "shorter-prompt", "--no-propagate", "--pairs", "12")
    expci(repository, "auto")
    analysis = json.loads(expci(repository, "analyze", "shorter-prompt", "--json"))
    assert analysis["decision"]["verdict"] != "promote"
    assert any(case["passed"]["treatment"] == 0 for case in analysis["cases"])


def test_create_agent_writes_cases_to_begin_with(repository: Repository) -> None:
    repository.write("prompt.md", "Do it.\n")
    repository.commit("prompt")
    out = expci(
        repository,
        *("create", "better", "--agent", "prompt.md", "--primary-metric", "score"),
        *("--direction", "increase", "--hypothesis", "The score is 10% better within a week."),
    )
    assert "wrote evals/example-5/task.md" in out
    assert "expci trial better --pilot --pairs 5" in out
    repository.write("experiments/better/treatment/prompt.md", "Do it well.\n")
    expci(repository, "validate")


def test_a_compiler_flag_over_a_corpus(repository: Repository) -> None:
    shutil.copytree(EXAMPLES / "compiler", repository.path, dirs_exist_ok=True)
    repository.commit("a compiler, its corpus, and an experiment")
    repository.push("HEAD:main")
    expci(repository, "validate")
    expci(repository, "start", "best-size")
    expci(repository, "trial", "best-size", "--pairs", "24")
    expci(repository, "auto")
    analysis = json.loads(expci(repository, "analyze", "best-size", "--json"))
    assert analysis["decision"]["verdict"] == "promote"
    assert len(analysis["cases"]) == 12
    # zlib itself says what each file comes to at either level.
    for case in analysis["cases"]:
        source = (EXAMPLES / "compiler/corpus" / case["id"]).read_bytes()
        levels = {"control": 1, "treatment": 9}
        sizes = {arm: len(zlib.compress(source, level)) for arm, level in levels.items()}
        assert case["means"] == sizes


def test_a_prompt_whose_work_a_judge_prefers(repository: Repository) -> None:
    shutil.copytree(EXAMPLES / "preference", repository.path, dirs_exist_ok=True)
    repository.commit("an agent, its judge, and an experiment")
    repository.push("HEAD:main")
    expci(repository, "validate")
    expci(repository, "start", "next-step")
    expci(repository, "trial", "next-step", "--pairs", "32")
    expci(repository, "auto")
    analysis = json.loads(expci(repository, "analyze", "next-step", "--json"))
    assert analysis["decision"]["verdict"] == "promote", analysis["decision"]
    [primary] = [m for m in analysis["metrics"] if m["role"] == "primary"]
    assert primary["kind"] == "preference"
    assert primary["arms"]["control"]["mean"] == 0.5
    assert primary["comparisons"][0]["improvement"] > 0.3
    names = {check["name"]: check for check in analysis["checks"]}
    assert "of 32 judged pairs" in names["position_bias"]["detail"]
    wanted = (EXAMPLES / "preference/experiments/next-step/treatment/agents/reply.md").read_text()
    branch = "expci/promote/next-step"
    assert repository.origin_file("agents/reply.md", branch) == wanted.strip()


LIVE = """\
version: 1
name: A shorter prompt
hypothesis: A shorter prompt cuts the cost of an answer by 20% within 14 days.
slot: answer
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: cost_usd, role: primary, direction: decrease, kind: duration, minimum_effect: 20%}
assignment: {unit: pr, design: randomized}
"""
BATCH = 15


def answered(repository: Repository, number: int, arm: str) -> dict[str, float]:
    """What the stand-in reports of the work on pull request `number`, one of the tasks."""
    prompt = repository.path / ("." if arm == "control" else "experiments/shorter-prompt/treatment")
    tasks = sorted((EXAMPLE / "evals").iterdir())
    metrics = repository.path.parent / f"metrics-{number}"
    subprocess.run(
        ["python3", "-I", "-S", EXAMPLE / "agent.py", tasks[number * 7 % len(tasks)]],
        cwd=prompt,
        env={"EXPCI_METRICS": str(metrics), "STAND_IN_SEED": str(number)},
        stdout=subprocess.DEVNULL,
        check=False,  # now and then it fails
    )
    lines = (line.partition("=") for line in metrics.read_text().splitlines())
    return {name: float(value) for name, _, value in lines}


def test_the_same_effect_by_live_pull_requests(repository: Repository) -> None:
    """The prompt of the first story, each pull request with one arm: days of them, not minutes."""
    shutil.copytree(EXAMPLE, repository.path, dirs_exist_ok=True)
    home = "experiments/shorter-prompt"
    repository.write(f"{home}/experiment.yml", LIVE)
    repository.write(f"{home}/treatment/agents/answer.md", SHORTER)
    repository.commit("Propose shorter-prompt")
    repository.push("HEAD:main")
    expci(repository, "start", "shorter-prompt")
    # Each pull request is assigned and recorded by the verbs that its job calls, as one file.
    numbers = iter(range(1, 1000))
    while state(repository) == "running":
        lines = []
        for number in itertools.islice(numbers, BATCH):
            arm = expci(repository, "assign", "shorter-prompt", "--unit", f"pr-{number}").strip()
            metrics = answered(repository, number, arm)
            lines.append(json.dumps({"arm": arm, "unit": f"pr-{number}", "metrics": metrics}))
        batch = repository.write("../batch.jsonl", "\n".join(lines) + "\n")
        expci(repository, "record", "shorter-prompt", "--from", str(batch))
        expci(repository, "auto")
    merged = next(numbers) - 1
    assert state(repository) == "promoting"
    print(f"{merged} pull requests")
    assert merged >= 40, "min_trials is 20 per arm"


def state(repository: Repository) -> str:
    return str(json.loads(expci(repository, "status", "shorter-prompt", "--json"))["state"])
